/** What a batch of stream records says about the counters of each bucket. */

import { LAST_INSTANT_MS } from '../instant.js';
import {
  BUCKET_SK,
  type BucketKey,
  bucketPk,
  CONSUMED_PREFIX,
  DENIALS,
  PK,
  parseBucketPk,
  REQUESTS,
  SK,
} from '../store/schema.js';

/** An item as a stream shows it. Only the string and number forms are read. */
export type StreamImage = Readonly<Record<string, { readonly S?: string | undefined; readonly N?: string | undefined }>>;

/** One record of the table's stream, in the shape in which Lambda delivers it. */
export interface StreamRecord {
  readonly eventName?: string | undefined;
  readonly dynamodb?:
    | {
        /** The time of the write, epoch seconds. */
        readonly ApproximateCreationDateTime?: number | undefined;
        readonly Keys?: StreamImage | undefined;
        readonly NewImage?: StreamImage | undefined;
        readonly OldImage?: StreamImage | undefined;
        readonly SequenceNumber?: string | undefined;
      }
    | undefined;
}

/** What one write did to the counters of a bucket: at least one of them moved. Differences, below zero for a refund. */
export interface BucketChange {
  /** The record's sequence number as the stream gave it. */
  readonly sequenceNumber: string;
  /** The same, padded to 40 digits: positions compare as strings. */
  readonly position: string;
  /** When the bucket was written, milliseconds since 1970. Every delivery of the record gives the same. */
  readonly writtenAtMs: number;
  /** Tokens by limit, only the limits that moved. */
  readonly consumed: ReadonlyMap<string, bigint>;
  readonly requests: bigint;
  readonly denials: bigint;
}

/** The changes of one bucket, by ascending position, each position once. Never empty. */
export interface BucketChanges {
  readonly bucket: BucketKey;
  readonly changes: readonly BucketChange[];
}

/** A record that could not be booked. `sequenceNumber` is empty when the record has none. */
export interface RecordFailure {
  readonly sequenceNumber: string;
  readonly cause: unknown;
}

/** A record that cannot be read, now or ever, by this version. */
export interface MalformedRecord extends RecordFailure {
  readonly record: StreamRecord;
}

/**
 * The changes in a batch, bucket by bucket, and the records that cannot be read. A record delivered twice is one change.
 * Not a change: an item that is no bucket, a removal (the TTL deletes idle buckets; what they consumed stays consumed), a write that
 * moved no counter. A record that names a bucket and is damaged becomes a failure; its neighbours are read as if it were not there,
 * because Lambda gives up on the rest of a batch together with a record that fails for good.
 */
export function readBucketChanges(records: readonly StreamRecord[]): {
  readonly buckets: readonly BucketChanges[];
  readonly malformed: readonly MalformedRecord[];
} {
  const byBucket = new Map<string, { bucket: BucketKey; changes: Map<string, BucketChange> }>();
  const malformed: MalformedRecord[] = [];
  for (const record of records) {
    try {
      const bucket = bucketOf(record);
      if (bucket === undefined) continue;
      const change = bucketChange(record);
      if (change.consumed.size === 0 && change.requests === 0n && change.denials === 0n) continue;
      const pk = bucketPk(bucket);
      const entry = byBucket.get(pk) ?? { bucket, changes: new Map() };
      byBucket.set(pk, entry);
      entry.changes.set(change.position, change);
    } catch (cause) {
      malformed.push({ sequenceNumber: sequenceNumberOf(record) ?? '', cause, record });
    }
  }
  const buckets = [...byBucket.values()].map(({ bucket, changes }) => ({
    bucket,
    changes: [...changes.values()].sort((a, b) => (a.position < b.position ? -1 : 1)),
  }));
  return { buckets, malformed };
}

/** A sequence number (up to 40 digits) as a position; an empty one comes before all others. */
export function streamPosition(sequenceNumber: string): string {
  return sequenceNumber.padStart(40, '0');
}

/** The bucket this record writes, or undefined when it writes none. Throws for a key that cannot be told. */
function bucketOf(record: StreamRecord): BucketKey | undefined {
  if (record.eventName === 'REMOVE') return undefined;
  const keys = record.dynamodb?.Keys;
  const [pk, sk] = [keys?.[PK]?.S, keys?.[SK]?.S];
  if (pk === undefined || sk === undefined) throw new Error(`Expected Keys to hold the strings ${PK} and ${SK}`);
  const bucket = sk === BUCKET_SK ? parseBucketPk(pk) : undefined;
  // Two keys that parse alike must not feed one usage row: '01' is not shard 1.
  if (bucket !== undefined && bucketPk(bucket) !== pk) throw new Error(`Expected ${pk} to end in a shard number`);
  return bucket;
}

/** The difference between a record's images. Throws, naming what is wrong, when a part is missing or not what the schema says. */
function bucketChange(record: StreamRecord): BucketChange {
  const { ApproximateCreationDateTime: writtenAt, NewImage: after, OldImage: before } = record.dynamodb ?? {};
  const sequenceNumber = sequenceNumberOf(record);
  if (sequenceNumber === undefined) throw new Error('Expected SequenceNumber to be 1 to 40 digits');
  if (typeof writtenAt !== 'number' || !(writtenAt >= 0 && writtenAt * 1000 <= LAST_INSTANT_MS)) {
    throw new Error(`Expected ApproximateCreationDateTime to be epoch seconds, got ${writtenAt}`);
  }
  if (record.eventName !== 'INSERT' && record.eventName !== 'MODIFY') {
    throw new Error(`Expected eventName to be INSERT, MODIFY or REMOVE, got ${record.eventName}`);
  }
  if (after === undefined) throw new Error('Expected NewImage, got none');
  if (before === undefined && record.eventName === 'MODIFY') throw new Error('Expected OldImage with MODIFY, got none');
  const old = record.eventName === 'INSERT' ? {} : (before ?? {});
  const consumed = new Map<string, bigint>();
  for (const attribute of Object.keys(after)) {
    if (!attribute.startsWith(CONSUMED_PREFIX)) continue;
    const amount = difference(after, old, attribute);
    if (amount !== 0n) consumed.set(attribute.slice(CONSUMED_PREFIX.length), amount);
  }
  return {
    sequenceNumber,
    position: streamPosition(sequenceNumber),
    writtenAtMs: writtenAt * 1000,
    consumed,
    requests: difference(after, old, REQUESTS),
    denials: difference(after, old, DENIALS),
  };
}

/** How far the counter moved. A refund writes a lower counter; one that is gone was cleared away, which gives nothing back: 0. */
function difference(after: StreamImage, before: StreamImage, attribute: string): bigint {
  return after[attribute] === undefined ? 0n : counter(after, attribute) - counter(before, attribute);
}

/** The counter's value; a counter that is not there stands at 0. */
function counter(image: StreamImage, attribute: string): bigint {
  const value = image[attribute];
  if (value === undefined) return 0n;
  if (value.N === undefined || !/^-?\d+$/.test(value.N))
    throw new Error(`Expected ${attribute} to be an integer, got ${JSON.stringify(value)}`);
  return BigInt(value.N);
}

function sequenceNumberOf(record: StreamRecord): string | undefined {
  const sequenceNumber = record.dynamodb?.SequenceNumber;
  return typeof sequenceNumber === 'string' && /^\d{1,40}$/.test(sequenceNumber) ? sequenceNumber : undefined;
}
