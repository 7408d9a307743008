#!/usr/bin/env node
import { CommanderError } from 'commander';
import { errorText, type Terminal } from './execute.js';
import { EXIT } from './exit-codes.js';
import { program } from './program.js';

// The README says which versions of Node are supported, and until when.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

// `headgate entity list | head` ends when its reader has enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT.done);
});

const { FORCE_COLOR, NO_COLOR } = process.env;
const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0';
const terminal: Terminal = {
  style: forced ? 'terminal' : process.stdout.isTTY && !NO_COLOR && FORCE_COLOR !== '0' ? 'terminal' : 'plain',
  out: (text) => process.stdout.write(text),
  error: (text) => process.stderr.write(text),
  exit: (code) => {
    process.exitCode = code;
  },
};

try {
  await program(terminal).parseAsync(process.argv);
} catch (error) {
  // Help and version were asked for; of anything else it has said on standard error what is wrong.
  if (error instanceof CommanderError) terminal.exit(error.exitCode === 0 ? EXIT.done : EXIT.usage);
  else {
    terminal.error(errorText(error, terminal.style));
    terminal.exit(EXIT.failed);
  }
}
