import type { Command } from 'commander';
import { LimiterUnavailable } from '../../lib/errors.js';
import { createTable } from '../../lib/store/create-table.js';
import { failure } from '../../lib/store/dynamo-send.js';
import { StoreFailure } from '../../lib/store/store.js';
import { done } from '../answer.js';
import type { Execute } from '../execute.js';

/** `headgate create-table`: for a table that no stack deploys, such as a local one. */
export function addTableCommands(root: Command, execute: Execute): void {
  root
    .command('create-table')
    .description('make the table with its stream and TTL, unless it is there')
    .addHelpText('after', '\nExample:\n  $ headgate create-table --table headgate --endpoint http://127.0.0.1:8000')
    .action((_options: unknown, command: Command) =>
      execute(command, async ({ client, tableName }) => {
        await createTable(client, tableName).catch(async (error: unknown) => {
          const cause = await failure(error, client, tableName);
          if (!(cause instanceof StoreFailure)) throw cause;
          throw new LimiterUnavailable(`The table could not be made: ${cause.message}`, { cause: error });
        });
        return done(`The table ${tableName} is ready.`, { table: tableName });
      }),
    );
}
