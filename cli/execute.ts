import type { Command } from 'commander';
import type { Answer } from './answer.js';
import { type Connection, connect, type GlobalOptions } from './connection.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { rendered, type Style } from './rendering.js';

/** Where a command writes, and what it ends with. */
export interface Terminal {
  /** Of the answer; errors are written in it as well. */
  readonly style: Exclude<Style, 'json'>;
  out(text: string): void;
  error(text: string): void;
  exit(code: number): void;
}

/** Runs what a command does, with a connection for as long as it lasts, and writes its answer or its error. Never rejects. */
export type Execute = (command: Command, run: (connection: Connection) => Promise<Answer>) => Promise<void>;

export function executor(terminal: Terminal): Execute {
  return async (command, run) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const style = options.json ? 'json' : terminal.style;
    let connection: Connection | undefined;
    try {
      connection = connect(options);
      const answer = await run(connection);
      terminal.out(rendered(answer, style));
      terminal.exit(answer.exitCode ?? EXIT.done);
    } catch (error) {
      terminal.error(errorText(error, style));
      terminal.exit(exitCodeOf(error));
    } finally {
      await connection?.close();
    }
  };
}

/** One line, or an object with the code and the message; never a stack. */
export function errorText(error: unknown, style: Style): string {
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
  if (style === 'json') return `${JSON.stringify({ code: name, message })}\n`;
  return `headgate: ${message.replaceAll('\n', ' ')}\n`;
}
