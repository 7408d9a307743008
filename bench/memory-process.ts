/** Heap that one limiter keeps for its buckets (needs --expose-gc), over a client that answers without a database. */
import { randomUUID } from 'node:crypto';
import type {
  AttributeValue,
  DynamoDBClient,
  TransactWriteItemsCommandInput,
  UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { HeadgateAdmin, Limit, RateLimiter } from '../lib/index.js';
import { childArguments, report } from './inside-child.js';

export interface MemoryArguments {
  readonly buckets: number;
  /** Limits come with the request, or from the table. */
  readonly limits: 'given' | 'stored';
}

export interface MemoryReport {
  /** Bytes of heap once so many buckets are live, and once as many others have followed them. */
  readonly liveBytes: number;
  readonly afterTwiceBytes: number;
}

type Attributes = Record<string, AttributeValue>;

/** Grants every write, as DynamoDB would on buckets that are never empty, and keeps only what was put. */
function answeringClient(): DynamoDBClient {
  const items = new Map<string, Attributes>();
  const id = (key: Attributes): string => `${key.pk?.S} ${key.sk?.S}`;
  const send = async ({ input }: { readonly input: object }): Promise<object> => {
    if ('UpdateExpression' in input) return { Attributes: written(input as UpdateItemCommandInput) };
    if ('TransactItems' in input) {
      for (const { Put } of (input as TransactWriteItemsCommandInput).TransactItems ?? []) {
        if (Put?.Item !== undefined) items.set(id(Put.Item), Put.Item);
      }
      return {};
    }
    if (!('RequestItems' in input)) throw new TypeError('a call that memory-process.ts does not know');
    const requested = input.RequestItems as Record<string, { readonly Keys: readonly Attributes[] }>;
    const Responses = Object.entries(requested).map(([table, { Keys }]) => [
      table,
      Keys.map((key) => items.get(id(key))).filter((item) => item !== undefined),
    ]);
    return { Responses: Object.fromEntries(Responses), UnprocessedKeys: {} };
  };
  return { send, config: {} } as unknown as DynamoDBClient;
}

/** The bucket that a first acquire leaves: what it sets, by name. */
function written({
  ExpressionAttributeNames: names = {},
  ExpressionAttributeValues: values = {},
  UpdateExpression = '',
}: UpdateItemCommandInput) {
  const attributes: Attributes = { ttl: values[':ttl'] ?? { N: '0' } };
  for (const [, name = '', value = ''] of UpdateExpression.matchAll(/(#[zw]\d+) = (:\w+)/g)) {
    const [attribute, stored] = [names[name], values[value]];
    if (attribute !== undefined && stored !== undefined) attributes[attribute] = { N: `${stored.N}` };
  }
  return attributes;
}

const { buckets, limits: from } = childArguments<MemoryArguments>();
const client = answeringClient();
const limits = [Limit.perMinute('rpm', 1_000), Limit.perMinute('tpm', 1_000_000)];
await new HeadgateAdmin({ client, tableName: 'headgate' }).setLimits({ system: true }, limits);
const limiter = new RateLimiter({ client, tableName: 'headgate' });

async function acquireFromNew(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) {
    const request = { entity: randomUUID(), resource: 'anthropic.claude-sonnet', consume: { rpm: 1, tpm: 500 } };
    await limiter.acquire(from === 'given' ? { ...request, limits } : request);
  }
}

/** Heap in use once nothing is left to collect. */
async function heapBytes(): Promise<number> {
  for (let round = 0; round < 4; round += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}

await acquireFromNew(100);
const emptyBytes = await heapBytes();
await acquireFromNew(buckets);
const liveBytes = (await heapBytes()) - emptyBytes;
await acquireFromNew(buckets);
const afterTwiceBytes = (await heapBytes()) - emptyBytes;
report({ liveBytes, afterTwiceBytes } satisfies MemoryReport);
