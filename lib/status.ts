import { type Clock, nowMs } from './clock.js';
import type { LimitReport } from './report.js';

/** Where one limit of one level stands. */
export interface LimitStatus {
  readonly entity: string;
  readonly resource: string;
  readonly limit: string;
  readonly capacity: number;
  /** Whole tokens there, rounded down; negative: debt. */
  readonly available: number;
  /** What is owed before anything is admitted; 0 where nothing is. */
  readonly debt: number;
  /** Milliseconds until the limit is full again. */
  readonly resetMs: number;
  /** ISO 8601; null where it is full, or beyond the range of dates. */
  readonly fullAt: string | null;
}

export interface Status {
  readonly entity: string;
  readonly resource: string;
  readonly limits: readonly LimitStatus[];
}

const LATEST_DATE_MS = 8_640_000_000_000_000;

/** An instant as a Date; null beyond the range of dates. */
export function dateOf(ms: number): Date | null {
  return ms > LATEST_DATE_MS ? null : new Date(ms);
}

export function statusOf({ entity, resource, limit, capacity, available, resetMs }: LimitReport, clock: Clock): LimitStatus {
  const fullAt = resetMs === 0 ? null : (dateOf(nowMs(clock) + resetMs)?.toISOString() ?? null);
  return { entity, resource, limit, capacity, available, debt: Math.max(0, -available), resetMs, fullAt };
}
