import type { DynamoDBRecord } from 'aws-lambda';
import fc from 'fast-check';
import { partitionOf } from '../../lib/store/partition-of.js';
import { type BucketKey, bucketPk, parseBucketPk } from '../../lib/store/schema.js';
import type { UsageRowStore } from '../../lib/usage/book-usage.js';
import type { RowContent } from './memory-usage-rows.js';
import { bucketKey, type CounterWrite, RecordedBuckets, sequenceNumber } from './recorded-buckets.js';

/** A write to one of the buckets, or its removal. */
export type Step = { readonly bucket: BucketKey; readonly write: CounterWrite | 'remove' };

/** What happens to one write to a usage row: it arrives, it is lost, or it arrives and its answer is lost. */
export type Fate = 'arrives' | 'lost' | 'answer lost';

/** One delivery, as far as Lambda's promise leaves it open: no record before all in front of it were delivered and not failed. */
export interface Delivery {
  /** How many records it reaches back behind the first that is not booked: what a duplicate repeats. */
  readonly repeats: number;
  readonly length: number;
  /** Some of the batch a second time, and buckets in any order among each other. */
  readonly twice: boolean;
  readonly reversed: boolean;
  readonly fates: readonly Fate[];
}

const buckets = [
  bucketKey(),
  bucketKey({ shard: 1 }),
  bucketKey({ resource: 'gpt-5' }),
  bucketKey({ entity: 'key-2' }),
  bucketKey({ namespace: 'other' }),
];
/** Around the ends of an hour, a day and a month at once, not always forward: the time of a write is approximate. */
const instants = ['2026-11-30T22:59:59.000Z', '2026-11-30T23:00:00.000Z', '2026-11-30T23:59:59.999Z', '2026-12-01T00:00:00.000Z'];

const amount = fc.integer({ min: -3, max: 5 });
const counterWrite = fc.record(
  {
    at: fc.constantFrom(...instants),
    consumed: fc.record({ rpm: amount, tpm: amount }, { requiredKeys: [] }),
    requests: amount,
    denials: fc.nat(2),
  },
  { requiredKeys: ['at'] },
);

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    bucket: fc.constantFrom(...buckets),
    write: fc.oneof({ weight: 9, arbitrary: counterWrite }, { weight: 1, arbitrary: fc.constant('remove' as const) }),
  }),
  { minLength: 1, maxLength: 30 },
);

const fate = fc.constantFrom<Fate>('arrives', 'arrives', 'lost', 'answer lost');
export const deliveries: fc.Arbitrary<Delivery[]> = fc.array(
  fc.record({
    repeats: fc.nat(12),
    length: fc.integer({ min: 1, max: 15 }),
    twice: fc.boolean(),
    reversed: fc.boolean(),
    fates: fc.array(fate),
  }),
  { maxLength: 12 },
);

export function recordsOf(written: readonly Step[], recorded = new RecordedBuckets()): DynamoDBRecord[] {
  for (const { bucket, write } of written) {
    if (write === 'remove') recorded.remove(bucket, instants[0]!);
    else recorded.write(bucket, write);
  }
  return recorded.records;
}

/** Where a bucket's usage is booked: the entity's rows, the resource's, the namespace's. */
export function views({ namespace, resource, entity }: BucketKey): string[] {
  const partition = partitionOf(entity, 16);
  return [`${namespace}#e#${entity}`, `${namespace}#r#${resource}#${partition}`, `${namespace}#ns#${partition}`];
}

/** What the usage rows hold when every write is counted once in each view, added up without a stream. Rows that no counter moved are absent. */
export function expectedRows(written: readonly Step[]): Map<string, RowContent> {
  const rows = new Map<string, { consumed: Record<string, bigint>; requests: bigint; denials: bigint }>();
  for (const { bucket, write } of written) {
    if (write === 'remove') continue;
    const moved = Object.entries(write.consumed ?? {}).filter(([, tokens]) => BigInt(tokens) !== 0n);
    const [requests, denials] = [BigInt(write.requests ?? 0), BigInt(write.denials ?? 0)];
    if (moved.length === 0 && requests === 0n && denials === 0n) continue;
    const at = String(write.at);
    for (const start of [`hour#${at.slice(0, 13)}`, `day#${at.slice(0, 10)}T00`, `month#${at.slice(0, 7)}-01T00`]) {
      const sk = `usage#${start}:00:00Z#${bucket.resource}#${bucket.entity}#${bucket.shard}`;
      for (const pk of views(bucket)) {
        const id = `${pk} ${sk}`;
        const row = rows.get(id) ?? { consumed: {}, requests: 0n, denials: 0n };
        rows.set(id, row);
        row.requests += requests;
        row.denials += denials;
        for (const [limit, tokens] of moved) row.consumed[limit] = (row.consumed[limit] ?? 0n) + BigInt(tokens);
      }
    }
  }
  return rows;
}

/** The records of one delivery, from the first that is not booked (`booked` of them are). */
export function batchOf(
  records: readonly DynamoDBRecord[],
  booked: number,
  delivery: Delivery,
): { end: number; batch: DynamoDBRecord[] } {
  const start = Math.max(0, booked - delivery.repeats);
  const end = Math.min(records.length, start + delivery.length);
  const inOrder = records.slice(start, end);
  const batch = delivery.twice ? [...inOrder, ...inOrder.slice(-3)] : inOrder;
  return { end, batch: delivery.reversed ? byBucketReversed(batch) : batch };
}

/** The batch with its buckets in reverse order; each bucket's own records stay as they were. */
function byBucketReversed(batch: readonly DynamoDBRecord[]): DynamoDBRecord[] {
  const pk = (record: DynamoDBRecord): string => bucketPk(parseBucketPk(record.dynamodb!.Keys!.pk!.S!)!);
  const groups = new Map<string, DynamoDBRecord[]>();
  for (const record of batch) groups.set(pk(record), [...(groups.get(pk(record)) ?? []), record]);
  return [...groups.values()].reverse().flat();
}

/** How many records are booked after a delivery up to `end` that failed from the given record on, or not at all. */
export function bookedAfter(records: readonly DynamoDBRecord[], booked: number, end: number, failed: string | undefined): number {
  const index = records.findIndex((record) => sequenceNumber(record) === failed);
  return Math.max(booked, failed === undefined ? end : index);
}

/** `rows` with these fates for its first writes; the writes after them arrive. */
export function fated(rows: UsageRowStore, fates: readonly Fate[]): UsageRowStore {
  const next = fates.values();
  return {
    add: async (addition) => {
      const fate = next.next().value ?? 'arrives';
      if (fate === 'lost') throw new Error('request lost');
      const outcome = await rows.add(addition);
      if (fate === 'answer lost') throw new Error('answer lost');
      return outcome;
    },
  };
}
