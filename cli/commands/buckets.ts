import { type Command, Option } from 'commander';
import { parseLimitText } from '../../lib/config/limit-text.js';
import { PRIORITIES, type Priority } from '../../lib/config/priorities.js';
import type { Level } from '../../lib/config/resolution.js';
import type { Lease } from '../../lib/lease.js';
import type { Denial } from '../../lib/rate-limit-exceeded.js';
import type { LimitReport } from '../../lib/report.js';
import { formStatus } from '../../lib/status.js';
import { type Answer, type Cell, done, lines, type Table, table } from '../answer.js';
import type { Execute } from '../execute.js';
import { EXIT, Interrupted } from '../exit-codes.js';
import { formText } from '../schedule-table.js';
import { numberOf } from '../scope-options.js';
import { parseTokens, tokensText } from '../tokens-text.js';

interface AcquireFlags {
  readonly limit?: readonly string[];
  readonly maxWaitMs?: string;
  readonly priority?: Priority;
  readonly contextTokens?: string;
  readonly settle?: readonly string[];
  readonly release?: true;
}

/** What concerns live buckets: where they stand, trying them out, and an operator's help. */
export function addBucketCommands(root: Command, execute: Execute): void {
  root
    .command('status <entity> <resource>')
    .description('where every limit stands now, on every level')
    .action((entity: string, resource: string, _options: unknown, command: Command) =>
      execute(command, async ({ limiter }) => {
        const status = await limiter.status({ entity, resource });
        const isScheduled = status.limits.some(({ form }) => form !== undefined);
        const rows = status.limits.map((each): Cell[] => [
          each.entity,
          each.limit,
          level(each.available),
          each.capacity,
          each.debt,
          each.queueMs,
          each.resetMs,
          ...(isScheduled ? [formText(each.form)] : []),
        ]);
        const columns = [
          'entity',
          'limit',
          'available',
          'capacity',
          'debt',
          'queueMs',
          'resetMs',
          ...(isScheduled ? ['form'] : []),
        ];
        return { json: status, shown: [table(columns, rows)] };
      }),
    );

  root
    .command('available <entity> <resource>')
    .description('whole tokens that may be acquired now: the smallest over the levels')
    .action((entity: string, resource: string, _options: unknown, command: Command) =>
      execute(command, async ({ limiter }) => {
        const [available, levels] = await Promise.all([
          limiter.available({ entity, resource }),
          limiter.limits({ entity, resource }),
        ]);
        const forms = formsByName(levels, Date.now());
        const rows = Object.entries(available).map(([limit, tokens]): Cell[] => [
          limit,
          tokens,
          ...(forms.size === 0 ? [] : [forms.get(limit) ?? '-']),
        ]);
        return { json: available, shown: [table(['limit', 'available', ...(forms.size === 0 ? [] : ['form'])], rows)] };
      }),
    );

  root
    .command('acquire <entity> <resource> <tokens...>')
    .description('acquire by hand: what is granted stays charged, unless it is settled or released')
    .option('--limit <limit...>', 'limits for this request, instead of those stored')
    .option('--max-wait-ms <number>', 'take a place in the queue and wait')
    .addOption(new Option('--priority <priority>', 'how urgent it is').choices(PRIORITIES))
    .option('--context-tokens <number>', 'the tokens of the call, for tiers that allow only so many')
    .option('--settle <tokens...>', 'then settle to what it really was')
    .option('--release', 'then give it all back')
    .addHelpText(
      'after',
      '\nExamples:\n  $ headgate acquire key-1 gpt-4o rpm=1 tpm=500\n  $ headgate acquire key-1 gpt-4o tpm=500 --settle tpm=730' +
        '\n  $ headgate acquire key-1 gpt-4o rpm=1 --limit rpm=10/minute',
    )
    .action((entity: string, resource: string, words: string[], _options: unknown, command: Command) =>
      execute(command, async ({ limiter }) => {
        const { limit, maxWaitMs, priority, contextTokens, settle, release } = command.opts<AcquireFlags>();
        const settled = settle && parseTokens(settle, '--settle');
        const outcome = await limiter.tryAcquire({
          entity,
          resource,
          consume: parseTokens(words, 'tokens'),
          limits: limit?.map(parseLimitText),
          maxWaitMs: maxWaitMs === undefined ? undefined : numberOf(maxWaitMs),
          priority,
          contextTokens: contextTokens === undefined ? undefined : numberOf(contextTokens),
          signal: untilInterrupted(),
        });
        if (!outcome.granted) return denied(outcome.denial);
        const { lease } = outcome;
        const { limits } = lease;
        if (settled !== undefined) await lease.settle(settled);
        if (release) await lease.release();
        return granted(lease, limits, settled !== undefined, release ?? false);
      }),
    );

  root
    .command('reset <entity> <resource>')
    .description('make a bucket as new: full, without debt or queue')
    .action((entity: string, resource: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        await admin.reset({ entity, resource });
        return done(`The bucket of ${entity} on ${resource} is full.`, { entity, resource });
      }),
    );

  root
    .command('top-up <entity> <resource> <tokens...>')
    .description('give a bucket tokens, up to full')
    .addHelpText('after', '\nExample:\n  $ headgate top-up key-1 gpt-4o tpm=5000')
    .action((entity: string, resource: string, words: string[], _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const tokens = parseTokens(words, 'tokens');
        await admin.topUp({ entity, resource, tokens });
        return done(`Topped up ${entity} on ${resource}.`, { entity, resource, tokens });
      }),
    );
}

