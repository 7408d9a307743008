import type { BreakerCounts } from './circuit-breaker.js';

/** What a limiter did since it was made, in counts: for logs, metrics and tests. */
export interface Tally {
  /** Bucket writes, failed conditions included: each costs one write unit, unless it was `unsent`. */
  writes: number;
  granted: number;
  denied: number;
  /** Requests and settlements decided without the database, by `onUnavailable`. */
  unavailable: number;
  throttled: number;
  /** Refunds dropped because the answer to their write was lost: they may have happened. */
  droppedRefunds: number;
}

/** What a limiter did so far, what it knows of its clock, and how often the database was silent. */
export interface Stats extends Readonly<Tally>, BreakerCounts {
  /**
   * What the machine's clock is corrected by, in milliseconds, learned from the database's answers; negative: it is ahead. 0: it may be right, or
   * the clock was given.
   */
  readonly clockOffsetMs: number;
}

export const emptyTally = (): Tally => ({ writes: 0, granted: 0, denied: 0, unavailable: 0, throttled: 0, droppedRefunds: 0 });
