import { type Limit, Limit as limits } from '../core/limit.js';
import { Admission, type BucketDemand } from './admission.js';
import type { WriterParts } from './bucket-writer.js';

/** In-process buckets at a share of each limit, for the time in which the database gives no answer. */
export class Fallback {
  readonly admission: Admission;
  readonly #share: number;

  /** `store`: in this process's memory. */
  constructor(parts: WriterParts & { readonly share: number }) {
    this.#share = parts.share;
    this.admission = new Admission(parts);
  }

  /** The buckets at their share. Undefined when a cost is above what the share of its limit could ever hold. */
  scaled(buckets: readonly BucketDemand[]): readonly BucketDemand[] | undefined {
    const scaled = buckets.map(({ key, demands }) => ({
      key,
      demands: demands.map(({ limit, cost }) => ({ limit: sharedLimit(limit, this.#share), cost })),
    }));
    return scaled.every(({ demands }) => demands.every(({ limit, cost }) => cost <= limit.capacity)) ? scaled : undefined;
  }
}

const LONGEST_PERIOD_MS = 3_660 * 86_400_000;

/** A limit at a share of its rate and capacity, at least one token. */
function sharedLimit(limit: Limit, share: number): Limit {
  return limits.custom({
    name: limit.name,
    counts: limit.counts,
    capacity: Math.max(1, Math.floor(limit.capacity * share)),
    refillAmount: limit.refillAmount,
    refillPeriodMs: Math.min(LONGEST_PERIOD_MS, Math.ceil(limit.refillPeriodMs / share)),
  });
}
