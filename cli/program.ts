import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { addAudit } from './commands/audit.js';
import { addBucketCommands } from './commands/buckets.js';
import { addCompletion } from './commands/completion.js';
import { addCost } from './commands/cost.js';
import { addDoctor } from './commands/doctor.js';
import { addEntityCommands } from './commands/entity.js';
import { addKeyCommands } from './commands/key.js';
import { addLimitsCommands } from './commands/limits.js';
import { addNamespaceCommands } from './commands/namespace.js';
import { addPresetCommands } from './commands/presets.js';
import { addReplay } from './commands/replay.js';
import { addTableCommands } from './commands/table.js';
import { addUsage } from './commands/usage.js';
import { executor, type Terminal } from './execute.js';

const DESCRIPTION = 'Limits, entities and keys of Headgate, in one DynamoDB table.';
const AFTER_HELP = `
Exit codes: 0 done, 1 failed (the database gave no answer), 2 wrong use, 3 not admitted, 4 not found, 5 conflict, 6 doctor found a fault,
7 something differs (--exit-code).

Examples:
  $ headgate doctor
  $ headgate limits set --system rpm=60/minute
  $ headgate acquire key-1 gpt-4o rpm=1`;

/** The whole command line. What it writes goes to `terminal`; wrong use throws commander's own error, after it was written. */
export function program(terminal: Terminal): Command {
  const root = new Command('headgate')
    .description(DESCRIPTION)
    .version(version(), '--version', 'the version')
    .helpOption('--help', 'what a command does, and how')
    .helpCommand(false)
    .addOption(new Option('--table <name>', 'the DynamoDB table').env('HEADGATE_TABLE').default('headgate'))
    .addOption(new Option('--namespace <name>', 'the tenant within the table').env('HEADGATE_NAMESPACE').default('default'))
    .addOption(new Option('--endpoint <url>', 'another DynamoDB, such as a local one').env('AWS_ENDPOINT_URL_DYNAMODB'))
    .addOption(new Option('--region <name>', 'the AWS region').env('AWS_REGION'))
    .addOption(
      new Option('--actor <name>', 'who makes changes, for the history; user@host unless told otherwise').env('HEADGATE_ACTOR'),
    )
    .option('--json', 'answer in JSON, errors too')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.error(text),
      outputError: (text, write) => write(refusal(text, root.opts<{ json?: true }>().json ?? false)),
    })
    .exitOverride()
    .showHelpAfterError(false)
    .showSuggestionAfterError(true)
    .addHelpText('after', AFTER_HELP);
  const execute = executor(terminal);
  addLimitsCommands(root, execute);
  addPresetCommands(root, execute);
  addEntityCommands(root, execute);
  addKeyCommands(root, execute);
  addNamespaceCommands(root, execute);
  addBucketCommands(root, execute);
  addUsage(root, execute);
  addAudit(root, execute);
  addReplay(root, execute);
  addCost(root, execute);
  addTableCommands(root, execute);
  addDoctor(root, execute);
  addCompletion(root, terminal);
  return root;
}

/** Commander's `error: unknown command 'x'`, written as the other errors are. */
function refusal(text: string, json: boolean): string {
  const message = text.replace(/^error: /, '').trimEnd();
  return json ? `${JSON.stringify({ code: 'InvalidArgument', message })}\n` : `headgate: ${message}\n`;
}

/** Of this package: two folders up when built, one when run from the sources. */
function version(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return String((JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: unknown }).version);
    } catch {
      // The other one.
    }
  }
  return 'unknown';
}
