import { BoundedMap } from '../bounded-map.js';
import { nowFs } from '../clock.js';
import type { Demand } from '../core/decision.js';
import { type Limit, rateOf } from '../core/limit.js';
import type { Charge, Difference } from '../core/settlement.js';
import { type BucketKey, bucketPk } from '../store/schema.js';
import type { BucketState } from '../store/store.js';
import type { BucketDemand } from './bucket-demand.js';
import { BucketWriter, type WriterParts } from './bucket-writer.js';
import type { Decision } from './operation.js';
import { Prefetch } from './prefetch.js';
import { type Choice, chosen, type SplitBucket } from './shard-choice.js';

/** What one bucket granted, with all that is needed to settle it, in this process or another. */
export interface Grant {
  readonly key: BucketKey;
  readonly acquiredAtFs: bigint;
  /** Every limit of the bucket, those that were not consumed with 0 tokens. */
  readonly charges: readonly Charge[];
}

const BUCKETS_REMEMBERED = 100_000;

/** Between the limiter and the store: requests over one or several buckets, settled later. */
export class Admission {
  readonly #parts: WriterParts;
  readonly #prefetch: Prefetch | undefined;
  readonly #writers = new BoundedMap<string, BucketWriter>(BUCKETS_REMEMBERED);

  /** `prefetchShare`: of each capacity, taken in lots. Undefined: each request is charged by itself. */
  constructor(parts: WriterParts, prefetchShare?: number) {
    this.#parts = parts;
    this.#prefetch = prefetchShare === undefined ? undefined : new Prefetch(prefetchShare, parts.clock);
  }

