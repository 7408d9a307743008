import { BoundedMap } from '../bounded-map.js';
import { type Clock, correctedByFs, nowFs } from '../clock.js';
import { fillFs } from '../core/bucket.js';
import type { Demand } from '../core/decision.js';
import { rateOf, type TokenBucketLimit } from '../core/limit.js';
import type { Difference } from '../core/settlement.js';
import { type Stored, sameRule } from '../core/standing.js';
import { StoreFailure } from '../store/store.js';
import type { BucketWriter } from './bucket-writer.js';
import type { Decision } from './operation.js';

/** Tokens that this process has charged to a bucket and not handed out yet. */
interface Lot {
  readonly chargedAtFs: bigint;
  /** When what is left is given back, in steady time: by then as many tokens have come back to the bucket as the lot took. */
  readonly untilFs: bigint;
  readonly parts: readonly LotPart[];
  /** The bucket after the charge. */
  readonly stored: Stored;
  /** Requests that it served. */
  served: number;
}

interface LotPart {
  readonly limit: TokenBucketLimit;
  left: number;
}

/** A bucket forgotten with a lot keeps the charge of it. */
const BUCKETS_REMEMBERED = 10_000;

interface Bucket {
  lot: Lot | undefined;
  /** A lot is being charged: requests meanwhile are charged as they come. */
  charging: boolean;
  /** The last request that was not served by a lot, in steady time; undefined before the first. */
  askedAtFs: bigint | undefined;
}

/**
 * Takes tokens of busy buckets in lots, a share of each capacity, and hands them out without a call:
 *
 *     charge of a lot                    spent, or the rest given back
 *     -----|-------------------------------------|-------> time
 *          '----------- fill(lot) ---------------'
 *
 * A token is handed out at most fill(lot) after it was charged, so no window of time ever sees more than capacity * (1 + share) and the refill. Only
 * for buckets of enforced token buckets, whose share is at least one token, and for requests that may use all of them.
 */
export class Prefetch {
  readonly #share: number;
  readonly #clock: Clock;
  readonly #buckets = new BoundedMap<BucketWriter, Bucket>(BUCKETS_REMEMBERED);

  constructor(share: number, clock: Clock) {
    this.#share = share;
    this.#clock = clock;
  }

  /** Decides a request that cannot wait: out of the lot, or with a charge that takes a new one where the bucket was asked a moment ago. */
  async acquire(writer: BucketWriter, demands: readonly Demand[]): Promise<Decision> {
    const steadyFs = this.#steadyFs(nowFs(this.#clock));
    const parts = lotParts(demands, this.#share);
    if (parts === undefined) return writer.acquire(demands);
    const bucket = this.#buckets.get(writer) ?? { lot: undefined, charging: false, askedAtFs: undefined };
    this.#buckets.set(writer, bucket);
    if (bucket.lot !== undefined && handedOut(bucket.lot, demands, steadyFs)) {
      return { granted: true, nowFs: nowFs(this.#clock), stored: bucket.lot.stored };
    }
    const busy = bucket.askedAtFs !== undefined && steadyFs - bucket.askedAtFs <= lifeFs(parts);
    bucket.askedAtFs = steadyFs;
    const together = demands.map((demand, index) => ({ ...demand, cost: demand.cost + (parts[index]?.left ?? 0) }));
    const roomy = together.every(({ cost, limit }) => cost <= limit.capacity) && !writer.strained(together);
    if (!busy || !roomy || bucket.charging) return writer.acquire(demands);
    bucket.charging = true;
    try {
      void this.#end(writer, bucket);
      const decision = await writer.acquire(together);
      if (!decision.granted) return await writer.acquire(demands);
      const { nowFs: chargedAtFs, stored } = decision;
      bucket.lot = { chargedAtFs, untilFs: this.#steadyFs(chargedAtFs) + lifeFs(parts), parts, stored, served: 0 };
      return decision;
    } finally {
      bucket.charging = false;
    }
  }

  /** An instant of the clock as it is corrected now, told by the time that no correction touches. */
  #steadyFs(atFs: bigint): bigint {
    return atFs - correctedByFs(this.#clock);
  }

  /** Gives back what is left of all lots. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#buckets].map(([writer, bucket]) => this.#end(writer, bucket)));
  }

  /** Gives back what is left of a bucket's lot, with the count of the requests that it served. What cannot be given back stays charged. */
  async #end(writer: BucketWriter, bucket: Bucket): Promise<void> {
    const { lot } = bucket;
    bucket.lot = undefined;
    if (lot === undefined) return;
    const differences = lot.parts.flatMap(({ limit, left }): readonly Difference[] => {
      const charge = { kind: 'bucket' as const, name: limit.name, counts: limit.counts, tokens: left, ...rateOf(limit) };
      return left === 0 ? [] : [{ charge, tokens: -left }];
    });
    if (differences.length === 0 && lot.served === 0) return;
    await writer.post({ differences, acquiredAtFs: lot.chargedAtFs }, lot.served).catch((error: unknown) => {
      if (!(error instanceof StoreFailure)) throw error;
    });
  }
}

/** The lots of a bucket's limits; undefined where it has none: see the class. */
function lotParts(demands: readonly Demand[], share: number): readonly LotPart[] | undefined {
  const parts: LotPart[] = [];
  for (const { limit, bypass, within = limit.capacity } of demands) {
    const left = Math.floor(limit.capacity * share);
    if (limit.kind !== 'bucket' || limit.mode === 'observe' || bypass || within < limit.capacity || left < 1) return undefined;
    parts.push({ limit, left });
  }
  return parts;
}

/** How long a lot may be handed out: until the first of its limits has refilled by as much. */
function lifeFs(parts: readonly LotPart[]): bigint {
  return parts.map(({ limit, left }) => fillFs(limit, left)).reduce((least, fs) => (fs < least ? fs : least));
}

/** Takes the demands out of the lot; false: they are not in it. */
function handedOut(lot: Lot, demands: readonly Demand[], steadyFs: bigint): boolean {
  const { parts, untilFs } = lot;
  const fits = demands.every(({ limit, cost }, index) => {
    const part = parts[index];
    return part !== undefined && sameRule(part.limit, limit) && part.left >= cost;
  });
  if (!fits || demands.length !== parts.length || steadyFs > untilFs) return false;
  for (const [index, part] of parts.entries()) part.left -= demands[index]?.cost ?? 0;
  lot.served += 1;
  return true;
}
