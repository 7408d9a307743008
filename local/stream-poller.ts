import { setTimeout } from 'node:timers/promises';
import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  ExpiredIteratorException,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type Shard,
  type _Record as StreamRecord,
  TrimmedDataAccessException,
} from '@aws-sdk/client-dynamodb-streams';
import type { DynamoDBBatchResponse, DynamoDBRecord } from 'aws-lambda';
import { BUCKET_SK, SK } from '../lib/store/schema.js';
import { type Handler, lambdaContext } from './lambda-runtime.js';

const POLL_EVERY_MS = 100;
const RETRY_AFTER_MS = 500;
const MOST_RECORDS = 1_000;

/** Where the reading of one shard stands. */
interface ShardReader {
  readonly shard: Shard;
  iterator: string | undefined;
  /** Read, and not booked yet. */
  pending: DynamoDBRecord[];
  /** A closed shard, read to its end. */
  ended: boolean;
  /** Not before this instant of `performance.now()`: its last batch failed. */
  restsUntilMs: number;
}

/**
 * Feeds a table's stream to the aggregator the way its event source mapping does: changes of buckets only, in order, from the oldest record on;
 * a batch that failed is sent again from its first failed record.
 */
export class StreamPoller {
  readonly #client: DynamoDBStreamsClient;
  readonly #streamArn: string;
  readonly #handler: Handler;
  readonly #readers = new Map<string, ShardReader>();
  readonly #stopped = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(parts: { readonly endpoint: string; readonly streamArn: string; readonly handler: Handler }) {
    this.#client = new DynamoDBStreamsClient({
      endpoint: parts.endpoint,
      region: process.env.AWS_REGION ?? 'us-east-1',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    });
    this.#streamArn = parts.streamArn;
    this.#handler = parts.handler;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
    this.#client.destroy();
  }

  async #run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      let waitMs = POLL_EVERY_MS;
      try {
        await this.#findShards();
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        console.error(error);
        waitMs = RETRY_AFTER_MS;
      }
      for (const reader of this.#readers.values()) if (this.#ready(reader)) await this.#advance(reader);
      await setTimeout(waitMs, undefined, { signal: this.#stopped.signal }).catch(() => {});
    }
  }

  async #findShards(): Promise<void> {
    let last: string | undefined;
    do {
      const { StreamDescription: stream } = await this.#client.send(
        new DescribeStreamCommand({ StreamArn: this.#streamArn, ExclusiveStartShardId: last }),
      );
      for (const shard of stream?.Shards ?? []) {
        const id = shard.ShardId ?? '';
        if (!this.#readers.has(id))
          this.#readers.set(id, { shard, iterator: undefined, pending: [], ended: false, restsUntilMs: 0 });
      }
      last = stream?.LastEvaluatedShardId;
    } while (last !== undefined);
  }

  /** A shard waits for its parent, so that the changes of one item stay in order. */
  #ready(reader: ShardReader): boolean {
    const parent = this.#readers.get(reader.shard.ParentShardId ?? '');
    return !isDone(reader) && (parent === undefined || isDone(parent)) && performance.now() >= reader.restsUntilMs;
  }

  /** Delivers a shard's next batch. One that fails rests, and holds up no other shard. */
  async #advance(reader: ShardReader): Promise<void> {
    try {
      if (reader.pending.length === 0) await this.#read(reader);
      if (reader.pending.length > 0) await this.#deliver(reader);
    } catch (error) {
      if (!this.#stopped.signal.aborted) console.error(error);
      reader.restsUntilMs = performance.now() + RETRY_AFTER_MS;
    }
  }

  async #deliver(reader: ShardReader): Promise<void> {
    const event = { Records: reader.pending } as never;
    const result = (await this.#handler(event, lambdaContext('aggregator', 'local', 60_000))) as
      | Partial<DynamoDBBatchResponse>
      | null
      | undefined;
    const failed = (result?.batchItemFailures ?? []).map(({ itemIdentifier }) => itemIdentifier);
    if (failed.length === 0) {
      reader.pending = [];
      return;
    }
    // The lowest of those named; the whole batch when one of them is no record of it.
    const first = Math.min(
      ...failed.map((number) => reader.pending.findIndex(({ dynamodb }) => dynamodb?.SequenceNumber === number)),
    );
    reader.pending = reader.pending.slice(Math.max(0, first));
    throw new Error(`The aggregator did not book the stream from record ${failed.join(', ')} on; it is sent again`);
  }

  async #read(reader: ShardReader): Promise<void> {
    try {
      reader.iterator ??= await this.#firstIterator(reader.shard);
      const { Records, NextShardIterator } = await this.#client.send(
        new GetRecordsCommand({ ShardIterator: reader.iterator, Limit: MOST_RECORDS }),
      );
      reader.pending = (Records ?? []).map((record) => lambdaRecord(record, this.#streamArn)).filter(isBucketChange);
      reader.iterator = NextShardIterator;
      reader.ended = NextShardIterator === undefined;
    } catch (error) {
      if (!(error instanceof ExpiredIteratorException || error instanceof TrimmedDataAccessException)) throw error;
      reader.iterator = undefined;
    }
  }

  async #firstIterator(shard: Shard): Promise<string | undefined> {
    const { ShardIterator } = await this.#client.send(
      new GetShardIteratorCommand({ StreamArn: this.#streamArn, ShardId: shard.ShardId, ShardIteratorType: 'TRIM_HORIZON' }),
    );
    return ShardIterator;
  }
}

const isDone = ({ ended, pending }: ShardReader): boolean => ended && pending.length === 0;

/** What the event source's filter lets through. */
function isBucketChange({ eventName, dynamodb }: DynamoDBRecord): boolean {
  return dynamodb?.Keys?.[SK]?.S === BUCKET_SK && (eventName === 'INSERT' || eventName === 'MODIFY');
}

/** A record as Lambda hands it on: it names its stream, and times are epoch seconds. */
function lambdaRecord({ dynamodb, ...record }: StreamRecord, streamArn: string): DynamoDBRecord {
  const at = dynamodb?.ApproximateCreationDateTime;
  return {
    ...record,
    eventSourceARN: streamArn,
    dynamodb: { ...dynamodb, ...(at && { ApproximateCreationDateTime: Math.floor(at.getTime() / 1_000) }) },
  } as DynamoDBRecord;
}
