import { type AttributeValue, type DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { bucketPk } from '../../lib/store/schema.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { START_MS, type TestBed, testBed } from '../support/stores.js';

const limits = [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)];
const request = { entity: 'key-123', resource: 'gpt-4', consume: { rpm: 1, tpm: 500 }, limits };
const DAY_SECONDS = 86_400;

let client: DynamoDBClient;
let tableName: string;
let bed: TestBed;
let limiter: RateLimiter;

beforeAll(async () => {
  client = testClient();
  tableName = await createTestTable();
});
beforeEach(() => {
  bed = testBed(new DynamoStore({ client, tableName }));
  limiter = bed.limiter();
});

/** The bucket's item as the table holds it. */
async function item() {
  const Key = { pk: { S: `${bed.namespace}#b#gpt-4#key-123#0` }, sk: { S: 'b' } };
  const { Item } = await client.send(new GetItemCommand({ TableName: tableName, Key, ConsistentRead: true }));
  return Item;
}

it('holds per limit the instant it is full again, its window and its net use, and the counts, version and time to live', async () => {
  await limiter.acquire(request);

  expect(await item()).toEqual({
    pk: { S: `${bed.namespace}#b#gpt-4#key-123#0` },
    sk: { S: 'b' },
    z_rpm: { N: '1800000000600000000000000' },
    w_rpm: { N: '60000000000000000' },
    u_rpm: { N: '1' },
    z_tpm: { N: '1800000003000000000000000' },
    w_tpm: { N: '60000000000000000' },
    u_tpm: { N: '500' },
    n: { N: '1' },
    v: { N: '1' },
    ttl: { N: String(1_800_000_000 + 35 * DAY_SECONDS) },
  });
});

it('counts what was used net of refunds, and the requests that were admitted', async () => {
  const settled = await limiter.acquire(request);
  await settled.settle({ tpm: 430 });
  await settled.settle({ tpm: 700 });
  const adjusted = await limiter.acquire(request);
  await adjusted.adjust({ tpm: 25 });
  const released = await limiter.acquire(request);
  await released.release();

  expect(await item()).toMatchObject({ u_rpm: { N: '2' }, u_tpm: { N: '1225' }, n: { N: '3' } });
});

it('counts as used what was settled below the estimate: 70 of 100', async () => {
  const lease = await limiter.acquire({ ...request, consume: { tpm: 100 } });

  await lease.settle({ tpm: 70 });

  expect(await item()).toMatchObject({ u_tpm: { N: '70' } });
});

it('counts as used what two leases of two processes were adjusted to at once: 10 + 20 and 5 + 15 are 50', async () => {
  const daily = { ...request, limits: [Limit.perDay('tpd', 1_000)] };
  const [one, other] = await Promise.all([
    limiter.acquire({ ...daily, consume: { tpd: 10 } }),
    bed.limiter().acquire({ ...daily, consume: { tpd: 5 } }),
  ]);

  await Promise.all([one.adjust({ tpd: 20 }), other.adjust({ tpd: 15 })]);

  expect(await item()).toMatchObject({ u_tpd: { N: '50' }, n: { N: '2' } });
  expect(await limiter.available({ entity: 'key-123', resource: 'gpt-4', limits: daily.limits })).toEqual({ tpd: 950 });
});

it('counts a denied request as none, and its denial with the next write', async () => {
  await limiter.acquire({ ...request, consume: { tpm: 9_999 } });
  await limiter.tryAcquire({ ...request, consume: { tpm: 2 } });
  await limiter.tryAcquire({ ...request, consume: { tpm: 3 } });
  expect(await item()).not.toHaveProperty('d');

  await limiter.acquire({ ...request, consume: { tpm: 1 } });

  expect(await item()).toMatchObject({ u_tpm: { N: '10000' }, n: { N: '2' }, d: { N: '2' } });
});

it('counts a request that another level denied as none', async () => {
  const admin = bed.admin();
  await admin.createEntity({ entity: 'org' });
  await admin.createEntity({ entity: 'key-123', parent: 'org' });
  await admin.setLimits({ entity: 'key-123' }, [Limit.perMinute('rpm', 100)]);
  await admin.setLimits({ entity: 'org' }, [Limit.perMinute('rpm', 1)]);
  const stored = { entity: 'key-123', resource: 'gpt-4', consume: { rpm: 1 } };
  await limiter.acquire(stored);
  await limiter.tryAcquire(stored);

  expect(await item()).toMatchObject({ u_rpm: { N: '1' }, n: { N: '1' } });
});

