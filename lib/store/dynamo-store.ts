import { setTimeout } from 'node:timers/promises';
import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  type KeysAndAttributes,
  QueryCommand,
  type QueryCommandOutput,
  ScanCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { after } from './bucket-after.js';
import { bucketItemKey, bucketState, updateBucket } from './bucket-expressions.js';
import { answerTimes, CLOSEST_TO_THE_ANSWER, type LearningClock } from './dynamo-clock.js';
import { marshalledKey, transactItem } from './dynamo-operations.js';
import { failure, INSIDE_RETRIES, singleAttempt, unwrapped } from './dynamo-send.js';
import { type BucketKey, PK, SK } from './schema.js';
import {
  type BucketState,
  type BucketWrite,
  type CallOptions,
  type CallSignal,
  EMPTY_BUCKET,
  type Item,
  type ItemKey,
  type Operation,
  type QueryOptions,
  type ScannedPage,
  type Store,
  StoreFailure,
  type TransactionResult,
  type WholeTable,
  type WriteResult,
} from './store.js';
import { type UpdateCommands, updateCommands } from './update-command.js';

const UNPROCESSED_ROUNDS = 8;
const UNPROCESSED_PAUSE_MS = 5;
/** The most that one BatchWriteItem takes. */
const BATCH_OF_WRITES = 25;
const BATCHES_AT_ONCE = 8;

export interface DynamoStoreOptions {
  readonly client: DynamoDBClient;
  readonly tableName: string;
  /** Told of the server's time in every answer. @default nobody is */
  readonly clock?: LearningClock | undefined;
}

/** The store over one DynamoDB table: an acquire or a settlement is one UpdateItem (1 WCU), a level one GetItem, a configuration one BatchGetItem. */
export class DynamoStore implements Store, WholeTable {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;
  readonly #timed: ReturnType<typeof answerTimes>;
  readonly #update: UpdateCommands;

  constructor(options: DynamoStoreOptions) {
    this.#client = options.client;
    this.#tableName = options.tableName;
    this.#timed = answerTimes(options.clock);
    this.#update = updateCommands(options.clock);
  }

