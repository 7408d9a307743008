/** The hours, days and months usage is counted by. All of them are UTC; instants are milliseconds since 1970. */
import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';
import { FEWEST_USAGE_DAYS, MOST_USAGE_DAYS, USAGE_PERIODS, type UsagePeriod } from '../store/schema.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** How long rows are kept after their period has ended, in days; undefined: for good. */
export type UsageRetention = Readonly<Record<UsagePeriod, number | undefined>>;

export const DEFAULT_USAGE_RETENTION: UsageRetention = { hour: 35, day: 400, month: undefined };

/** The default with what `given` says otherwise: days, 16 to 3,660. Throws `InvalidArgument`. */
export function usageRetention(given: Readonly<Record<string, unknown>>, field: string): UsageRetention {
  checkFields(given, USAGE_PERIODS, field);
  for (const [period, days] of Object.entries(given)) {
    if (days === undefined || (Number.isInteger(days) && Number(days) >= FEWEST_USAGE_DAYS && Number(days) <= MOST_USAGE_DAYS))
      continue;
    const expected = `an integer from ${FEWEST_USAGE_DAYS} to ${MOST_USAGE_DAYS}`;
    throw new InvalidArgument({ field: `${field}.${period}`, value: days, expected });
  }
  return { ...DEFAULT_USAGE_RETENTION, ...given };
}

export function isUsagePeriod(value: unknown): value is UsagePeriod {
  return USAGE_PERIODS.some((period) => period === value);
}

/** The first instant of the period that holds `atMs` (0 to LAST_INSTANT_MS). A period holds its first instant and not its end. */
export function periodStartMs(period: UsagePeriod, atMs: number): number {
  switch (period) {
    case 'hour':
      return atMs - (atMs % HOUR_MS);
    case 'day':
      return atMs - (atMs % DAY_MS);
    case 'month': {
      const at = new Date(atMs);
      return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
    }
  }
}

/** The first instant after the period that starts at `startMs`. */
export function periodEndMs(period: UsagePeriod, startMs: number): number {
  switch (period) {
    case 'hour':
      return startMs + HOUR_MS;
    case 'day':
      return startMs + DAY_MS;
    case 'month': {
      const start = new Date(startMs);
      return Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1);
    }
  }
}

/** A period's start as usage keys hold it: ISO 8601 to the second, '2026-11-22T13:00:00Z'. */
export function periodStartText(startMs: number): string {
  return `${new Date(startMs).toISOString().slice(0, 19)}Z`;
}

/** When the row of this period may be deleted, epoch seconds; undefined: never. */
export function usageTtlSeconds(
  period: UsagePeriod,
  startMs: number,
  retention: UsageRetention = DEFAULT_USAGE_RETENTION,
): number | undefined {
  const days = retention[period];
  return days === undefined ? undefined : (periodEndMs(period, startMs) + days * DAY_MS) / 1000;
}
