import { BoundedMap } from '../bounded-map.js';
import type { Clock } from '../clock.js';
import type { Positions } from '../core/bucket.js';
import type { Demand } from '../core/decision.js';
import { rateOf } from '../core/limit.js';
import type { Charge, Difference } from '../core/settlement.js';
import { type BucketKey, bucketPk } from '../store/schema.js';
import type { Store } from '../store/store.js';
import { BucketWriter, type Decision } from './bucket-writer.js';
import { Deadline } from './deadline.js';
import type { Tally } from './tally.js';

/** What a request asks of one bucket: every limit configured there, with its cost. */
export interface BucketDemand {
  readonly key: BucketKey;
  readonly demands: readonly Demand[];
}

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
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #tally: Tally;
  readonly #writers = new BoundedMap<string, BucketWriter>(BUCKETS_REMEMBERED);

  constructor(parts: { readonly store: Store; readonly clock: Clock; readonly deadlineMs: number; readonly tally: Tally }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#deadlineMs = parts.deadlineMs;
    this.#tally = parts.tally;
  }

  /**
   * Decides all buckets, in parallel: one round trip. Granted means all of them; when one denies or fails, what the others granted is given
   * back, so that a denied request consumes nothing. The decisions stand in the order of the buckets.
   */
  async acquire(buckets: readonly BucketDemand[]): Promise<readonly Decision[]> {
    return this.#within(async (deadline) => {
      const [only] = buckets;
      if (buckets.length === 1 && only !== undefined) return [await this.#writer(only.key).acquire(only.demands, deadline)];
      const outcomes = await Promise.allSettled(buckets.map(({ key, demands }) => this.#writer(key).acquire(demands, deadline)));
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      const decisions = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      if (failed === undefined && decisions.every(({ granted }) => granted)) return decisions;
      await this.#giveBack(buckets, outcomes);
      if (failed !== undefined) throw failed.reason;
      return decisions;
    });
  }

  /** Posts differences of one grant. Resolves when written. */
  async post(grant: Grant, differences: readonly Difference[]): Promise<void> {
    await this.#within((deadline) => this.#writer(grant.key).post(differences, grant.acquiredAtFs, deadline));
  }

  async positions(key: BucketKey): Promise<Positions> {
    return this.#within((deadline) => this.#writer(key).read(deadline));
  }

  async #giveBack(buckets: readonly BucketDemand[], outcomes: readonly PromiseSettledResult<Decision>[]): Promise<void> {
    // Its own deadline: the request's may be what ended it. A refund that fails is counted by its writer; the denial stands all the same.
    await this.#within((deadline) =>
      Promise.allSettled(
        buckets.map(async (bucket, index) => {
          const outcome = outcomes[index];
          if (outcome?.status !== 'fulfilled' || !outcome.value.granted) return;
          const grant = grantOf(bucket, outcome.value);
          await this.#writer(grant.key).post(refundOf(grant), grant.acquiredAtFs, deadline, { requests: -1 });
        }),
      ),
    );
  }

  async #within<T>(work: (deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = new Deadline(this.#deadlineMs);
    try {
      return await work(deadline);
    } finally {
      deadline.done();
    }
  }

  #writer(key: BucketKey): BucketWriter {
    const id = bucketPk(key);
    let writer = this.#writers.get(id);
    if (writer === undefined) {
      writer = new BucketWriter(key, { store: this.#store, clock: this.#clock, tally: this.#tally });
      this.#writers.set(id, writer);
    }
    return writer;
  }
}

/** What a granted decision charged. */
export function grantOf({ key, demands }: BucketDemand, decision: Decision): Grant {
  const charges = demands.map(({ limit, cost }) => ({ name: limit.name, counts: limit.counts, tokens: cost, ...rateOf(limit) }));
  return { key, acquiredAtFs: decision.nowFs, charges };
}

/** All that a grant charges, as a refund; limits with nothing charged are left out. */
export function refundOf(grant: Grant): readonly Difference[] {
  return grant.charges.filter(({ tokens }) => tokens !== 0).map((charge) => ({ charge, tokens: -charge.tokens }));
}