/** The forms in force of limits that have a schedule on any level. */
function formsByName(levels: readonly Level[], nowMs: number): ReadonlyMap<string, string> {
  const forms = new Map<string, string>();
  for (const limit of levels.flatMap(({ limits }) => limits)) {
    if (limit.schedule === undefined) continue;
    const text = formText(formStatus(limit, nowMs));
    const before = forms.get(limit.name);
    forms.set(limit.name, before === undefined || before === text ? text : `${before}, ${text}`);
  }
  return forms;
}

/** Aborted by Ctrl-C: a place in the queue is given up, where an ended process would keep it. */
function untilInterrupted(): AbortSignal {
  const interruption = new AbortController();
  process.once('SIGINT', () => interruption.abort(new Interrupted('Interrupted: the place in the queue was given up')));
  return interruption.signal;
}

function granted(lease: Lease, limits: readonly LimitReport[], settled: boolean, released: boolean): Answer {
  const { id, entity, resource, charged, waitedMs, overdrawn, unposted } = lease;
  const then = released ? ', released' : settled ? `, settled to ${tokensText(charged)}` : '';
  const lost =
    unposted === 0 ? [] : [lines({ text: 'What came after could not be written: the database gave no answer.', tone: 'bad' })];
  return {
    json: { granted: true, lease: { id, entity, resource, charged, waitedMs, overdrawn, unposted }, limits },
    shown: [lines({ text: `Granted${then}.`, tone: 'good' }), reportTable(limits), ...lost],
    exitCode: unposted === 0 ? EXIT.done : EXIT.failed,
  };
}

function denied(denial: Denial): Answer {
  const { retryAfterMs, violations, passed } = denial;
  return {
    json: { granted: false, denial },
    shown: [
      lines({ text: `Denied, retry after ${retryAfterMs} ms. Nothing was consumed.`, tone: 'bad' }),
      reportTable([...violations, ...passed]),
    ],
    exitCode: EXIT.denied,
  };
}

const reportTable = (reports: readonly LimitReport[]): Table =>
  table(
    ['entity', 'limit', 'requested', 'available', 'capacity', 'retryAfterMs'],
    reports.map(({ entity, limit, requested, available, capacity, retryAfterMs }) => [
      entity,
      limit,
      requested,
      level(available),
      capacity,
      retryAfterMs,
    ]),
  );

/** Tokens, in the colour of a warning where there are none. */
const level = (available: number): Cell => (available > 0 ? available : { text: available, tone: 'warning' });
