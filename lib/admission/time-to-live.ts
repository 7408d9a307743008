import type { BucketState, BucketWrite } from '../store/store.js';

const FS_PER_SECOND = 10n ** 15n;
/** An item outlives its last write by at least 35 days: long enough for any report, and for debt to be remembered. */
export const LEAST_LIFE_SECONDS = 35 * 86_400;

/**
 * When a bucket written now may be deleted: after 35 days, and after twice its longest window; never before the time that is stored, which
 * another writer's limits may need.
 */
export function timeToLive(windowsFs: readonly bigint[], nowFs: bigint, storedSeconds: number | undefined): BucketWrite['ttl'] {
  let longestFs = 0n;
  for (const windowFs of windowsFs) if (windowFs > longestFs) longestFs = windowFs;
  const seconds = Number(nowFs / FS_PER_SECOND) + Math.max(LEAST_LIFE_SECONDS, Number((2n * longestFs) / FS_PER_SECOND) + 1);
  return storedSeconds === undefined
    ? { seconds, ifAbsent: true }
    : { seconds: Math.max(storedSeconds, seconds), ifAbsent: false };
}

/** The longer life of a bucket so deep in debt that it would be deleted before it is full (deletion would forgive); undefined for any other. */
export function longerLife({ positions, ttlSeconds }: BucketState): BucketWrite['ttl'] | undefined {
  let latestFs = 0n;
  for (const { fullAtFs } of positions.values()) if (fullAtFs > latestFs) latestFs = fullAtFs;
  const fullAtSeconds = Number(latestFs / FS_PER_SECOND) + 1;
  if (ttlSeconds === undefined || fullAtSeconds <= ttlSeconds) return undefined;
  return { seconds: fullAtSeconds + LEAST_LIFE_SECONDS, ifAbsent: false };
}
