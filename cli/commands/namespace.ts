import { DescribeTableCommand } from '@aws-sdk/client-dynamodb';
import type { Command } from 'commander';
import type { NamespaceRecord } from '../../lib/config/namespace-registry.js';
import { type Answer, type Cell, done, fields, table } from '../answer.js';
import { confirmed } from '../confirmation.js';
import type { Connection } from '../connection.js';
import type { Execute } from '../execute.js';
import { NotFound } from '../exit-codes.js';
import { progress } from '../progress.js';
import { paged, pageOf, parsedMetadata } from './entity.js';

/** `headgate namespace`: the tenants of the table. The name is an argument: `--namespace` says nothing here. */
export function addNamespaceCommands(root: Command, execute: Execute): void {
  const namespaces = root.command('namespace').description('the tenants of the table; none needs to be registered to be used');

  namespaces
    .command('register <name>')
    .description('list a namespace from now on')
    .option('--title <title>', 'what it is for')
    .option('--metadata <json>', 'an object, kept as it is')
    .addHelpText('after', '\nExample:\n  $ headgate namespace register globex --title Globex')
    .action((namespace: string, _options: unknown, command: Command) =>
      execute(command, async (connection) => {
        const { title, metadata } = command.opts<{ title?: string; metadata?: string }>();
        const given = metadata === undefined ? undefined : parsedMetadata(metadata);
        return shown(await connection.namespaces.register({ namespace, title, metadata: given }));
      }),
    );

  paged(namespaces.command('list').description('the namespaces that are registered, or being purged')).action(
    (_options: unknown, command: Command) =>
      execute(command, async (connection) => {
        const found = await connection.namespaces.list(pageOf(command));
        return { json: found, shown: [table(['namespace', 'state', 'registeredAt', 'registeredBy', 'title'], found.map(row))] };
      }),
  );

  namespaces
    .command('get <name>')
    .description('what is registered of a namespace, and how far its purge has come')
    .action((namespace: string, _options: unknown, command: Command) =>
      execute(command, async (connection) => {
        const found = await connection.namespaces.get(namespace);
        if (found === undefined) throw new NotFound(`Namespace ${JSON.stringify(namespace)} is not registered`);
        return shown(found);
      }),
    );

  namespaces
    .command('purge <name>')
    .description('delete everything of a namespace; the same command goes on where one was interrupted')
    .option('--include-audit', 'also the history of its limits, entities and keys')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  $ headgate namespace purge globex --yes --json')
    .action((namespace: string, _options: unknown, command: Command) =>
      execute(command, async (connection) => {
        const { includeAudit = false, yes = false } = command.opts<{ includeAudit?: true; yes?: true }>();
        const known = await connection.namespaces.get(namespace);
        const what = known === undefined ? `${namespace}, which is not registered` : namespace;
        await confirmed(`Delete everything of namespace ${what}, in table ${connection.tableName}? It cannot be undone.`, yes);
        return purged(connection, namespace, includeAudit, command.optsWithGlobals<{ json?: true }>().json);
      }),
    );
}

async function purged(
  connection: Connection,
  namespace: string,
  includeAudit: boolean,
  silent: boolean | undefined,
): Promise<Answer> {
  const shows = progress(`Purging ${namespace}:`, { total: await estimate(connection), silent });
  let complete = false;
  try {
    const result = await connection.namespaces.purge(namespace, {
      includeAudit,
      onProgress: ({ pass, examined, deleted }) =>
        shows.at(examined, `pass ${pass} of 2, ${examined} items looked at, ${deleted} deleted`),
    });
    complete = true;
    const history = includeAudit ? 'its history too' : 'its history stays until it expires';
    return done(`Purged ${namespace}: ${result.deleted} items deleted; ${history}.`, { namespace, ...result });
  } finally {
    shows.end(complete);
  }
}

/** The items of the table that two passes look at, as DynamoDB counted them within six hours; undefined where it does not say. */
async function estimate({ client, tableName }: Connection): Promise<number | undefined> {
  try {
    const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
    return Table?.ItemCount ? Table.ItemCount * 2 : undefined;
  } catch {
    // The purge itself says what is wrong with the table.
    return undefined;
  }
}

function shown(record: NamespaceRecord): Answer {
  return { json: record, shown: [fields({ ...record })] };
}

const row = ({ namespace, title, registeredAt, registeredBy, purge }: NamespaceRecord): readonly Cell[] => [
  namespace,
  purge === undefined ? { text: 'registered', tone: 'good' } : { text: 'being purged', tone: 'warning' },
  registeredAt ?? '-',
  registeredBy ?? '-',
  title ?? '-',
];
