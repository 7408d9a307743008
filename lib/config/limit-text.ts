/**
 * Limits as a person writes them, on a command line or in a manifest, and reads them in a table: `rpm=60/minute`, `usd=5000000/calendar-month,timeZone=Europe/Paris`,
 * `rpm=60/minute; x0.5 at * 9-16 * * 1-5`.
 */
import { inferCounts } from '../core/counts.js';
import { type Limit, parseLimit } from '../core/limit.js';
import { InvalidArgument } from '../errors.js';
import { periodText, timeMs, timeText } from './period-text.js';
import { entryText, parseEntryText } from './schedule-text.js';

const EXPECTED =
  'NAME=AMOUNT/PERIOD[,option=value…][; CHANGE at CRON [TIME-ZONE]…], where PERIOD is second, minute, hour, day, a time such as 10s or 90m, calendar-day, ' +
  'calendar-month, session-TIME (5h) or lease-TIME (2m)';

const OPTIONS = ['burst', 'timeZone', 'counts', 'mode'];
const WEIGHTS = ['input', 'cachedInput', 'output'];

/** A limit in the parts that a person writes. What is not here is handed on as it is, under the name that `parseLimit` knows. */
export interface WrittenLimit {
  readonly name: string;
  readonly amount: unknown;
  /** `minute`, `10s`, `calendar-month`, `session-5h`, `lease-2m`. */
  readonly per: string;
  readonly burst?: unknown;
  readonly options: Readonly<Record<string, unknown>>;
}

/** The limit that a text stands for. Throws `InvalidArgument` for a text of another form, and for values out of their range. */
export function parseLimitText(text: string): Limit {
  const written = writtenLimit(text);
  const limit = limitOf(written, `limit ${written.name}`);
  if (limit === undefined) throw notALimit(text);
  return limit;
}

/** The limit of these parts; undefined where `per` is no period. Throws `InvalidArgument` for values out of their range. */
export function limitOf({ name, amount, per, burst, options }: WrittenLimit, field: string): Limit | undefined {
  const fields = { name, ...options };
  const [, kind, time] = /^(session|lease)-(.+)$/.exec(per) ?? [];
  const calendar = /^calendar-(day|month)$/.exec(per)?.[1];
  if ((calendar !== undefined || kind !== undefined) && burst !== undefined)
    throw new InvalidArgument({ field: `${field}.burst`, value: burst, expected: 'left out: only a refilled limit has a burst' });
  if (calendar !== undefined) return parseLimit({ kind: 'quota', capacity: amount, per: calendar, ...fields }, field);
  const spanMs = timeMs(time ?? per);
  if (spanMs === undefined) return undefined;
  if (kind === 'session') return parseLimit({ kind, capacity: amount, everyMs: spanMs, ...fields }, field);
  if (kind === 'lease') return parseLimit({ kind: 'concurrent', capacity: amount, leaseMs: spanMs, ...fields }, field);
  const capacity = burst === undefined ? amount : burst;
  return parseLimit({ kind: 'bucket', capacity, refillAmount: amount, refillPeriodMs: spanMs, ...fields }, field);
}

/** The text of a limit, its schedule included: what `parseLimitText` makes the same limit of. */
export function limitText(limit: Limit): string {
  const entries = limit.schedule?.map(entryText) ?? [];
  return [plainText(limit), ...entries].join('; ');
}

/** Several of them in a line; those with a schedule in brackets. */
export const limitsText = (limits: readonly Limit[]): string =>
  limits.map((limit) => (limit.schedule === undefined ? limitText(limit) : `[${limitText(limit)}]`)).join(' ');

/** The text of a limit at times when no entry of its schedule holds. */
export function plainText(limit: Limit): string {
  const { name, amount, per, burst, options } = partsOf(limit);
  const { timeZone, counts, mode, weights } = options as Partial<Record<string, string>> & Pick<Limit, 'weights'>;
  const told = Object.entries({ burst, timeZone, counts, mode, ...weights }).filter(([, value]) => value !== undefined);
  return [`${name}=${amount}/${per}`, ...told.map(([option, value]) => `${option}=${String(value)}`)].join(',');
}

/** The parts in which a person writes a limit, without those that go without saying. `limitOf` makes the same limit of them. */
export function partsOf(limit: Limit): WrittenLimit & { readonly amount: number } {
  const { name, counts, mode, weights, schedule } = limit;
  const inferred = limit.kind === 'concurrent' ? 'inFlight' : inferCounts(name);
  const options = {
    ...(limit.kind === 'quota' && limit.timeZone !== 'UTC' && { timeZone: limit.timeZone }),
    ...(counts !== inferred && { counts }),
    ...(mode !== undefined && { mode }),
    ...(weights !== undefined && { weights }),
    ...(schedule !== undefined && { schedule }),
  };
  switch (limit.kind) {
    case 'bucket': {
      const { capacity, refillAmount: amount, refillPeriodMs } = limit;
      return { name, amount, per: periodText(refillPeriodMs), ...(capacity !== amount && { burst: capacity }), options };
    }
    case 'quota':
      return { name, amount: limit.capacity, per: `calendar-${limit.per}`, options };
    case 'session':
      return { name, amount: limit.capacity, per: `session-${timeText(limit.everyMs)}`, options };
    case 'concurrent':
      return { name, amount: limit.capacity, per: `lease-${timeText(limit.leaseMs)}`, options };
  }
}

/** The parts of a text. */
function writtenLimit(text: string): WrittenLimit {
  const [plain = '', ...entries] = text.split(';');
  const [head = '', ...options] = plain.trim().split(',');
  const [, name, amount, per] = /^([^=]+)=(\d+)\/(.+)$/.exec(head) ?? [];
  if (name === undefined || amount === undefined || per === undefined) throw notALimit(text);
  const { burst, ...given } = optionsOf(options, name, text);
  const schedule = entries.map((entry, index) => parseEntryText(entry, `limit ${name}.schedule[${index}]`));
  return {
    name,
    amount: Number(amount),
    per,
    ...(burst !== undefined && { burst: Number(burst) }),
    options: { ...given, ...(schedule.length > 0 && { schedule }) },
  };
}

function optionsOf(options: readonly string[], name: string, text: string): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  const weights: Record<string, number> = {};
  for (const option of options) {
    const [, key, value] = /^([A-Za-z]+)=(.+)$/.exec(option) ?? [];
    if (key === undefined || value === undefined) throw notALimit(text);
    if (WEIGHTS.includes(key)) weights[key] = Number(value);
    else if (OPTIONS.includes(key)) given[key] = value;
    else
      throw new InvalidArgument({
        field: `limit ${name}.${key}`,
        value,
        expected: `left out: the options are ${[...OPTIONS, ...WEIGHTS].join(', ')}`,
      });
  }
  return Object.keys(weights).length === 0 ? given : { ...given, weights };
}

const notALimit = (value: string) => new InvalidArgument({ field: 'limit', value, expected: EXPECTED });
