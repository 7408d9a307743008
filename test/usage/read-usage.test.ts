import { BatchWriteItemCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { beforeAll, expect, it } from 'vitest';
import { InvalidArgument } from '../../lib/errors.js';
import { bookUsage } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { DynamoUsageRows } from '../../lib/usage/dynamo-usage-rows.js';
import { readUsage, type UsageQuery } from '../../lib/usage/read-usage.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { bucketKey, RecordedBuckets } from './recorded-buckets.js';

const now = new Date('2026-11-22T13:34:56Z');
let client: DynamoDBClient;
let tableName: string;

beforeAll(async () => {
  client = testClient();
  tableName = await createTestTable();
});

/** Books what was written to the buckets, as the aggregator does. */
async function book(buckets: RecordedBuckets): Promise<void> {
  expect(await bookUsage(new DynamoUsageRows(client, tableName), readBucketChanges(buckets.records).buckets)).toEqual([]);
}

const read = async (query: UsageQuery, namespace = 'default', through = client) =>
  (await readUsage(through, tableName, namespace, query, now)).rows;

/** Entity `boundaries` has one token in each of these instants. */
const instants = [
  '2026-10-31T23:59:59.999Z',
  '2026-11-01T00:00:00Z',
  '2026-11-21T23:59:59Z',
  '2026-11-22T00:00:00Z',
  '2026-11-22T12:59:59Z',
  '2026-11-22T13:00:00Z',
  '2026-11-22T23:59:59Z',
  '2026-11-23T00:00:00Z',
  '2026-12-01T00:00:00Z',
];

beforeAll(async () => {
  const buckets = new RecordedBuckets();
  for (const at of instants)
    buckets.write(bucketKey({ entity: 'boundaries' }), { at, consumed: { tpm: 1 }, requests: 1, denials: 2 });
  await book(buckets);
});

it('answers today by day when only the entity is given', async () => {
  expect(await read({ entity: 'boundaries' })).toEqual([
    { resource: 'gpt-4', by: 'day', start: '2026-11-22T00:00:00.000Z', consumed: { tpm: 4 }, requests: 4, denied: 8 },
  ]);
});

it.each<{ when: string; query: Omit<UsageQuery, 'entity'>; rows: [string, number][] }>([
  {
    when: 'hours from a full hour to a full hour',
    query: { by: 'hour', from: '2026-11-22T12:00Z', to: '2026-11-22T13:00Z' },
    rows: [['2026-11-22T12', 1]],
  },
  {
    when: 'hours to one millisecond into the next',
    query: { by: 'hour', from: '2026-11-22T12:00Z', to: '2026-11-22T13:00:00.001Z' },
    rows: [
      ['2026-11-22T12', 1],
      ['2026-11-22T13', 1],
    ],
  },
  {
    when: "hours from an hour's last millisecond",
    query: { by: 'hour', from: '2026-11-22T12:59:59.999Z', to: '2026-11-22T13:00Z' },
    rows: [['2026-11-22T12', 1]],
  },
  {
    when: 'hours within one',
    query: { by: 'hour', from: new Date('2026-11-22T13:10:00Z'), to: new Date('2026-11-22T13:20:00Z') },
    rows: [['2026-11-22T13', 1]],
  },
  {
    when: 'hours in which nothing was used',
    query: { by: 'hour', from: '2026-11-22T01:00Z', to: '2026-11-22T12:00Z' },
    rows: [],
  },
  {
    when: 'days across a month',
    query: { by: 'day', from: '2026-10-31', to: '2026-11-02' },
    rows: [
      ['2026-10-31T00', 1],
      ['2026-11-01T00', 1],
    ],
  },
  {
    when: 'days given with an offset that reaches into the day before',
    query: { from: '2026-11-22T00:00:00+01:00', to: '2026-11-23T00:00:00+01:00' },
    rows: [
      ['2026-11-21T00', 1],
      ['2026-11-22T00', 4],
    ],
  },
  {
    when: 'months from the middle of one to the first instant of another',
    query: { by: 'month', from: '2026-11-15', to: '2026-12-01' },
    rows: [['2026-11-01T00', 7]],
  },
  {
    when: 'months of all of time',
    query: { by: 'month', from: new Date(0), to: '9999-12-31T23:59:59.999Z' },
    rows: [
      ['2026-10-01T00', 1],
      ['2026-11-01T00', 7],
      ['2026-12-01T00', 1],
    ],
  },
])('answers exactly the periods that overlap, for $when', async ({ query, rows }) => {
  const answered = await read({ entity: 'boundaries', ...query });

  expect(answered.map((row) => [row.start, row.consumed.tpm])).toEqual(
    rows.map(([hour, tokens]) => [`${hour}:00:00.000Z`, tokens]),
  );
  expect(new Set(answered.map((row) => row.by))).toEqual(new Set(rows.length > 0 ? [query.by ?? 'day'] : []));
});

it('adds up the shards of a bucket and sorts by start, then by resource', async () => {
  const buckets = new RecordedBuckets();
  const entity = 'sharded';
  for (const resource of ['gpt-4!', 'gpt-4', 'a']) {
    for (const shard of [0, 1, 11]) {
      buckets.write(bucketKey({ entity, resource, shard }), {
        at: `2026-11-2${shard === 11 ? 1 : 2}T10:00:00Z`,
        consumed: { [`only-${shard}`]: 1, tpm: 100 },
        requests: 1,
        denials: 1,
      });
    }
  }
  await book(buckets);

  const rows = await read({ entity, from: '2026-11-21' });

  expect(rows.map((row) => `${row.start.slice(0, 10)} ${row.resource}`)).toEqual([
    '2026-11-21 a',
    '2026-11-21 gpt-4',
    '2026-11-21 gpt-4!',
    '2026-11-22 a',
    '2026-11-22 gpt-4',
    '2026-11-22 gpt-4!',
  ]);
  expect(rows[4]).toEqual({
    resource: 'gpt-4',
    by: 'day',
    start: '2026-11-22T00:00:00.000Z',
    consumed: { 'only-0': 1, 'only-1': 1, tpm: 200 },
    requests: 2,
    denied: 2,
  });
});

it('answers only the resource asked for, and only of this entity and namespace', async () => {
  const buckets = new RecordedBuckets();
  const [entity, at] = ['chosen', '2026-11-22T10:00:00Z'];
  buckets.write(bucketKey({ entity }), { at, consumed: { tpm: 1 } });
  buckets.write(bucketKey({ entity, resource: 'gpt-4o' }), { at, consumed: { tpm: 10 } });
  buckets.write(bucketKey({ entity, namespace: 'other' }), { at, consumed: { tpm: 100 } });
  buckets.write(bucketKey({ entity: 'chosen-too' }), { at, consumed: { tpm: 1000 } });
  await book(buckets);

  const consumed = async (query: Omit<UsageQuery, 'entity'>, namespace?: string) =>
    (await read({ entity, ...query }, namespace)).map((row) => row.consumed);
  expect(await consumed({ resource: 'gpt-4' })).toEqual([{ tpm: 1 }]);
  expect(await consumed({})).toEqual([{ tpm: 1 }, { tpm: 10 }]);
  expect(await consumed({}, 'other')).toEqual([{ tpm: 100 }]);
  expect(await consumed({ resource: 'gpt' })).toEqual([]);
});

it('goes below zero in a period that refunds what an earlier one was charged', async () => {
  const buckets = new RecordedBuckets();
  const entity = 'refunded';
  buckets.write(bucketKey({ entity }), { at: '2026-11-21T23:59:59Z', consumed: { tpm: 500 }, requests: 1 });
  buckets.write(bucketKey({ entity }), { at: '2026-11-22T00:00:01Z', consumed: { tpm: -430 } });
  await book(buckets);

  const rows = await read({ entity, from: '2026-11-21' });

  expect(rows.map((row) => row.consumed)).toEqual([{ tpm: 500 }, { tpm: -430 }]);
  expect((await read({ entity, by: 'month' })).map((row) => row.consumed)).toEqual([{ tpm: 70 }]);
});

it('shows a limit whose name is a property of every object', async () => {
  const buckets = new RecordedBuckets();
  const consumed = Object.fromEntries([['__proto__', 3]]);
  buckets.write(bucketKey({ entity: 'named' }), { at: '2026-11-22T10:00:00Z', consumed });
  await book(buckets);

  const rows = await read({ entity: 'named' });

  expect(Object.entries(rows[0]!.consumed)).toEqual([['__proto__', 3]]);
});

/** A client that is given at most `size` items a page. */
function withPagesOf(size: number): { paging: DynamoDBClient; pages: () => number } {
  const paging = testClient();
  let pages = 0;
  paging.middlewareStack.add(
    (next) => (args) => {
      pages++;
      return next({ ...args, input: { ...args.input, Limit: size } });
    },
    { step: 'initialize', name: 'smallPages' },
  );
  return { paging, pages: () => pages };
}

it.each([1, 2, 3, 100])('reads the same from pages of %i items', async (size) => {
  const { paging, pages } = withPagesOf(size);
  const query = { entity: 'boundaries', by: 'hour', from: '2026-10-01', to: '2027-01-01' } as const;

  expect(await read(query, 'default', paging)).toEqual(await read(query));
  expect(pages()).toBeGreaterThanOrEqual(Math.ceil(instants.length / size));
});

it('reads on past pages on which the filter leaves nothing', async () => {
  const buckets = new RecordedBuckets();
  const at = '2026-11-22T10:00:00Z';
  for (const resource of ['a', 'b', 'c', 'd'])
    buckets.write(bucketKey({ entity: 'filtered', resource }), { at, consumed: { tpm: 1 } });
  await book(buckets);

  const rows = await read({ entity: 'filtered', resource: 'd' }, 'default', withPagesOf(1).paging);

  expect(rows.map((row) => row.resource)).toEqual(['d']);
});

it('reads more than the megabyte that the database gives at once', async () => {
  const entity = 'x'.repeat(250);
  const days = Array.from({ length: 1500 }, (_, day) => new Date(Date.UTC(2020, 0, 1 + day)).toISOString());
  const requests = days.map((start) => ({
    PutRequest: {
      Item: {
        pk: { S: `default#e#${entity}` },
        sk: { S: `usage#day#${start.slice(0, 19)}Z#${'r'.repeat(250)}#${entity}#0` },
        c_tpm: { N: '1' },
      },
    },
  }));
  for (let i = 0; i < requests.length; i += 25) {
    await client.send(new BatchWriteItemCommand({ RequestItems: { [tableName]: requests.slice(i, i + 25) } }));
  }
  const { paging, pages } = withPagesOf(10_000);

  const rows = await read({ entity, from: '2020-01-01' }, 'default', paging);

  expect(rows.map((row) => row.start)).toEqual(days);
  expect(pages()).toBeGreaterThan(1);
});

it.each([
  { query: { entity: 'a#b' }, message: 'Expected entity to be 1 to 256 bytes of printable UTF-8 without #, got "a#b"' },
  { query: {}, message: 'Expected entity to be 1 to 256 bytes of printable UTF-8 without #, got undefined' },
  {
    query: { entity: 'a', resource: '' },
    message: 'Expected resource to be 1 to 256 bytes of printable UTF-8 without #, got ""',
  },
  { query: { entity: 'a', by: 'year' }, message: 'Expected by to be one of hour, day, month, got "year"' },
  { query: { entity: 'a', until: '2026-11-22' }, message: 'Expected query.until to be left out' },
])('refuses $query without reading', async ({ query, message }) => {
  const asked = read(query as UsageQuery, 'default', {
    send: () => Promise.reject(new Error('read')),
  } as unknown as DynamoDBClient);

  await expect(asked).rejects.toThrow(InvalidArgument);
  await expect(asked).rejects.toThrow(message);
});
