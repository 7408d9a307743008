import type { Command } from 'commander';
import { type ApiKey, isLive } from '../../lib/config/api-keys.js';
import { timeMs } from '../../lib/config/period-text.js';
import { InvalidArgument } from '../../lib/errors.js';
import { type Cell, done, fields, lines, table } from '../answer.js';
import type { Execute } from '../execute.js';

const SHOWN_ONCE = lines({ text: 'The secret is not shown again: only its hash is stored.', tone: 'warning' });

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
        return { json: created, shown: [fields({ ...created }), SHOWN_ONCE] };
      }),
    );

  keys
    .command('list <entity>')
    .description("an entity's keys, revoked ones included, without their secrets")
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const found = await admin.keys(entity);
        return {
          json: found,
          shown: [table(['keyId', 'prefix', 'state', 'createdAt', 'expiresAt', 'replacedBy'], found.map(keyRow))],
        };
      }),
    );

  keys
    .command('rotate <entity> <keyId>')
    .description('make a new key in its place; the old one goes on working for a while')
    .option('--overlap <time>', 'how long it does: 30m, 24h, 7d; 0s revokes it at once', '24h')
    .option('--expires-at <time>', 'of the new key: ISO 8601, in the future')
    .addHelpText('after', '\nExample:\n  $ headgate key rotate key-1 1f0c9a7b52e4d86310 --overlap 7d')
    .action((entity: string, keyId: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const { overlap, expiresAt } = command.opts<{ overlap: string; expiresAt?: string }>();
        const rotated = await admin.rotateKey({ entity, keyId, overlapMs: span('--overlap', overlap), expiresAt });
        const { replaced, ...created } = rotated;
        const end = replaced.state === 'revoked' ? 'was revoked' : `works until ${replaced.expiresAt}`;
        return { json: rotated, shown: [fields({ ...created }), lines(`Key ${keyId} ${end}.`), SHOWN_ONCE] };
      }),
    );

  keys
    .command('expire <entity> <keyId>')
    .description('let a key expire, or sooner than it would')
    .option('--at <time>', 'ISO 8601, in the future')
    .option('--in <time>', 'from now: 30m, 24h, 7d')
    .addHelpText('after', '\nExample:\n  $ headgate key expire key-1 1f0c9a7b52e4d86310 --in 24h')
    .action((entity: string, keyId: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const { at, in: after } = command.opts<{ at?: string; in?: string }>();
        if ((at === undefined) === (after === undefined))
          throw new InvalidArgument({ field: '--at', value: at, expected: 'given, or --in, and not both' });
        const expiresAt = at ?? new Date(Date.now() + span('--in', String(after)));
        const key = await admin.expireKey({ entity, keyId, expiresAt });
        return done(`Key ${keyId} of ${entity} expires at ${key.expiresAt}.`, key);
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

/** Milliseconds. Throws `InvalidArgument` for what is no time. */
function span(field: string, text: string): number {
  const ms = timeMs(text);
  if (ms === undefined) throw new InvalidArgument({ field, value: text, expected: 'a time, such as 30m, 24h or 7d' });
  return ms;
}

const keyRow = (key: ApiKey): readonly Cell[] => {
  const state = key.state === 'active' && !isLive(key, Date.now()) ? 'expired' : key.state;
  return [
    key.keyId,
    `${key.prefix}…`,
    { text: state, tone: state === 'active' ? 'good' : 'bad' },
    key.createdAt,
    key.expiresAt ?? '-',
    key.replacedBy ?? '-',
  ];
};
