import { type Command, Option } from 'commander';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { InvalidArgument } from '../../lib/errors.js';
import { USAGE_PERIODS, type UsagePeriod } from '../../lib/store/schema.js';
import type { UsageCounts } from '../../lib/usage/usage-sums.js';
import { type Answer, lines, table } from '../answer.js';
import type { Execute } from '../execute.js';
import { numberOf } from '../scope-options.js';

interface UsageFlags {
  readonly resource?: string;
  readonly from?: string;
  readonly to?: string;
  readonly by: UsagePeriod;
  /** True: as many as there are by default. */
  readonly top?: string | true;
  readonly sort?: string;
  readonly format: 'table' | 'csv' | 'json';
}

/** `headgate usage`: what an entity consumed, or who consumed most, from the table's stream. */
export function addUsage(root: Command, execute: Execute): void {
  root
    .command('usage [entity]')
    .description(
      'what an entity consumed, or, without one, who consumed most: today, unless told otherwise; seconds behind, as the stream is',
    )
    .option('--resource <name>', 'only this resource')
    .option('--top [number]', 'how many of those who consumed most: 10, unless told otherwise')
    .option(
      '--sort <what>',
      'most of what: the tokens of a limit, by its name, or requests, or denied; requests unless told otherwise',
    )
    .option('--from <time>', 'ISO 8601, UTC without an offset')
    .option('--to <time>', 'ISO 8601, the first instant no longer asked for')
    .addOption(new Option('--by <period>', 'the periods that are counted').choices(USAGE_PERIODS).default('day'))
    .addOption(new Option('--format <format>', 'how it is written').choices(['table', 'csv', 'json']).default('table'))
    .addHelpText(
      'after',
      `
Examples:
  $ headgate usage key-1 --by hour
  $ headgate usage key-1 --from 2026-11-01 --to 2026-12-01 --format csv
  $ headgate usage --resource gpt-4o --top 5 --sort tpm`,
    )
    .action((entity: string | undefined, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const flags = command.opts<UsageFlags>();
        return entity === undefined ? top(admin, flags) : used(admin, entity, flags);
      }),
    );
}

async function used(admin: HeadgateAdmin, entity: string, flags: UsageFlags): Promise<Answer> {
  for (const field of ['top', 'sort'] as const) {
    if (flags[field] !== undefined)
      throw new InvalidArgument({ field, value: flags[field], expected: `left out: ${entity} is the only one asked for` });
  }
  const { resource, from, to, by, format } = flags;
  const usage = await admin.usage({ entity, resource, from, to, by });
  return written(usage, sheet(['start', 'resource'], usage.rows), format);
}

async function top(admin: HeadgateAdmin, { resource, from, to, by, top, sort, format }: UsageFlags): Promise<Answer> {
  const limit = typeof top === 'string' ? numberOf(top) : undefined;
  const consumers = await admin.topConsumers({ resource, from, to, by, sortBy: sort, limit });
  return written({ consumers }, sheet(['entity'], consumers), format);
}

interface Sheet {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

function written(json: unknown, { columns, rows }: Sheet, format: UsageFlags['format']): Answer {
  switch (format) {
    case 'json':
      return { json, shown: [lines(JSON.stringify(json))] };
    case 'csv':
      return { json, shown: [lines(...[columns, ...rows].map((row) => row.map(csvField).join(',')))] };
    case 'table':
      return { json, shown: [table(columns, rows)] };
  }
}

/** A line for each of these, which begins with what names it, and a column for each limit that any of them has. */
function sheet<Name extends string>(names: readonly Name[], usage: readonly (UsageCounts & Record<Name, string>)[]): Sheet {
  const limits = [...new Set(usage.flatMap(({ consumed }) => Object.keys(consumed)))].sort();
  return {
    columns: [...names, 'requests', 'denied', ...limits],
    rows: usage.map((row) => [
      ...names.map((name) => row[name]),
      row.requests,
      row.denied,
      ...limits.map((limit) => (Object.hasOwn(row.consumed, limit) ? Number(row.consumed[limit]) : '')),
    ]),
  };
}

/** A field of RFC 4180. */
function csvField(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
