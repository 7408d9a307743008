/** Limits as a person writes them on a command line, and reads them in a table: `rpm=60/minute`, `usd=5000000/calendar-month,timeZone=Europe/Paris`. */
import { type Limit, parseLimit } from '../lib/core/limit.js';
import { InvalidArgument } from '../lib/errors.js';

const EXPECTED =
  'NAME=AMOUNT/PERIOD[,option=value…], where PERIOD is second, minute, hour, day, a time such as 10s or 90m, calendar-day, ' +
  'calendar-month, session-TIME (5h) or lease-TIME (2m)';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof UNIT_MS;
const WORD_MS: Readonly<Record<string, number>> = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 };
const WEIGHTS = ['input', 'cachedInput', 'output'];

/** The limit that a text stands for. Throws `InvalidArgument` for a text of another form, and for values out of their range. */
export function parseLimitText(text: string): Limit {
  const [head = '', ...options] = text.split(',');
  const [, name, amount, period] = /^([^=]+)=(\d+)\/(.+)$/.exec(head) ?? [];
  if (name === undefined || amount === undefined || period === undefined) throw notALimit(text);
  const { burst, ...given } = optionsOf(options, text);
  const fields = { name, ...given };
  const number = Number(amount);
  const [, kind, time] = /^(session|lease)-(.+)$/.exec(period) ?? [];
  const spanMs = timeMs(time ?? period);
  const field = `limit ${name}`;
  const calendar = /^calendar-(day|month)$/.exec(period)?.[1];
  if (calendar !== undefined || kind !== undefined) {
    if (burst !== undefined)
      throw new InvalidArgument({
        field: `${field}.burst`,
        value: burst,
        expected: 'left out: only a refilled limit has a burst',
      });
    if (calendar !== undefined) return parseLimit({ kind: 'quota', capacity: number, per: calendar, ...fields }, field);
  }
  if (spanMs === undefined) throw notALimit(text);
  if (kind === 'session') return parseLimit({ kind, capacity: number, everyMs: spanMs, ...fields }, field);
  if (kind === 'lease') return parseLimit({ kind: 'concurrent', capacity: number, leaseMs: spanMs, ...fields }, field);
  const capacity = burst === undefined ? number : Number(burst);
  return parseLimit({ kind: 'bucket', capacity, refillAmount: number, refillPeriodMs: spanMs, ...fields }, field);
}

/** The text of a limit: what `parseLimitText` makes the same limit of. */
export function limitText(limit: Limit): string {
  const { name, capacity, mode, weights } = limit;
  const { counts } = limit;
  const inferred = parseLimitText(`${name}=1/${limit.kind === 'concurrent' ? 'lease-1s' : 'day'}`).counts;
  const options = [
    ...(counts === inferred ? [] : [`counts=${counts}`]),
    ...(mode === undefined ? [] : [`mode=${mode}`]),
    ...Object.entries(weights ?? {}).map(([part, weight]) => `${part}=${weight}`),
  ];
  const text = (amount: number, period: string, ...first: readonly string[]) =>
    [`${name}=${amount}/${period}`, ...first, ...options].join(',');
  switch (limit.kind) {
    case 'bucket': {
      const burst = capacity === limit.refillAmount ? [] : [`burst=${capacity}`];
      return text(limit.refillAmount, periodText(limit.refillPeriodMs), ...burst);
    }
    case 'quota':
      return text(capacity, `calendar-${limit.per}`, ...(limit.timeZone === 'UTC' ? [] : [`timeZone=${limit.timeZone}`]));
    case 'session':
      return text(capacity, `session-${timeText(limit.everyMs)}`);
    case 'concurrent':
      return text(capacity, `lease-${timeText(limit.leaseMs)}`);
  }
}

function optionsOf(options: readonly string[], text: string): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  const weights: Record<string, number> = {};
  for (const option of options) {
    const [, key, value] = /^([A-Za-z]+)=(.+)$/.exec(option) ?? [];
    if (key === undefined || value === undefined) throw notALimit(text);
    if (WEIGHTS.includes(key)) weights[key] = Number(value);
    else given[key] = value;
  }
  return Object.keys(weights).length === 0 ? given : { ...given, weights };
}

/** Milliseconds of a time such as `90m`; undefined for what is none. */
export function timeMs(text: string): number | undefined {
  if (Object.hasOwn(WORD_MS, text)) return WORD_MS[text];
  const [, amount, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * UNIT_MS[unit as Unit];
}

function periodText(ms: number): string {
  return Object.entries(WORD_MS).find(([, wordMs]) => wordMs === ms)?.[0] ?? timeText(ms);
}

/** In the largest unit that holds it whole. */
export function timeText(ms: number): string {
  const units = Object.entries(UNIT_MS).reverse();
  const [unit, unitMs] = units.find(([, each]) => ms % each === 0) ?? ['ms', 1];
  return `${ms / unitMs}${unit}`;
}

const notALimit = (value: string) => new InvalidArgument({ field: 'limit', value, expected: EXPECTED });
