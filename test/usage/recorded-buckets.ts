import type { AttributeValue, DynamoDBRecord } from 'aws-lambda';
import { BUCKET_SK, type BucketKey, bucketPk } from '../../lib/store/schema.js';

type Image = Record<string, AttributeValue>;

/** One write to a bucket: by how much each of its counters moves. */
export interface CounterWrite {
  readonly at: Date | string;
  readonly consumed?: Readonly<Record<string, number | bigint>>;
  readonly requests?: number;
  readonly denials?: number;
}

export const bucketKey = (over: Partial<BucketKey> = {}): BucketKey => ({
  namespace: 'default',
  resource: 'gpt-4',
  entity: 'key-1',
  shard: 0,
  ...over,
});

export const epochSeconds = (at: Date | string): number => new Date(at).getTime() / 1000;

/** Buckets that keep the stream record of each write, as the table's stream does. */
export class RecordedBuckets {
  readonly records: DynamoDBRecord[] = [];
  private readonly images = new Map<string, Image>();
  private sequence = 100_000_000_000_000_000_000n;

  write(key: BucketKey, write: CounterWrite): DynamoDBRecord {
    const pk = bucketPk(key);
    const before = this.images.get(pk);
    const after: Image = { pk: { S: pk }, sk: { S: BUCKET_SK }, v: { N: '1' }, ...before };
    const move = (attribute: string, by: number | bigint | undefined): void => {
      if (by !== undefined) after[attribute] = { N: (BigInt(after[attribute]?.N ?? 0) + BigInt(by)).toString() };
    };
    for (const [limit, tokens] of Object.entries(write.consumed ?? {})) move(`u_${limit}`, tokens);
    move('n', write.requests);
    move('d', write.denials);
    this.images.set(pk, after);
    return this.record(before === undefined ? 'INSERT' : 'MODIFY', pk, write.at, before, after);
  }

  /** The bucket's item is deleted, as by its TTL. The next write inserts it anew. */
  remove(key: BucketKey, at: Date | string): DynamoDBRecord {
    const pk = bucketPk(key);
    const before = this.images.get(pk);
    this.images.delete(pk);
    return this.record('REMOVE', pk, at, before, undefined);
  }

  private record(
    eventName: 'INSERT' | 'MODIFY' | 'REMOVE',
    pk: string,
    at: Date | string,
    before: Image | undefined,
    after: Image | undefined,
  ): DynamoDBRecord {
    this.sequence += 1n;
    const record: DynamoDBRecord = {
      eventName,
      eventSource: 'aws:dynamodb',
      dynamodb: {
        ApproximateCreationDateTime: epochSeconds(at),
        Keys: { pk: { S: pk }, sk: { S: BUCKET_SK } },
        SequenceNumber: this.sequence.toString(),
        StreamViewType: 'NEW_AND_OLD_IMAGES',
        ...(before !== undefined && { OldImage: before }),
        ...(after !== undefined && { NewImage: after }),
      },
    };
    this.records.push(record);
    return record;
  }
}

export function sequenceNumber(record: DynamoDBRecord): string {
  return record.dynamodb!.SequenceNumber!;
}

/** The record with parts of its `dynamodb` replaced; undefined takes a part away. */
export function altered(record: DynamoDBRecord, over: Record<string, unknown>): DynamoDBRecord {
  return { ...record, dynamodb: { ...record.dynamodb, ...over } };
}
