import { type Command, Option } from 'commander';
import { USAGE_PERIODS, type UsagePeriod } from '../../lib/store/schema.js';
import type { UsageRow } from '../../lib/usage/read-usage.js';
import { type Answer, lines, table } from '../answer.js';
import type { Execute } from '../execute.js';

interface UsageFlags {
  readonly resource?: string;
  readonly from?: string;
  readonly to?: string;
  readonly by: UsagePeriod;
  readonly format: 'table' | 'csv' | 'json';
}

/** `headgate usage`: what an entity consumed, from the table's stream. */
export function addUsage(root: Command, execute: Execute): void {
  root
    .command('usage <entity>')
    .description('what an entity consumed: today, unless told otherwise; seconds behind, as the stream is')
    .option('--resource <name>', 'only this resource')
    .option('--from <time>', 'ISO 8601, UTC without an offset')
    .option('--to <time>', 'ISO 8601, the first instant no longer asked for')
    .addOption(new Option('--by <period>', 'the periods that are counted').choices(USAGE_PERIODS).default('day'))
    .addOption(new Option('--format <format>', 'how it is written').choices(['table', 'csv', 'json']).default('table'))
    .addHelpText(
      'after',
      '\nExamples:\n  $ headgate usage key-1 --by hour\n  $ headgate usage key-1 --from 2026-11-01 --to 2026-12-01 --format csv',
    )
    .action((entity: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }): Promise<Answer> => {
        const { resource, from, to, by, format } = command.opts<UsageFlags>();
        const usage = await admin.usage({ entity, resource, from, to, by });
        const { columns, rows } = sheet(usage.rows);
        switch (format) {
          case 'json':
            return { json: usage, shown: [lines(JSON.stringify(usage))] };
          case 'csv':
            return { json: usage, shown: [lines(...[columns, ...rows].map((row) => row.map(csvField).join(',')))] };
          case 'table':
            return { json: usage, shown: [table(columns, rows)] };
        }
      }),
    );
}

/** A line for each period and resource, a column for each limit that any of them has. */
function sheet(usage: readonly UsageRow[]): { readonly columns: readonly string[]; readonly rows: (string | number)[][] } {
  const limits = [...new Set(usage.flatMap(({ consumed }) => Object.keys(consumed)))].sort();
  return {
    columns: ['start', 'resource', 'requests', 'denied', ...limits],
    rows: usage.map(({ start, resource, requests, denied, consumed }) => [
      start,
      resource,
      requests,
      denied,
      ...limits.map((limit) => (Object.hasOwn(consumed, limit) ? Number(consumed[limit]) : '')),
    ]),
  };
}

/** A field of RFC 4180. */
function csvField(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
