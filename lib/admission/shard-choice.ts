import type { BucketDemand } from './bucket-demand.js';

/** What a request asks of one level: of its bucket, or, where that was split, of any of its shards. */
export interface SplitBucket {
  /** 1: it is whole. */
  readonly shards: number;
  /** The first so many of them are large enough for the request. */
  readonly holding: number;
  readonly shard: (index: number) => BucketDemand;
  /** False: a scheduled limit is too small for it now, and will not be. */
  readonly fits: boolean;
}

/** A shard to ask, and, where there is another, the one to ask when it denies. */
export type Choice = readonly [BucketDemand, ...BucketDemand[]];

/**
 * Two shards at random, the one with more room first: that spreads load almost as well as knowing them all (Mitzenmacher, The power of two choices,
 * 2001). `roomOf`: the share that is left of a shard as far as is known, 1 where nothing is.
 */
export function chosen({ holding, shard }: SplitBucket, roomOf: (bucket: BucketDemand) => number): Choice {
  if (holding === 1) return [shard(0)];
  const first = Math.floor(Math.random() * holding);
  const second = (first + 1 + Math.floor(Math.random() * (holding - 1))) % holding;
  const [one, other] = [shard(first), shard(second)];
  return roomOf(other) > roomOf(one) ? [other, one] : [one, other];
}
