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
  done: boolean;
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
        for (const reader of this.#readers.values()) if (this.#ready(reader)) await this.#advance(reader);
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        console.error(error);
        waitMs = RETRY_AFTER_MS;
      }
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
        if (!this.#readers.has(id)) this.#readers.set(id, { shard, iterator: undefined, pending: [], done: false });
      }
      last = stream?.LastEvaluatedShardId;
    } while (last !== undefined);
  }

  /** A shard waits for its parent, so that the changes of one item stay in order. */
  #ready(reader: ShardReader): boolean {
    return !reader.done && this.#readers.get(reader.shard.ParentShardId ?? '')?.done !== false;
  }

  async #advance(reader: ShardReader): Promise<void> {
    if (reader.pending.length === 0) await this.#read(reader);
    if (reader.pending.length === 0) return;
    const event = { Records: reader.pending } as never;
    const result = (await this.#handler(event, lambdaContext('aggregator', 'local', 60_000))) as
      | DynamoDBBatchResponse
      | undefined;
    const failed = result?.batchItemFailures[0]?.itemIdentifier;
    if (failed === undefined) reader.pending = [];
    else {
      const first = reader.pending.findIndex(({ dynamodb }) => dynamodb?.SequenceNumber === failed);
      reader.pending = reader.pending.slice(Math.max(0, first));
      throw new Error(`The aggregator did not book the stream from record ${failed} on; it is sent again`);
    }
  }

  async #read(reader: ShardReader): Promise<void> {
    try {
      reader.iterator ??= await this.#firstIterator(reader.shard);
      const { Records, NextShardIterator } = await this.#client.send(
        new GetRecordsCommand({ ShardIterator: reader.iterator, Limit: MOST_RECORDS }),
      );
      reader.pending = (Records ?? []).map(lambdaRecord).filter(isBucketChange);
      reader.iterator = NextShardIterator;
      // A closed shard ends; DynamoDB Local keeps an empty one open.
      if (NextShardIterator === undefined) reader.done = reader.pending.length === 0;
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

/** What the event source's filter lets through. */
function isBucketChange({ eventName, dynamodb }: DynamoDBRecord): boolean {
  return dynamodb?.Keys?.[SK]?.S === BUCKET_SK && (eventName === 'INSERT' || eventName === 'MODIFY');
}

/** A record as Lambda hands it on: times are epoch seconds there. */
function lambdaRecord({ dynamodb, ...record }: StreamRecord): DynamoDBRecord {
  const at = dynamodb?.ApproximateCreationDateTime;
  return {
    ...record,
    dynamodb: { ...dynamodb, ...(at && { ApproximateCreationDateTime: Math.floor(at.getTime() / 1_000) }) },
  } as DynamoDBRecord;
}