  /**
   * Decides all buckets. Granted means all of them, to start together; when one denies or fails, what the others granted is given back, so that a
   * denied request consumes nothing. The decisions stand in the order of the buckets; those of buckets that were not asked are not granted either.
   */
  async acquire(buckets: readonly BucketDemand[], maxWaitFs = 0n): Promise<readonly Decision[]> {
    const [only] = buckets;
    if (buckets.length === 1 && only !== undefined) return [await this.#decided(this.#writer(only.key), only.demands, maxWaitFs)];
    const tries = buckets.map((bucket) => ({ bucket, writer: this.#writer(bucket.key) }));
    if (maxWaitFs > 0n) return this.#inOrder(tries, maxWaitFs);
    if (tries.some(({ writer, bucket }) => writer.remembered(bucket.demands) !== undefined)) return this.#standing(tries, []);
    return tries.some(({ writer, bucket }) => writer.strained(bucket.demands)) ? this.#inOrder(tries, 0n) : this.#atOnce(tries);
  }

  /** Gives back what was taken ahead of need. */
  async close(): Promise<void> {
    await this.#prefetch?.close();
  }

  /** Posts differences of one grant. Resolves when written. */
  post(grant: Grant, differences: readonly Difference[]): Promise<void> {
    return this.#writer(grant.key).post({ differences, acquiredAtFs: grant.acquiredAtFs });
  }

  /** Which shards to ask, of a bucket that was split: by what was seen of them. */
  chosen(split: SplitBucket): Choice {
    return chosen(split, ({ key, demands }) => this.#writer(key).room(demands));
  }

  /** Whether DynamoDB throttled a write of the bucket, in the life of its writer here. */
  wasThrottled(key: BucketKey): boolean {
    return this.#writer(key).throttled;
  }

  /** The bucket as stored now. */
  read(key: BucketKey): Promise<BucketState> {
    return this.#writer(key).read();
  }

  /** The time of granted places has come. */
  start(buckets: readonly BucketDemand[], decisions: readonly Decision[]): void {
    for (const [index, { key }] of buckets.entries()) {
      const place = decisions[index]?.place;
      if (place !== undefined) this.#writer(key).start(place);
    }
  }

  /** Takes a granted request back: places are left, what was charged for now is refunded. A refund that fails is counted by its writer. */
  async withdraw(buckets: readonly BucketDemand[], decisions: readonly (Decision | undefined)[]): Promise<void> {
    await Promise.allSettled(buckets.map((bucket, index) => this.#withdrawn(this.#writer(bucket.key), bucket, decisions[index])));
  }

  #decided(writer: BucketWriter, demands: readonly Demand[], maxWaitFs: bigint): Promise<Decision> {
    if (this.#prefetch === undefined || maxWaitFs > 0n) return writer.acquire(demands, { maxWaitFs });
    return this.#prefetch.acquire(writer, demands);
  }

  async #withdrawn(writer: BucketWriter, bucket: BucketDemand, decision: Decision | undefined): Promise<void> {
    if (!decision?.granted) return;
    const grant = grantOf(bucket, decision);
    const refund = refundOf(grant);
    // A place takes its token buckets with it; what it did not draw, quotas, sessions and slots are given back as always.
    if (decision.place !== undefined) await writer.leave(decision.place);
    const differences =
      decision.place === undefined ? refund : refund.filter(({ charge }) => charge.kind !== 'bucket' || charge.overdrawn);
    if (decision.place !== undefined && differences.length === 0) return;
    await writer.post({ differences, acquiredAtFs: grant.acquiredAtFs }, decision.place === undefined ? -1 : 0);
  }

  /** All in parallel: one round trip. */
  async #atOnce(tries: readonly Try[]): Promise<readonly Decision[]> {
    const outcomes = await Promise.allSettled(tries.map(({ writer, bucket }) => this.#decided(writer, bucket.demands, 0n)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    const decisions = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    if (failed === undefined && decisions.every(({ granted }) => granted)) return decisions;
    await Promise.allSettled(
      tries.map(({ writer, bucket }, index) => {
        const outcome = outcomes[index];
        return this.#withdrawn(writer, bucket, outcome?.status === 'fulfilled' ? outcome.value : undefined);
      }),
    );
    if (failed !== undefined) throw failed.reason;
    return decisions;
  }

  /**
   * One after the other, in the same order everywhere: requests that contend for several buckets then meet at the first, instead of each holding
   * what the other needs. Places in several queues start together: one that was found for an earlier start than the others' is moved.
   */
  async #inOrder(tries: readonly Try[], maxWaitFs: bigint): Promise<readonly Decision[]> {
    const order = tries.map((_, index) => index).sort((a, b) => (idOf(tries[a]) < idOf(tries[b]) ? -1 : 1));
    const decisions: (Decision | undefined)[] = tries.map(() => undefined);
    let startFs = 0n;
    try {
      for (
        let round = 0;
        round === 0 || decisions.some((decision) => decision !== undefined && startOf(decision) < startFs);
        round += 1
      ) {
        for (const index of order) {
          const [one, before] = [tries[index], decisions[index]];
          if (one === undefined || (before !== undefined && startOf(before) >= startFs)) continue;
          decisions[index] = undefined;
          await this.#withdrawn(one.writer, one.bucket, before);
          const decision = await one.writer.acquire(one.bucket.demands, { maxWaitFs, earliestFs: startFs, movable: false });
          decisions[index] = decision;
          if (!decision.granted) {
            await this.withdraw(
              tries.map(({ bucket }) => bucket),
              decisions,
            );
            return await this.#standing(tries, decisions);
          }
          if (decision.place !== undefined && decision.place.startFs > startFs) startFs = decision.place.startFs;
        }
      }
    } catch (error) {
      await this.withdraw(
        tries.map(({ bucket }) => bucket),
        decisions,
      );
      throw error;
    }
    return decisions.filter((decision) => decision !== undefined);
  }

  /** Every bucket's answer to a request that is denied: those that were not asked tell where they stand. */
  #standing(tries: readonly Try[], decisions: readonly (Decision | undefined)[]): Promise<readonly Decision[]> {
    const at = nowFs(this.#parts.clock);
    return Promise.all(
      tries.map(async ({ writer, bucket: { demands } }, index) => {
        return decisions[index] ?? writer.remembered(demands) ?? { granted: false, nowFs: at, stored: await writer.standing() };
      }),
    );
  }

  #writer(key: BucketKey): BucketWriter {
    const id = bucketPk(key);
    let writer = this.#writers.get(id);
    if (writer === undefined) {
      writer = new BucketWriter(key, this.#parts);
      this.#writers.set(id, writer);
    }
    return writer;
  }
}

interface Try {
  readonly bucket: BucketDemand;
  readonly writer: BucketWriter;
}

/** A key to order buckets by, the same in every process. */
const idOf = (one: Try | undefined): string => (one === undefined ? '' : bucketPk(one.bucket.key));
/** When a granted decision starts. */
const startOf = ({ place, nowFs: at }: Decision): bigint => place?.startFs ?? at;

/** What granted decisions charged, a grant a bucket. */
export function grantsOf(buckets: readonly BucketDemand[], decisions: readonly Decision[]): readonly Grant[] {
  return buckets.flatMap((bucket, index) => {
    const decision = decisions[index];
    return decision === undefined ? [] : [grantOf(bucket, decision)];
  });
}

function grantOf({ key, demands }: BucketDemand, decision: Decision): Grant {
  const charges = demands.map(({ limit, cost, bypass, slot = '' }): Charge => {
    const charge = charged(limit, cost, slot, decision);
    const weighted = limit.weights === undefined ? charge : { ...charge, weights: limit.weights };
    if (bypass) return { ...weighted, overdrawn: true, bypassed: true };
    return decision.overdrawn?.includes(limit.name) ? { ...weighted, overdrawn: true } : weighted;
  });
  return { key, acquiredAtFs: decision.nowFs, charges };
}

/** Written out, kind by kind: this runs for every limit of every request, and spreading objects costs more than all the rest of it. */
function charged(limit: Limit, tokens: number, slot: string, { stored }: Decision): Charge {
  const { name, counts } = limit;
  if (limit.kind === 'bucket') {
    const { tokenFs, windowFs } = rateOf(limit);
    return { name, counts, tokens, kind: 'bucket', tokenFs, windowFs };
  }
  if (limit.kind === 'concurrent') return { name, counts, tokens, kind: 'slot', slot };
  return { name, counts, tokens, kind: 'window', windowStartFs: stored.uses.get(name)?.windowStartFs ?? 0n };
}

/** All that a grant charges, as a refund; limits with nothing charged are left out. */
function refundOf(grant: Grant): readonly Difference[] {
  return grant.charges.filter(({ tokens }) => tokens !== 0).map((charge) => ({ charge, tokens: -charge.tokens }));
}
