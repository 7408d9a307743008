/** From the changes of a bucket to additions to usage rows. A row is one bucket in one hour, day or month, in one of three views. */
import { partitionOf } from '../store/partition-of.js';
import {
  type BucketKey,
  entityPk,
  namespaceUsagePk,
  resourceUsagePk,
  USAGE_PARTITIONS,
  USAGE_PERIODS,
  type UsagePeriod,
  usageSk,
} from '../store/schema.js';
import type { BucketChange, BucketChanges } from './bucket-changes.js';
import { DEFAULT_USAGE_RETENTION, periodStartMs, periodStartText, type UsageRetention, usageTtlSeconds } from './usage-period.js';

export interface UsageRowId {
  readonly pk: string;
  readonly sk: string;
}

/** What belongs into one usage row. */
export interface RowChanges extends UsageRowId {
  readonly resource: string;
  /** When the row may be deleted; undefined: never. */
  readonly ttlSeconds: number | undefined;
  /** By ascending position, never empty. */
  readonly changes: readonly BucketChange[];
}

/** One addition to one usage row: everything in (the row's last position, `lastPosition`] that was not counted yet, or nothing of it. */
export interface RowAddition extends Omit<RowChanges, 'changes'> {
  readonly firstPosition: string;
  readonly lastPosition: string;
  /** Net tokens by limit. A limit whose charges and refunds cancel out is there with 0n. */
  readonly consumed: ReadonlyMap<string, bigint>;
  readonly requests: bigint;
  readonly denials: bigint;
}

/**
 * The rows that these changes belong into: for each change the hour, the day and the month (UTC) of its write, in each view.
 * A change falls into the same rows at every delivery, whatever else is in the batch: the exactly-once claim rests on it. The views know nothing of
 * each other: a row of one that was written and a row of another that was not are told apart by the position that each has counted up to.
 */
export function usageRows({ bucket, changes }: BucketChanges, retention = DEFAULT_USAGE_RETENTION): RowChanges[] {
  const rows = rowsByPeriod(bucket, changes, retention);
  return viewPks(bucket).flatMap((pk) => rows.map((row) => ({ pk, ...row })));
}

/** Where a bucket's usage is kept: with its entity, with its resource, and with its namespace. */
function viewPks({ namespace, entity, resource }: BucketKey): string[] {
  const partition = partitionOf(entity, USAGE_PARTITIONS);
  return [entityPk(namespace, entity), resourceUsagePk(namespace, resource, partition), namespaceUsagePk(namespace, partition)];
}

function rowsByPeriod(bucket: BucketKey, changes: readonly BucketChange[], retention: UsageRetention): Omit<RowChanges, 'pk'>[] {
  return USAGE_PERIODS.flatMap((period) => {
    const byStart = new Map<number, BucketChange[]>();
    for (const change of changes) {
      const startMs = periodStartMs(period, change.writtenAtMs);
      const inPeriod = byStart.get(startMs) ?? [];
      byStart.set(startMs, inPeriod);
      inPeriod.push(change);
    }
    return [...byStart].map(([startMs, inPeriod]) => rowOf(bucket, period, startMs, inPeriod, retention));
  });
}

function rowOf(
  bucket: BucketKey,
  period: UsagePeriod,
  startMs: number,
  changes: readonly BucketChange[],
  retention: UsageRetention,
): Omit<RowChanges, 'pk'> {
  return {
    sk: usageSk(period, periodStartText(startMs), bucket),
    resource: bucket.resource,
    ttlSeconds: usageTtlSeconds(period, startMs, retention),
    changes,
  };
}

/**
 * The sum of the changes, as one addition. Changes that cancel out are an addition too: the row's last position has to move past them,
 * else the second of them, delivered again without the first, would be counted alone.
 */
export function rowAddition({ changes, ...row }: RowChanges): RowAddition {
  const [first, last] = [changes[0], changes.at(-1)];
  if (first === undefined || last === undefined) throw new Error(`Expected changes for ${row.sk}, got none`);
  const consumed = new Map<string, bigint>();
  let [requests, denials] = [0n, 0n];
  for (const change of changes) {
    requests += change.requests;
    denials += change.denials;
    for (const [limit, tokens] of change.consumed) consumed.set(limit, (consumed.get(limit) ?? 0n) + tokens);
  }
  return { ...row, firstPosition: first.position, lastPosition: last.position, consumed, requests, denials };
}
