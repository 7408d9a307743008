/** Which time a question about usage means: what the caller wrote, checked and completed. */
import { InvalidArgument } from '../errors.js';
import { instantMs } from '../instant.js';
import { USAGE_PERIODS, type UsagePeriod } from '../store/schema.js';
import { isUsagePeriod, periodEndMs, periodStartMs } from './usage-period.js';

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
