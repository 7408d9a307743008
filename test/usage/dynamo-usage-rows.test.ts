import { type DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BucketKey } from '../../lib/store/schema.js';
import { bookUsage, type UsageRowStore } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { DynamoUsageRows } from '../../lib/usage/dynamo-usage-rows.js';
import type { RowAddition } from '../../lib/usage/usage-rows.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { short } from '../support/long.js';
import { batchOf, bookedAfter, deliveries, expectedRows, fated, recordsOf, steps, views } from './deliveries.js';
import { MemoryUsageRows, type RowContent } from './memory-usage-rows.js';
import { bucketKey, RecordedBuckets, sequenceNumber } from './recorded-buckets.js';

const at = '2026-11-22T13:00:00Z';
let client: DynamoDBClient;
let tableName: string;

beforeAll(async () => {
  client = testClient();
  tableName = await createTestTable();
});

/** An addition to one row of its own, `entity`'s, from one position to another. */
function addition(entity: string, first: number, last: number, over: Partial<RowAddition> = {}): RowAddition {
  return {
    pk: `default#e#${entity}`,
    sk: `usage#day#2026-11-22T00:00:00Z#gpt-4#${entity}#0`,
    resource: 'gpt-4',
    ttlSeconds: 2_000_000_000,
    firstPosition: String(first).padStart(40, '0'),
    lastPosition: String(last).padStart(40, '0'),
    consumed: new Map([['tpm', 5n]]),
    requests: 1n,
    denials: 2n,
    ...over,
  };
}

/** What a partition holds, as it is in the table. */
async function itemsIn(pk: string) {
  const { Items = [] } = await client.send(
    new QueryCommand({
      TableName: tableName,
      KeyConditionExpression: 'pk = :pk',
      ExpressionAttributeValues: { ':pk': { S: pk } },
    }),
  );
  return Items;
}

/** An entity's own usage items. */
const itemsOf = (entity: string) => itemsIn(`default#e#${entity}`);

/** The usage items of an entity in each of the views: its own, the resource's, the namespace's. */
async function viewItems(entity: string, over: Partial<BucketKey> = {}) {
  const items = await Promise.all(views(bucketKey({ entity, ...over })).map(itemsIn));
  return items.map((view) => view.filter((item) => item.sk!.S!.includes(`#${entity}#`)));
}

describe.each([
  { store: 'in memory', rows: (): UsageRowStore => new MemoryUsageRows() },
  { store: 'in the table', rows: (): UsageRowStore => new DynamoUsageRows(client, tableName) },
])('a usage row $store', ({ rows, store }) => {
  it.each([
    { when: 'the next position follows', first: 3, last: 4, outcome: { counted: true } },
    { when: 'positions between were empty', first: 9, last: 9, outcome: { counted: true } },
    { when: 'the addition comes again', first: 1, last: 2, outcome: { counted: false, lastPosition: '2'.padStart(40, '0') } },
    {
      when: 'it begins at the last position',
      first: 2,
      last: 7,
      outcome: { counted: false, lastPosition: '2'.padStart(40, '0') },
    },
    { when: 'it reaches back further', first: 0, last: 7, outcome: { counted: false, lastPosition: '2'.padStart(40, '0') } },
  ])('answers right when $when', async ({ when, first, last, outcome }) => {
    const entity = `${store} ${when}`;
    const kept = rows();
    expect(await kept.add(addition(entity, 1, 2))).toEqual({ counted: true });

    expect(await kept.add(addition(entity, first, last))).toEqual(outcome);
  });
});

it('holds counters as numbers, the last position, the resource and the time to live', async () => {
  const rows = new DynamoUsageRows(client, tableName);
  await rows.add(addition('layout', 1, 2, { consumed: new Map([['tpm', 9_007_199_254_740_993n]]) }));
  await rows.add(
    addition('layout', 3, 3, {
      consumed: new Map([
        ['tpm', 1n],
        ['__proto__', -4n],
      ]),
    }),
  );

  expect(await itemsOf('layout')).toEqual([
    Object.fromEntries([
      ['pk', { S: 'default#e#layout' }],
      ['sk', { S: 'usage#day#2026-11-22T00:00:00Z#gpt-4#layout#0' }],
      ['resource', { S: 'gpt-4' }],
      ['c_tpm', { N: '9007199254740994' }],
      ['c___proto__', { N: '-4' }],
      ['n', { N: '2' }],
      ['d', { N: '4' }],
      ['lastSeq', { S: '3'.padStart(40, '0') }],
      ['ttl', { N: '2000000000' }],
    ]),
  ]);
});

it('gives no time to live to a row that stays for good', async () => {
  await new DynamoUsageRows(client, tableName).add(addition('for-good', 1, 1, { ttlSeconds: undefined }));

  expect(await itemsOf('for-good')).toEqual([expect.not.objectContaining({ ttl: expect.anything() })]);
});

it('throws what the database throws when it is no lost race', async () => {
  await expect(new DynamoUsageRows(client, 'no-such-table').add(addition('a', 1, 1))).rejects.toMatchObject({
    name: 'ResourceNotFoundException',
  });
});

/** A client whose writes arrive and lose their answer, the first `times` times; `where` the loss is, outside or inside its own retries. */
function losingAnswers(times: number, error: Error, where: 'outside' | 'inside'): DynamoDBClient {
  const losing = testClient();
  let left = times;
  const lose =
    <Args, Result>(next: (args: Args) => Promise<Result>) =>
    async (args: Args): Promise<Result> => {
      const answer = await next(args);
      if (left-- > 0) throw error;
      return answer;
    };
  if (where === 'outside') losing.middlewareStack.add(lose, { step: 'initialize', name: 'loseAnswers' });
  else losing.middlewareStack.add(lose, { step: 'finalizeRequest', priority: 'low', name: 'loseAnswers' });
  return losing;
}