it.each([
  { when: 'its windows are short', limit: Limit.perMinute('rpm', 1), days: 35, more: 0 },
  {
    when: 'its window is 30 days',
    limit: Limit.custom({ name: 'rpm', capacity: 30, refillAmount: 1, refillPeriodMs: 86_400_000 }),
    days: 60,
    more: 1,
  },
])('lives for $days days when $when', async ({ limit, days, more }) => {
  await limiter.acquire({ ...request, consume: { rpm: 1 }, limits: [limit] });

  expect((await item())?.ttl).toEqual({ N: String(1_800_000_000 + days * DAY_SECONDS + more) });
});

it('lives longer with every use, and as long as the longest of its limits needs', async () => {
  const month = Limit.custom({ name: 'month', capacity: 30, refillAmount: 1, refillPeriodMs: 86_400_000 });
  await limiter.acquire({ ...request, consume: {}, limits: [month] });
  await limiter.acquire({ ...request, consume: { rpm: 1 } });
  expect((await item())?.ttl).toEqual({ N: String(1_800_000_000 + 60 * DAY_SECONDS + 1) });

  bed.clock.advance(50 * DAY_SECONDS * 1_000);
  await limiter.acquire({ ...request, consume: { rpm: 1 } });

  expect((await item())?.ttl).toEqual({ N: String(1_800_000_000 + 85 * DAY_SECONDS) });
});

it('outlives the debt that a settlement posts', async () => {
  const daily = [Limit.perDay('tpd', 10)];
  const lease = await limiter.acquire({ ...request, consume: { tpd: 1 }, limits: daily });

  await lease.settle({ tpd: 1_000 });

  const fullAtSeconds = START_MS / 1_000 + 100 * DAY_SECONDS;
  expect(Number((await item())?.ttl?.N)).toBeGreaterThan(fullAtSeconds);
});

/** An item's size as DynamoDB counts it: names and strings in UTF-8 bytes, a number a byte for two digits and one more, or two. */
function itemBytes(attributes: Record<string, AttributeValue>): number {
  return Object.entries(attributes).reduce((sum, [name, { S, N }]) => {
    if (S === undefined && N === undefined) throw new TypeError(`${name} is neither a string nor a number`);
    const digits = N?.replace('-', '').replace(/0+$/, '').length ?? 0;
    return sum + Buffer.byteLength(name) + (S === undefined ? Math.ceil(digits / 2) + 2 : Buffer.byteLength(S));
  }, 0);
}

it('stays under a kilobyte with eight limits, an entity of 36 characters and a resource of 23, so that a write costs one unit', async () => {
  const where = { entity: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff', resource: 'claude-sonnet-5-2026-11' };
  expect([where.entity.length, where.resource.length]).toEqual([36, 23]);
  const names = ['rpm', 'tpm', 'itpm', 'otpm', 'rpd', 'tpd', 'requests-per-min', 'usd-per-day'];
  const eight = names.map((name, index) => Limit.perMinute(name, 8_999_999_999 - index));
  // Late on an odd femtosecond: every digit of an instant and a sum counts.
  bed.clock.advance(123_456_789.123_457);
  const lease = await limiter.acquire({
    ...where,
    consume: Object.fromEntries(eight.map(({ name, capacity }) => [name, capacity - 2])),
    limits: eight,
  });
  await lease.settle({ tpm: 8_888_888_888 });
  await limiter.tryAcquire({ ...where, consume: { tpm: 8_000_000_000 }, limits: eight });
  await limiter.acquire({ ...where, consume: { rpm: 1 }, limits: eight });

  const Key = { pk: { S: bucketPk({ ...bed.bucket(where.entity, where.resource), shard: 0 }) }, sk: { S: 'b' } };
  const { Item } = await client.send(new GetItemCommand({ TableName: tableName, Key, ConsistentRead: true }));

  expect(Object.keys(Item ?? {}).filter((name) => name.startsWith('z_'))).toHaveLength(8);
  expect(itemBytes(Item ?? {})).toBeLessThan(1_024);
});
