import type { Demand } from '../core/decision.js';
import { type Limit, Limit as limits } from '../core/limit.js';
import { Admission } from './admission.js';
import type { BucketDemand } from './bucket-demand.js';
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
      demands: demands.map((demand) => sharedDemand(demand, this.#share)),
    }));
    return scaled.every(({ demands }) =>
      demands.every(({ limit, cost, bypass, within = limit.capacity }) => bypass || cost <= within),
    )
      ? scaled
      : undefined;
  }
}

const LONGEST_PERIOD_MS = 3_660 * 86_400_000;

function sharedDemand({ limit, cost, within = limit.capacity, slot, bypass }: Demand, share: number): Demand {
  const shared = sharedLimit(limit, share);
  return { limit: shared, cost, slot, bypass, within: Math.min(shared.capacity, Math.max(1, Math.floor(within * share))) };
}

/** A limit at a share of its rate and capacity, at least one token. */
function sharedLimit(limit: Limit, share: number): Limit {
  const capacity = Math.max(1, Math.floor(limit.capacity * share));
  const { name, counts, weights, mode = 'enforce' } = limit;
  const counting = { counts, mode, ...(weights && { weights }) } as const;
  if (limit.kind === 'quota') return limits.quota(name, capacity, { per: limit.per, timeZone: limit.timeZone, ...counting });
  if (limit.kind === 'session') return limits.window(name, capacity, { everyMs: limit.everyMs, ...counting });
  if (limit.kind === 'concurrent') return limits.concurrent(name, capacity, { leaseMs: limit.leaseMs, counts, mode });
  return limits.custom({
    name,
    ...counting,
    capacity,
    refillAmount: limit.refillAmount,
    refillPeriodMs: Math.min(LONGEST_PERIOD_MS, Math.ceil(limit.refillPeriodMs / share)),
  });
}
