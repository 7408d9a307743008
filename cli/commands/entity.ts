import type { Command } from 'commander';
import type { EntityRecord } from '../../lib/config/entity-record.js';
import { InvalidArgument } from '../../lib/errors.js';
import { type Answer, done, fields, table } from '../answer.js';
import type { Execute } from '../execute.js';
import { NotFound } from '../exit-codes.js';
import { numberOf } from '../scope-options.js';

interface ChangeFlags {
  readonly parent?: string | false;
  readonly cascade?: boolean;
  readonly tier?: string | false;
  readonly name?: string | false;
  readonly metadata?: string | false;
}

/** `headgate entity`: who is limited, and who belongs to whom. */
export function addEntityCommands(root: Command, execute: Execute): void {
  const entities = root.command('entity').description('who is limited, and who belongs to whom');

  withValues(entities.command('create <entity>').description('record an entity; limits and usage need no record'))
    .addHelpText(
      'after',
      '\nExample:\n  $ headgate entity create team --parent acme --tier pro --name Team --metadata \'{"seats":5}\'',
    )
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const { metadata, parent, tier, name, cascade } = command.opts<ChangeFlags>();
        return shown(
          await admin.createEntity({
            entity,
            parent: parent || undefined,
            tier: tier || undefined,
            name: name || undefined,
            cascade,
            metadata: metadata ? parsedMetadata(metadata) : undefined,
          }),
        );
      }),
    );

  entities
    .command('get <entity>')
    .description('an entity as it is recorded')
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const record = await admin.getEntity(entity);
        if (record === undefined) throw new NotFound(`There is no record of entity ${JSON.stringify(entity)}`);
        return shown(record);
      }),
    );

  withValues(entities.command('update <entity>').description('change an entity, or move it with everything below it'))
    .option('--no-parent', 'make it a root')
    .option('--no-tier', 'take its tier away')
    .option('--no-name', 'take its name away')
    .option('--no-metadata', 'take its metadata away')
    .addHelpText(
      'after',
      '\nExamples:\n  $ headgate entity update team --parent other\n  $ headgate entity update team --no-tier',
    )
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const { parent, tier, name, cascade, metadata } = command.opts<ChangeFlags>();
        const change = {
          parent: parent === false ? null : parent,
          tier: tier === false ? null : tier,
          name: name === false ? null : name,
          cascade,
          metadata: metadata === false ? null : metadata === undefined ? undefined : parsedMetadata(metadata),
        };
        return shown(await admin.updateEntity({ entity, ...change }));
      }),
    );

  entities
    .command('delete <entity>')
    .description('delete an entity with its keys and limits; what it used stays counted, what it owes stays owed')
    .option('--recursive', 'also delete everything below it')
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        await admin.deleteEntity(entity, command.opts<{ recursive?: true }>());
        return done(`Deleted ${entity}.`, { entity });
      }),
    );

  paged(entities.command('children <entity>').description('the names of its children, sorted')).action(
    (entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => names(await admin.children(entity, pageOf(command)))),
  );

  paged(entities.command('list').description('the names of all entities, in an order that stays the same')).action(
    (_options: unknown, command: Command) => execute(command, async ({ admin }) => names(await admin.entities(pageOf(command)))),
  );
}

const withValues = (command: Command): Command =>
  command
    .option('--parent <entity>', 'the entity it belongs to')
    .option('--cascade', 'its requests also draw on its parent')
    .option('--no-cascade', 'they do not')
    .option('--tier <tier>', 'whose limits apply where it has none')
    .option('--name <text>', 'for people')
    .option('--metadata <json>', 'an object, kept as it is');

export const paged = (command: Command): Command =>
  command.option('--after <name>', 'go on after this name').option('--limit <number>', 'no more than this, 1 to 100,000');

export function pageOf(command: Command): { readonly after: string | undefined; readonly limit: number | undefined } {
  const { after, limit } = command.opts<{ after?: string; limit?: string }>();
  return { after, limit: limit === undefined ? undefined : numberOf(limit) };
}

export function parsedMetadata(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    throw new InvalidArgument({ field: '--metadata', value: text, expected: 'a JSON object, such as {"seats":5}' });
  }
}

function shown(record: EntityRecord): Answer {
  const { entity, name, tier, parent, cascade, ancestors, metadata, createdAt } = record;
  const above = parent === undefined ? {} : { parent, cascade, ancestors: ancestors.join(', ') };
  return { json: record, shown: [fields({ entity, name, tier, ...above, metadata, createdAt })] };
}

const names = (of: readonly string[]): Answer => ({
  json: of,
  shown: [
    table(
      ['entity'],
      of.map((name) => [name]),
    ),
  ],
});
