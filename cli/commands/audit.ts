import type { Command } from 'commander';
import type { AuditRecord, AuditTarget } from '../../lib/config/audit.js';
import { limitsText } from '../../lib/config/limit-text.js';
import type { ScopeContent } from '../../lib/config/scope-limits.js';
import { scopeText } from '../../lib/config/scope-limits.js';
import type { Tokens } from '../../lib/lease.js';
import { type Answer, type Cell, lines, table } from '../answer.js';
import type { Execute } from '../execute.js';
import { numberOf } from '../scope-options.js';
import { tokensText } from '../tokens-text.js';

interface AuditFlags {
  readonly from?: string;
  readonly to?: string;
  readonly entity?: string;
  readonly by?: string;
  readonly limit: string;
  readonly after?: string;
}

/** `headgate audit`: who changed what, when, from what, to what. */
export function addAudit(root: Command, execute: Execute): void {
  root
    .command('audit')
    .description(
      'who changed which limits, entities and keys, reset or topped up a bucket: the latest first, of the last 30 days unless told otherwise',
    )
    .option('--from <time>', 'ISO 8601, UTC without an offset')
    .option('--to <time>', 'ISO 8601, the first instant no longer asked for')
    .option('--entity <name>', 'only changes of this entity, its limits and its keys')
    .option('--by <actor>', 'only changes by them')
    .option('--limit <number>', 'no more records than this', '100')
    .option('--after <id>', 'the id of the last record of the page before')
    .addHelpText(
      'after',
      '\nExamples:\n  $ headgate audit --entity key-1\n  $ headgate audit --from 2026-11-01 --by ada@laptop --limit 10 --json',
    )
    .action((_options: unknown, command: Command) =>
      execute(command, async ({ admin }): Promise<Answer> => {
        const { from, to, entity, by, limit, after } = command.opts<AuditFlags>();
        const most = numberOf(limit);
        const records = await admin.audit({ from, to, entity, actor: by, limit: most, after });
        const last = records.at(-1);
        const more = last === undefined || records.length < most ? [] : [lines(`More with --after ${last.id}`)];
        return { json: { records }, shown: [table(['at', 'by', 'did', 'to', 'change'], records.map(row)), ...more] };
      }),
    );
}

const row = (record: AuditRecord): Cell[] => [
  record.at,
  record.actor,
  record.action,
  targetText(record.target),
  changeText(record),
];

function targetText(target: AuditTarget): string {
  if ('keyId' in target) return `key ${target.keyId} of ${target.entity}`;
  return 'namespace' in target ? `namespace ${target.namespace}` : scopeText(target);
}

/** `rpm=60/minute -> rpm=10/minute`, or the fields that differ. */
function changeText({ from, to }: AuditRecord): string {
  const [before, after] = [from, to].map((value) => new Map(Object.entries(value ?? {}).map(valueText)));
  if (before === undefined || after === undefined) return '';
  return [...new Set([...before.keys(), ...after.keys()])]
    .flatMap((name) => {
      const [old, now] = [before.get(name), after.get(name)];
      if (old === now) return [];
      if (from === undefined) return [`${name} ${now}`];
      return to === undefined ? [`${name} ${old}`] : [`${name} ${old ?? 'none'} -> ${now ?? 'none'}`];
    })
    .join('; ');
}

function valueText([name, value]: [string, unknown]): [string, string] {
  if (name === 'limits') return [name, limitsText(value as ScopeContent['limits']) || 'none'];
  if (name === 'tokens') return [name, tokensText(value as Tokens)];
  return [name, typeof value === 'string' ? value : JSON.stringify(value)];
}
