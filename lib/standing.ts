/** Where the buckets of an entity on a resource stand, read from the store: one read a bucket, a shard of one included. */
import type { Admission } from './admission/admission.js';
import type { BucketDemand } from './admission/bucket-demand.js';
import type { SplitBucket } from './admission/shard-choice.js';
import { type Denial, denialOf } from './rate-limit-exceeded.js';
import { reports } from './report.js';
import { type LimitStatus, statusOf, together } from './status.js';
import type { BucketState } from './store/store.js';

/** A bucket, or a shard of one, as it was read. */
interface ReadBucket extends BucketDemand {
  readonly state: BucketState;
}

/** One level's bucket, whole or in shards, at an instant, with what is asked of it. */
export interface LevelStanding {
  readonly split: SplitBucket;
  readonly shards: readonly ReadBucket[];
  readonly atFs: bigint;
}

export async function readStanding(
  admission: Admission,
  splits: readonly SplitBucket[],
  atFs: () => bigint,
): Promise<readonly LevelStanding[]> {
  return Promise.all(
    splits.map(async (split) => {
      const shards = await Promise.all(
        Array.from({ length: split.shards }, async (_, index) => {
          const bucket = split.shard(index);
          return { ...bucket, state: await admission.read(bucket.key) };
        }),
      );
      return { split, shards, atFs: atFs() };
    }),
  );
}

/** Whole tokens by limit name, over all shards, the smallest over the levels; of a bypassed one all it holds. */
export function availableIn(levels: readonly LevelStanding[]): Record<string, number> {
  const least = new Map<string, number>();
  for (const level of levels) {
    const bypassed = level.shards.some(({ demands }) => demands.some(({ bypass }) => bypass));
    for (const { limit, available, capacity } of statusesOf(level)) {
      const left = bypassed ? capacity : available;
      least.set(limit, Math.min(left, least.get(limit) ?? left));
    }
  }
  return Object.fromEntries(least);
}

/** Milliseconds until every level has room for what is asked of it, in the shard that has it first; 0: now. */
export function waitMsIn(levels: readonly LevelStanding[]): number {
  return levels.reduce((longest, { split, shards, atFs }) => {
    const waitsMs = shards
      .slice(0, split.holding)
      .map(({ key, demands, state }) => denialOf(reports(key, demands, state, atFs)).retryAfterMs);
    return Math.max(longest, Math.min(...waitsMs));
  }, 0);
}

/** What a request is told that none of these levels has room for now: of each, the shard that has it first. */
export function denialIn(levels: readonly LevelStanding[]): Denial {
  return denialOf(
    levels.flatMap(({ shards, atFs }) => {
      const found = shards.map(({ key, demands, state }) => reports(key, demands, state, atFs));
      const [first = [], ...others] = found;
      return others.reduce((best, one) => (denialOf(one).retryAfterMs < denialOf(best).retryAfterMs ? one : best), first);
    }),
  );
}

/** Every limit of one level, its shards summed up. */
export function statusesOf({ shards, atFs }: LevelStanding): readonly LimitStatus[] {
  const [first] = shards;
  if (first === undefined) return [];
  return first.demands.map((_, index) =>
    together(
      shards.flatMap(({ key, demands, state }) => {
        const limit = demands[index]?.limit;
        return limit === undefined ? [] : [statusOf(key, limit, state, atFs)];
      }),
    ),
  );
}
