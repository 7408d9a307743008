import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { beforeAll, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { FakeClock } from '../../lib/clock.js';
import { InvalidArgument, LimiterUnavailable } from '../../lib/errors.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { bookUsage } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { DynamoUsageRows } from '../../lib/usage/dynamo-usage-rows.js';
import type { TopConsumersQuery } from '../../lib/usage/top-consumers.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { bucketKey, RecordedBuckets } from './recorded-buckets.js';

const nowMs = Date.parse('2026-11-22T13:34:56Z');
const at = '2026-11-22T10:00:00Z';
let client: DynamoDBClient;
let tableName: string;

/** Who is asked: an administrator of a namespace on 22 November. */
const admin = (namespace: string, through = client) =>
  new HeadgateAdmin({ client: through, tableName, namespace, clock: new FakeClock(nowMs) });
/** `entity figure` of each, in order. */
const named = async (namespace: string, query: TopConsumersQuery, figure: string) =>
  (await admin(namespace).topConsumers(query)).map(
    ({ entity, consumed, requests, denied }) => `${entity} ${{ ...consumed, requests, denied }[figure]}`,
  );

async function book(buckets: RecordedBuckets): Promise<void> {
  expect(await bookUsage(new DynamoUsageRows(client, tableName), readBucketChanges(buckets.records).buckets)).toEqual([]);
}

beforeAll(async () => {
  client = testClient();
  tableName = await createTestTable();
  const buckets = new RecordedBuckets();
  const write = (entity: string, resource: string, when: string, tpm: number, requests: number, denials = 0, shard = 0) =>
    buckets.write(bucketKey({ namespace: 'shop', entity, resource, shard }), {
      at: when,
      consumed: { tpm, rpm: requests },
      requests,
      denials,
    });
  write('alice', 'gpt-4o', at, 700, 1);
  write('alice', 'gpt-4o', at, 400, 1, 0, 5);
  write('bob', 'gpt-4o', at, 1_000, 9, 4);
  write('carol', 'gpt-4o', at, 90, 3, 6);
  write('carol', 'gpt-5', at, 5_000, 20);
  write('dave', 'gpt-5', at, 60, 3);
  // Of other periods: bob's lead of the day before, and an hour of today that is over.
  write('bob', 'gpt-4o', '2026-11-21T23:59:59Z', 100_000, 50);
  write('erin', 'gpt-4o', '2026-11-22T09:59:59Z', 800, 2);
  for (let i = 1; i <= 200; i++)
    buckets.write(bucketKey({ namespace: 'many', entity: `user-${i}` }), { at, consumed: { tpm: i * 10 } });
  // Another tenant's, whose name begins alike.
  buckets.write(bucketKey({ namespace: 'shop2', entity: 'mallory' }), { at, consumed: { tpm: 1 }, requests: 1 });
  await book(buckets);
});

it('answers the entities with the most requests of everything today, when nothing is said', async () => {
  expect(await admin('shop').topConsumers()).toEqual([
    { entity: 'carol', consumed: { rpm: 23, tpm: 5_090 }, requests: 23, denied: 6 },
    { entity: 'bob', consumed: { rpm: 9, tpm: 1_000 }, requests: 9, denied: 4 },
    { entity: 'dave', consumed: { rpm: 3, tpm: 60 }, requests: 3, denied: 0 },
    { entity: 'alice', consumed: { rpm: 2, tpm: 1_100 }, requests: 2, denied: 0 },
    { entity: 'erin', consumed: { rpm: 2, tpm: 800 }, requests: 2, denied: 0 },
  ]);
});

it.each<{ when: string; query: TopConsumersQuery; figure: string; top: string[] }>([
  {
    when: 'tokens of one resource, shards added up',
    query: { resource: 'gpt-4o', sortBy: 'tpm' },
    figure: 'tpm',
    top: ['alice 1100', 'bob 1000', 'erin 800', 'carol 90'],
  },
  { when: 'tokens of the other', query: { resource: 'gpt-5', sortBy: 'tpm' }, figure: 'tpm', top: ['carol 5000', 'dave 60'] },
  {
    when: 'tokens of both, no more than two',
    query: { sortBy: 'tpm', limit: 2 },
    figure: 'tpm',
    top: ['carol 5090', 'alice 1100'],
  },
  { when: 'denials, without those who had none', query: { sortBy: 'denied' }, figure: 'denied', top: ['carol 6', 'bob 4'] },
  {
    when: 'two days added up',
    query: { resource: 'gpt-4o', sortBy: 'tpm', from: '2026-11-21', limit: 1 },
    figure: 'tpm',
    top: ['bob 101000'],
  },
  {
    when: 'the hour that is asked for',
    query: { sortBy: 'tpm', by: 'hour', from: '2026-11-22T09:00Z', to: '2026-11-22T10:00Z' },
    figure: 'tpm',
    top: ['erin 800'],
  },
  {
    when: 'the month',
    query: { sortBy: 'requests', by: 'month', limit: 2 },
    figure: 'requests',
    top: ['bob 59', 'carol 23'],
  },
  { when: 'a limit that nobody has', query: { sortBy: 'usd' }, figure: 'usd', top: [] },
  { when: 'a resource that nobody used', query: { resource: 'gpt-4' }, figure: 'tpm', top: [] },
  { when: 'a day without use', query: { from: '2026-11-20', to: '2026-11-21' }, figure: 'tpm', top: [] },
])('sorts right: $when', async ({ query, figure, top }) => {
  expect(await named('shop', query, figure)).toEqual(top);
});

it('shows no other namespace', async () => {
  expect(await named('shop2', {}, 'tpm')).toEqual(['mallory 1']);
});

it('leaves out who gave back as much as they were charged, or more', async () => {
  const buckets = new RecordedBuckets();
  const key = (entity: string) => bucketKey({ namespace: 'refunds', entity });
  buckets.write(key('even'), { at, consumed: { tpm: 500 }, requests: 1 });
  buckets.write(key('even'), { at, consumed: { tpm: -500 } });
  buckets.write(key('below'), { at: '2026-11-21T23:59:59Z', consumed: { tpm: 500 }, requests: 1 });
  buckets.write(key('below'), { at, consumed: { tpm: -430 } });
  buckets.write(key('above'), { at, consumed: { tpm: 1 } });
  await book(buckets);

  expect(await named('refunds', { sortBy: 'tpm' }, 'tpm')).toEqual(['above 1']);
  expect(await named('refunds', { sortBy: 'tpm', from: '2026-11-21' }, 'tpm')).toEqual(['below 70', 'above 1']);
});

/** A client that is given at most two items a page and counts the partitions it is asked for. */
function pagingClient() {
  const paging = testClient();
  const asked: string[] = [];
  paging.middlewareStack.add(
    (next) => (args) => {
      const values = (args.input as { ExpressionAttributeValues: Record<string, { S: string }> }).ExpressionAttributeValues;
      asked.push(values[':pk']!.S);
      return next({ ...args, input: { ...args.input, Limit: 2 } });
    },
    { step: 'initialize', name: 'smallPages' },
  );
  return { paging, asked };
}

it('finds the same in hundreds of entities, page by page, and reads sixteen partitions of the resource and nothing else', async () => {
  const { paging, asked } = pagingClient();

  const top = await admin('many', paging).topConsumers({ resource: 'gpt-4', sortBy: 'tpm', limit: 3 });

  expect(top.map(({ entity, consumed }) => [entity, consumed.tpm])).toEqual([
    ['user-200', 2_000],
    ['user-199', 1_990],
    ['user-198', 1_980],
  ]);
  const partitions = Array.from({ length: 16 }, (_, partition) => `many#r#gpt-4#${partition}`);
  expect(new Set(asked)).toEqual(new Set(partitions));
  expect(asked.length).toBeGreaterThanOrEqual(100);
  expect(await admin('many').topConsumers({ limit: 1_000, sortBy: 'tpm' })).toHaveLength(200);
});

it.each([
  { query: { resource: 'a#b' }, message: 'Expected resource to be 1 to 256 bytes of printable UTF-8 without #, got "a#b"' },
  {
    query: { sortBy: 'tokens used' },
    message: 'Expected sortBy to be 1 to 64 characters of A-Z a-z 0-9 _ - ., got "tokens used"',
  },
  { query: { limit: 0 }, message: 'Expected limit to be an integer from 1 to 1000, got 0' },
  { query: { limit: 1_001 }, message: 'Expected limit to be an integer from 1 to 1000, got 1001' },
  { query: { limit: 1.5 }, message: 'Expected limit to be an integer from 1 to 1000, got 1.5' },
  { query: { limit: '5' }, message: 'Expected limit to be an integer from 1 to 1000, got "5"' },
  { query: { by: 'year' }, message: 'Expected by to be one of hour, day, month, got "year"' },
  { query: { from: '2026-11-23' }, message: 'Expected from to be before the end 2026-11-23T00:00:00.000Z' },
  { query: { entity: 'alice' }, message: 'Expected query.entity to be left out: query has the fields resource, from, to' },
])('refuses $query without reading', async ({ query, message }) => {
  const unread = { send: () => Promise.reject(new Error('read')) } as unknown as DynamoDBClient;

  const answer = admin('shop', unread).topConsumers(query as TopConsumersQuery);

  await expect(answer).rejects.toThrow(InvalidArgument);
  await expect(answer).rejects.toThrow(message);
});

it('is refused where there is no table to count from', async () => {
  const inMemory = new HeadgateAdmin({ store: new MemoryStore(), clock: new FakeClock(nowMs) });

  await expect(inMemory.topConsumers()).rejects.toThrow(
    'Expected tableName to be given: usage is counted from the table’s stream',
  );
});

it('reads no further in the other partitions once one of them gives no answer', async () => {
  const { paging, asked } = pagingClient();
  paging.middlewareStack.add(
    (next) => async (args) => {
      if (asked.at(-1)!.endsWith('#3')) throw Object.assign(new Error('socket hang up'), { name: 'TimeoutError' });
      return next(args);
    },
    { step: 'initialize', name: 'failing', priority: 'low' },
  );

  await expect(admin('many', paging).topConsumers()).rejects.toThrow(LimiterUnavailable);
  // Long enough for the pages that were under way to come, and to be followed by others.
  expect(await named('many', { limit: 1, sortBy: 'tpm' }, 'tpm')).toEqual(['user-200 2000']);
  expect(asked).toHaveLength(16);
});