  async write(write: BucketWrite, { signal }: CallOptions = {}): Promise<WriteResult> {
    const command = this.#update(updateBucket(this.#tableName, write), signal);
    try {
      const { Attributes } = await endedBy(signal, this.#client.send(command));
      const met = Attributes === undefined ? EMPTY_BUCKET : bucketState(Attributes);
      return { applied: true, state: after(write, met) ?? met, met };
    } catch (error) {
      const cause = unwrapped(error);
      if (cause instanceof ConditionalCheckFailedException) {
        return { applied: false, state: cause.Item === undefined ? EMPTY_BUCKET : bucketState(cause.Item) };
      }
      throw await failure(error, this.#client, this.#tableName);
    }
  }

  async read(key: BucketKey, { signal }: CallOptions = {}): Promise<BucketState | undefined> {
    const command = new GetItemCommand({ TableName: this.#tableName, Key: bucketItemKey(key), ConsistentRead: true });
    command.middlewareStack.add(this.#timed, CLOSEST_TO_THE_ANSWER);
    const { Item: item } = await this.#sent(() => this.#client.send(command, abortedBy(signal)));
    return item === undefined ? undefined : bucketState(item);
  }

  async getItems(
    keys: readonly ItemKey[],
    { signal, consistent = false }: CallOptions & { readonly consistent?: boolean } = {},
  ): Promise<readonly (Item | undefined)[]> {
    const found = new Map<string, Item>();
    // DynamoDB refuses a batch that names a key twice.
    const distinct = [...new Map(keys.map((key) => [itemId(key), key])).values()];
    let wanted: KeysAndAttributes[] =
      distinct.length === 0 ? [] : [{ Keys: distinct.map(marshalledKey), ConsistentRead: consistent }];
    for (let round = 0; wanted.length > 0; round += 1) {
      if (round > 0) await endedBy(signal, setTimeout(UNPROCESSED_PAUSE_MS * 2 ** round));
      if (round === UNPROCESSED_ROUNDS) throw unprocessed(wanted[0]?.Keys?.length, round);
      const [request] = wanted;
      if (request === undefined) break;
      const command = new BatchGetItemCommand({ RequestItems: { [this.#tableName]: request } });
      command.middlewareStack.add(this.#timed, CLOSEST_TO_THE_ANSWER);
      const { Responses, UnprocessedKeys } = await this.#sent(() => this.#client.send(command, abortedBy(signal)));
      // Of one table: a table that was asked for by its ARN may answer by its name.
      for (const raw of Object.values(Responses ?? {}).flat()) {
        const item = unmarshall(raw) as Item;
        found.set(itemId(item), item);
      }
      const [left] = Object.values(UnprocessedKeys ?? {});
      wanted = left?.Keys?.length ? [left] : [];
    }
    return keys.map((key) => found.get(itemId(key)));
  }

  async queryItems(pk: string, skPrefix: string, options: QueryOptions = {}): Promise<readonly Item[]> {
    const { signal, after, most, backwards = false } = options;
    const items: Item[] = [];
    let start: QueryCommandOutput['LastEvaluatedKey'] = after === undefined ? undefined : marshalledKey({ pk, sk: after });
    do {
      const command = new QueryCommand({
        TableName: this.#tableName,
        // DynamoDB refuses an empty prefix.
        KeyConditionExpression: skPrefix === '' ? '#pk = :pk' : '#pk = :pk AND begins_with(#sk, :prefix)',
        ExpressionAttributeNames: { '#pk': PK, ...(skPrefix !== '' && { '#sk': SK }) },
        ExpressionAttributeValues: marshall({ ':pk': pk, ...(skPrefix !== '' && { ':prefix': skPrefix }) }),
        ExclusiveStartKey: start,
        ConsistentRead: true,
        ScanIndexForward: !backwards,
        ...(most !== undefined && { Limit: most - items.length }),
      });
      command.middlewareStack.add(this.#timed, CLOSEST_TO_THE_ANSWER);
      const page = await this.#sent(() => this.#client.send(command, abortedBy(signal)));
      items.push(...(page.Items ?? []).map((item) => unmarshall(item) as Item));
      start = page.LastEvaluatedKey;
    } while (start !== undefined && items.length < (most ?? Number.POSITIVE_INFINITY));
    return items;
  }

  async transact(operations: readonly Operation[], { signal }: CallOptions = {}): Promise<TransactionResult> {
    const command = new TransactWriteItemsCommand({
      TransactItems: operations.map((operation) => transactItem(this.#tableName, operation)),
    });
    command.middlewareStack.add(singleAttempt, INSIDE_RETRIES);
    command.middlewareStack.add(this.#timed, CLOSEST_TO_THE_ANSWER);
    try {
      await this.#client.send(command, abortedBy(signal));
      return { applied: true };
    } catch (error) {
      const cause = unwrapped(error);
      if (cause instanceof TransactionCanceledException) {
        const failed = (cause.CancellationReasons ?? []).flatMap((reason, index) => {
          if (reason.Code !== 'ConditionalCheckFailed') return [];
          const isBucket = operations[index]?.kind === 'bucket';
          return [
            {
              index,
              met: isBucket || reason.Item === undefined ? undefined : (unmarshall(reason.Item) as Item),
              state: isBucket ? (reason.Item === undefined ? EMPTY_BUCKET : bucketState(reason.Item)) : undefined,
            },
          ];
        });
        if (failed.length > 0) return { applied: false, failed };
        // Another transaction, or a throttled partition: nothing was written, and a moment later it may be.
        throw new StoreFailure('DynamoDB cancelled the transaction', { ambiguous: false, retryable: true, cause });
      }
      throw await failure(error, this.#client, this.#tableName);
    }
  }

  async scanKeys({ pkPrefix, after, most }: Parameters<WholeTable['scanKeys']>[0]): Promise<ScannedPage> {
    const command = new ScanCommand({
      TableName: this.#tableName,
      FilterExpression: 'begins_with(#pk, :prefix)',
      ProjectionExpression: '#pk, #sk',
      ExpressionAttributeNames: { '#pk': PK, '#sk': SK },
      ExpressionAttributeValues: marshall({ ':prefix': pkPrefix }),
      ExclusiveStartKey: after && marshalledKey(after),
      // What was written before the scan began is found, on whichever replica.
      ConsistentRead: true,
      Limit: most,
    });
    const { Items = [], ScannedCount = 0, LastEvaluatedKey: last } = await this.#sent(() => this.#client.send(command));
    return {
      keys: Items.map((item) => unmarshall(item) as Item),
      examined: ScannedCount,
      next: last && (unmarshall(last) as Item),
    };
  }

  async removeItems(keys: readonly ItemKey[]): Promise<void> {
    const requests = keys.map((key): WriteRequest => ({ DeleteRequest: { Key: marshalledKey(key) } }));
    const batches = Array.from({ length: Math.ceil(requests.length / BATCH_OF_WRITES) }, (_, index) =>
      requests.slice(index * BATCH_OF_WRITES, (index + 1) * BATCH_OF_WRITES),
    );
    for (let from = 0; from < batches.length; from += BATCHES_AT_ONCE)
      await Promise.all(batches.slice(from, from + BATCHES_AT_ONCE).map((batch) => this.#writeBatch(batch)));
  }

  /** A deletion that was sent twice is one: the SDK may try again. */
  async #writeBatch(batch: readonly WriteRequest[]): Promise<void> {
    let wanted = [...batch];
    for (let round = 0; wanted.length > 0; round += 1) {
      if (round > 0) await setTimeout(UNPROCESSED_PAUSE_MS * 2 ** round);
      if (round === UNPROCESSED_ROUNDS) throw unprocessed(wanted.length, round);
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#tableName]: wanted } });
      const { UnprocessedItems } = await this.#sent(() => this.#client.send(command));
      wanted = Object.values(UnprocessedItems ?? {}).flat();
    }
  }

  async #sent<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw await failure(error, this.#client, this.#tableName);
    }
  }
}

const unprocessed = (count: number | undefined, rounds: number): StoreFailure =>
  new StoreFailure(`DynamoDB left ${count} keys unprocessed ${rounds} times`, {
    ambiguous: false,
    retryable: true,
    cause: undefined,
  });
const itemId = (key: ItemKey): string => `${key.pk}\n${key.sk}`;
const abortedBy = (signal: CallSignal | undefined) => (signal === undefined ? {} : { abortSignal: signal as AbortSignal });

/** The call's outcome, or the signal's reason if that comes first: a client that looks for its credentials or its region listens to no signal. */
function endedBy<T>(signal: CallSignal | undefined, call: Promise<T>): Promise<T> {
  if (signal === undefined) return call;
  return new Promise((resolve, reject) => {
    signal.onabort = () => reject(signal.reason as Error);
    call.then(resolve, reject);
  });
}
