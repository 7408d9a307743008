/** The hours, days and months usage is counted by. All of them are UTC; instants are milliseconds since 1970. */
import { USAGE_PERIODS, type UsagePeriod } from '../store/schema.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** How long a row is kept after its period has ended, in days. Months stay for good. */
const KEPT_DAYS: Readonly<Record<UsagePeriod, number | undefined>> = { hour: 35, day: 400, month: undefined };

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

/**
 * When the row of this period may be deleted, epoch seconds: hours 35 days and days 400 days after they end, months never (undefined).
 * A stream keeps a record for 24 hours, so no record comes again after the row that has counted it is gone.
 */
export function usageTtlSeconds(period: UsagePeriod, startMs: number): number | undefined {
  const days = KEPT_DAYS[period];
  return days === undefined ? undefined : (periodEndMs(period, startMs) + days * DAY_MS) / 1000;
}