it('counts once in every view when the process dies after any of its writes', { timeout: 30_000 }, async () => {
  for (const died of [1, 2, 7, 8, 9, 15, 16, 17, 23, 24]) {
    const entity = `died-${died}`;
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey({ entity }), { at: '2026-11-22T12:59:59Z', consumed: { tpm: 5 }, requests: 1 });
    buckets.write(bucketKey({ entity }), { at: '2026-11-30T23:59:59Z', consumed: { tpm: 7 }, requests: 1 });
    buckets.write(bucketKey({ entity }), { at: '2026-12-01T00:00:00Z', consumed: { tpm: -2 } });
    const { buckets: changes } = readBucketChanges(buckets.records);

    let writes = 0;
    const dying: UsageRowStore = {
      add: async (row) => {
        if (++writes > died) throw new Error('the process is gone');
        const answer = await new DynamoUsageRows(client, tableName).add(row);
        if (writes === died) throw new Error('the process is gone');
        return answer;
      },
    };
    expect(await bookUsage(dying, changes)).not.toEqual([]);
    expect(await bookUsage(new DynamoUsageRows(client, tableName), changes)).toEqual([]);

    const net = (await viewItems(entity)).map((items) =>
      items.map((item) => [item.sk!.S!.slice(6).split('#gpt-4')[0], item.c_tpm!.N, item.n!.N]),
    );
    const once = [
      ['day#2026-11-22T00:00:00Z', '5', '1'],
      ['day#2026-11-30T00:00:00Z', '7', '1'],
      ['day#2026-12-01T00:00:00Z', '-2', '0'],
      ['hour#2026-11-22T12:00:00Z', '5', '1'],
      ['hour#2026-11-30T23:00:00Z', '7', '1'],
      ['hour#2026-12-01T00:00:00Z', '-2', '0'],
      ['month#2026-11-01T00:00:00Z', '12', '2'],
      ['month#2026-12-01T00:00:00Z', '-2', '0'],
    ];
    expect(net).toEqual([once, once, once]);
  }
});

it('names the first record of the batch when the answers to all its writes are lost, and counts them once', async () => {
  const buckets = new RecordedBuckets();
  const first = buckets.write(bucketKey({ entity: 'answers-lost' }), { at, consumed: { tpm: 5 } });
  buckets.write(bucketKey({ entity: 'answers-lost' }), { at, consumed: { tpm: 7 } });
  const { buckets: changes } = readBucketChanges(buckets.records);
  const losing = losingAnswers(9, new Error('socket hang up'), 'outside');

  const failures = await bookUsage(new DynamoUsageRows(losing, tableName), changes);
  expect(failures.map((failure) => failure.sequenceNumber)).toEqual(Array(9).fill(sequenceNumber(first)));
  expect(await bookUsage(new DynamoUsageRows(losing, tableName), changes)).toEqual([]);

  expect((await viewItems('answers-lost')).flat().map((item) => item.c_tpm)).toEqual(Array(9).fill({ N: '12' }));
});

it('counts once when the client sends a write again by itself because its answer was lost', async () => {
  const losing = losingAnswers(1, Object.assign(new Error('no answer'), { name: 'TimeoutError' }), 'inside');

  const outcome = await new DynamoUsageRows(losing, tableName).add(addition('sent-twice', 1, 2));

  expect(outcome).toEqual({ counted: false, lastPosition: '2'.padStart(40, '0') });
  expect(await itemsOf('sent-twice')).toEqual([expect.objectContaining({ c_tpm: { N: '5' }, n: { N: '1' } })]);
});

it('counts every write once in every view under deliveries drawn at random', { timeout: 120_000 }, async () => {
  const seed = 20_261_122;
  const runs = fc.sample(fc.tuple(steps, deliveries), { seed, numRuns: short(8, 15) });
  for (const [run, [written, delivered]] of runs.entries()) {
    const own = written.map(({ bucket, write }) => ({ bucket: { ...bucket, entity: `random-${run}` }, write }));
    const records = recordsOf(own);
    const rows = new DynamoUsageRows(client, tableName);
    let booked = 0;
    for (const delivery of [...delivered, { repeats: 0, length: records.length, twice: false, reversed: false, fates: [] }]) {
      const { end, batch } = batchOf(records, booked, delivery);
      const failures = await bookUsage(fated(rows, delivery.fates), readBucketChanges(batch).buckets);
      booked = bookedAfter(records, booked, end, failures.map((failure) => failure.sequenceNumber).sort()[0]);
    }
    const entity = `random-${run}`;
    const [gpt4, gpt5, other] = [
      await viewItems(entity),
      await viewItems(entity, { resource: 'gpt-5' }),
      await viewItems(entity, { namespace: 'other' }),
    ];
    // The entity's rows and the namespace's are those of both resources.
    const items = [gpt4, [gpt5[1]!], other].flat(2);
    expect(new Map(items.map((item) => [`${item.pk!.S} ${item.sk!.S}`, contentOf(item)]))).toEqual(expectedRows(own));
  }
});

function contentOf(item: Awaited<ReturnType<typeof itemsOf>>[number]): RowContent {
  const counters = Object.entries(item).filter(([attribute]) => attribute.startsWith('c_'));
  return {
    consumed: Object.fromEntries(counters.map(([attribute, value]) => [attribute.slice(2), BigInt(value.N!)])),
    requests: BigInt(item.n!.N!),
    denials: BigInt(item.d!.N!),
  };
}
