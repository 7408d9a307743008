import type { Command } from 'commander';
import type { ApiKey } from '../../lib/config/api-keys.js';
import { type Cell, done, fields, lines, table } from '../answer.js';
import type { Execute } from '../execute.js';

/** `headgate key`: the API keys of entities. */
export function addKeyCommands(root: Command, execute: Execute): void {
  const keys = root.command('key').description('the API keys of entities');

  keys
    .command('create <entity>')
    .description('make a key; its secret is shown this once')
    .option('--expires-at <time>', 'ISO 8601, in the future')
    .addHelpText('after', '\nExample:\n  $ headgate key create key-1 --expires-at 2030-01-01T00:00:00Z')
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const { expiresAt } = command.opts<{ expiresAt?: string }>();
        const created = await admin.createKey({ entity, expiresAt });
        const warning = { text: 'The secret is not shown again: only its hash is stored.', tone: 'warning' as const };
        return { json: created, shown: [fields({ ...created }), lines(warning)] };
      }),
    );

  keys
    .command('list <entity>')
    .description("an entity's keys, revoked ones included, without their secrets")
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const found = await admin.keys(entity);
        return { json: found, shown: [table(['keyId', 'prefix', 'state', 'createdAt', 'expiresAt'], found.map(keyRow))] };
      }),
    );

  keys
    .command('revoke <entity> <keyId>')
    .description('make a key worthless; authorizers see it within a minute')
    .addHelpText('after', '\nExample:\n  $ headgate key revoke key-1 1f0c9a7b52e4d86310')
    .action((entity: string, keyId: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        await admin.revokeKey({ entity, keyId });
        return done(`Revoked ${keyId} of ${entity}.`, { entity, keyId });
      }),
    );
}

const keyRow = ({ keyId, prefix, state, createdAt, expiresAt }: ApiKey): readonly Cell[] => [
  keyId,
  `${prefix}…`,
  { text: state, tone: state === 'active' ? 'good' : 'bad' },
  createdAt,
  expiresAt ?? '-',
];
