/** Which quotas of a batch's buckets have used so much that somebody wants to know. */
import type { Limit } from '../core/limit.js';
import { windowEndFs } from '../core/quota.js';
import { shardsOf } from '../core/shards.js';
import { FS_PER_MS } from '../core/time.js';
import { type BucketKey, entityPk, PK, parseBucketPk, USED_PREFIX, WINDOW_START_PREFIX } from '../store/schema.js';
import type { StreamRecord } from './bucket-changes.js';

/** The most that a quota or session of a bucket had used in one window, within a batch. */
export interface WindowUsed {
  readonly bucket: BucketKey;
  readonly limit: string;
  readonly windowStartFs: bigint;
  readonly used: bigint;
}

/** What an alert tells: `detail` of the event on EventBridge, the message on SNS. */
export interface BudgetAlert {
  /** The same for every alert of this threshold, quota and window. */
  readonly id: string;
  readonly namespace: string;
  readonly entity: string;
  readonly resource: string;
  readonly limit: string;
  /** What the quota counts: `microUsd`, `tokens`. */
  readonly counts: string;
  readonly thresholdPercent: number;
  /** Of the bucket; of one shard, where it is split. */
  readonly used: number;
  readonly capacity: number;
  /** ISO 8601; the end is the first instant after the window. */
  readonly windowStart: string;
  readonly windowEnd: string;
}

const INTEGER = /^\d+$/;

/** What the buckets in a batch say of their windows. Damaged records say nothing. */
export function windowsUsed(records: readonly StreamRecord[]): WindowUsed[] {
  const found = new Map<string, WindowUsed>();
  for (const { dynamodb } of records) {
    const bucket = parseBucketPk(dynamodb?.Keys?.[PK]?.S ?? '');
    const image = dynamodb?.NewImage;
    if (bucket === undefined || image === undefined) continue;
    for (const [attribute, value] of Object.entries(image)) {
      if (!attribute.startsWith(USED_PREFIX)) continue;
      const limit = attribute.slice(USED_PREFIX.length);
      const start = image[WINDOW_START_PREFIX + limit]?.N;
      if (value.N === undefined || start === undefined || !INTEGER.test(value.N) || !INTEGER.test(start)) continue;
      const id = `${dynamodb?.Keys?.[PK]?.S} ${limit} ${start}`;
      const used = BigInt(value.N);
      if (used > (found.get(id)?.used ?? 0n)) found.set(id, { bucket, limit, windowStartFs: BigInt(start), used });
    }
  }
  return [...found.values()];
}

/** The alerts that a use amounts to, one for each threshold that it has reached; none where the limit of that name is no calendar quota. */
export function budgetAlerts(
  { bucket, limit: name, windowStartFs, used }: WindowUsed,
  { limits, shards = 1 }: { readonly limits: readonly Limit[]; readonly shards?: number | undefined },
  thresholdsPercent: readonly number[],
): BudgetAlert[] {
  const whole = limits.find((each) => each.name === name);
  const limit = whole && shardsOf(whole, shards)[bucket.shard];
  if (limit?.kind !== 'quota') return [];
  const windowStart = instant(windowStartFs);
  const { namespace, entity, resource } = bucket;
  return thresholdsPercent
    .filter((percent) => used * 100n >= BigInt(limit.capacity) * BigInt(percent))
    .map((thresholdPercent) => ({
      id: `${namespace}#${entity}#${budgetMarkSk({ resource, limit: name, windowStart, thresholdPercent })}`,
      namespace,
      entity,
      resource,
      limit: name,
      counts: limit.counts,
      thresholdPercent,
      used: Number(used),
      capacity: limit.capacity,
      windowStart,
      windowEnd: instant(windowEndFs(limit, windowStartFs)),
    }));
}

const instant = (fs: bigint): string => new Date(Number(fs / FS_PER_MS)).toISOString();

/** The item that says that an alert was sent, beside its entity's records. */
export const budgetMarkKey = (alert: BudgetAlert): { readonly pk: string; readonly sk: string } => ({
  pk: entityPk(alert.namespace, alert.entity),
  sk: budgetMarkSk(alert),
});

const budgetMarkSk = ({
  resource,
  limit,
  windowStart,
  thresholdPercent,
}: Pick<BudgetAlert, 'resource' | 'limit' | 'windowStart' | 'thresholdPercent'>): string =>
  `budget#${resource}#${limit}#${windowStart}#${thresholdPercent}`;
