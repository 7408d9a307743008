/** Which time a question about usage means: what the caller wrote, checked and completed. */
import { InvalidArgument } from '../errors.js';
import { USAGE_PERIODS, type UsagePeriod } from '../store/schema.js';
import { isUsagePeriod, LAST_INSTANT_MS, periodEndMs, periodStartMs } from './usage-period.js';

export interface UsageRangeQuery {
  /** The first instant asked for. A string is ISO 8601; without an offset it is UTC. @default the start of today (UTC) */
  readonly from?: Date | string | undefined;
  /** The first instant no longer asked for. @default the start of tomorrow (UTC) */
  readonly to?: Date | string | undefined;
  /** The length of the periods that are counted. @default 'day' */
  readonly by?: UsagePeriod | undefined;
}

/** The instants from `fromMs` up to and without `toMs`, milliseconds since 1970; never empty. */
export interface UsageRange {
  readonly by: UsagePeriod;
  readonly fromMs: number;
  readonly toMs: number;
}

const LEGAL_INSTANT = `a Date or an ISO 8601 string from 1970-01-01T00:00:00.000Z to ${new Date(LAST_INSTANT_MS).toISOString()}`;

/** Date, or date and time, with or without an offset. Groups: year, month, day, time, offset. */
const ISO_8601 = /^(\d{4})-(\d{2})(?:-(\d{2})(?:T(\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?)?$/;

/** The range asked for. InvalidArgument: unknown `by`, no such instant, or an end that is not after the start. */
export function usageRange(query: UsageRangeQuery, now: Date): UsageRange {
  const { by = 'day', from, to } = query;
  if (!isUsagePeriod(by)) throw new InvalidArgument({ field: 'by', value: by, expected: `one of ${USAGE_PERIODS.join(', ')}` });
  const todayMs = periodStartMs('day', now.getTime());
  const fromMs = from === undefined ? todayMs : instantMs('from', from);
  const toMs = to === undefined ? periodEndMs('day', todayMs) : instantMs('to', to);
  if (fromMs >= toMs) {
    throw to === undefined
      ? new InvalidArgument({ field: 'from', value: from, expected: `before the end ${new Date(toMs).toISOString()}` })
      : new InvalidArgument({ field: 'to', value: to, expected: `after the start ${new Date(fromMs).toISOString()}` });
  }
  return { by, fromMs, toMs };
}

function instantMs(field: 'from' | 'to', value: unknown): number {
  const ms = value instanceof Date ? value.getTime() : typeof value === 'string' ? parseIso8601(value) : Number.NaN;
  if (ms >= 0 && ms <= LAST_INSTANT_MS) return ms;
  throw new InvalidArgument({ field, value, expected: LEGAL_INSTANT });
}

/** The instant, or NaN. Stricter than Date.parse, which takes 30 February for 2 March and a time without offset for local time. */
function parseIso8601(text: string): number {
  const [, year, month, day = '01', time = '00:00', offset = 'Z'] = ISO_8601.exec(text) ?? [];
  if (year === undefined || month === undefined) return Number.NaN;
  const lastDay = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return Number(day) > lastDay ? Number.NaN : Date.parse(`${year}-${month}-${day}T${time}${offset}`);
}
