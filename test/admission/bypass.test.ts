import { GetItemCommand } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { leaseTokens } from '../../lib/http/lease-token.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { bucketPk } from '../../lib/store/schema.js';
import { UnreliableStore } from '../sdk/unreliable-store.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { eachStore, type StoreUnderTest, type TestBed, testBed } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const rph = (amount: number) => [Limit.perHour('rph', amount)];
const bypass = { bypass: true };

describe.each(eachStore)('a bypass on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  const granted = async (consume: object = { rph: 1 }, entity = 'key-123') =>
    (await bed.limiter().tryAcquire({ ...on, entity, consume: { ...consume } })).granted;

  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await admin.setLimits({ system: true }, rph(2));
  });

  it.each([
    { of: 'the pair', scope: on },
    { of: 'the entity', scope: { entity: 'key-123' } },
    { of: 'the resource', scope: { resource: 'gpt-4' } },
    { of: 'the tier', scope: { tier: 'pro' } },
  ])('of $of admits what is above the capacity, and draws nothing', async ({ scope }) => {
    await admin.createEntity({ entity: 'key-123', tier: 'pro' });
    await admin.setLimits(scope, rph(5), bypass);
    const limiter = bed.limiter();

    for (let request = 0; request < 8; request += 1) {
      const lease = await limiter.acquire({ ...on, consume: { rph: 6 } });
      expect([lease.charged, lease.overdrawn]).toEqual([{ rph: 6 }, []]);
      await lease.settle({ rph: 4 });
    }

    expect((await bed.store.read(bed.bucket()))?.positions.size).toBe(0);
    expect(await limiter.available(on)).toEqual({ rph: 5 });
    expect(await limiter.timeUntilAvailable({ ...on, needed: { rph: 6 } })).toBe(0);
  });

  it('draws on what stands above the entity all the same, and is denied by it', async () => {
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'org' });
    await admin.setLimits({ entity: 'org' }, rph(5));
    await admin.setLimits({ entity: 'key-123' }, rph(1), bypass);
    const limiter = bed.limiter();

    const lease = await limiter.acquire({ ...on, consume: { rph: 4 } });

    expect(await limiter.available({ ...on, entity: 'org' })).toEqual({ rph: 1 });
    expect(await limiter.tryAcquire({ ...on, consume: { rph: 2 } })).toMatchObject({
      granted: false,
      denial: { violations: [{ entity: 'org', available: 1, requested: 2 }] },
    });
    await lease.release();
    expect(await limiter.available({ ...on, entity: 'org' })).toEqual({ rph: 5 });
  });

  it('of the resource is not for an entity with limits of its own, nor for one above that has some', async () => {
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'low', parent: 'org' });
    await admin.setLimits({ resource: 'gpt-4' }, [], bypass);
    await admin.setLimits({ entity: 'org' }, rph(3));
    await admin.setLimits({ entity: 'key-123', resource: 'gpt-4' }, rph(1));

    expect([await granted(), await granted()]).toEqual([true, false]);
    expect([await granted({ rph: 3 }, 'low'), await granted({ rph: 1 }, 'low')]).toEqual([true, false]);
    expect(await granted({ rph: 9 }, 'other')).toBe(true);
  });

  it('ends with bypass: false of a more specific scope, and when it is removed', async () => {
    await admin.setLimits({ resource: 'gpt-4' }, [], bypass);
    await admin.setLimits({ entity: 'key-123' }, [], { bypass: false });
    expect([await granted({ rph: 2 }), await granted()]).toEqual([true, false]);

    await admin.deleteLimits({ resource: 'gpt-4' });
    expect([await granted({ rph: 2 }, 'other'), await granted({}, 'other'), await granted({ rph: 1 }, 'other')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('does not admit what is disabled', async () => {
    await admin.setLimits({ resource: 'gpt-4' }, [], { disabled: true });
    await admin.setLimits(on, [], bypass);

    await expect(granted()).rejects.toMatchObject({ code: 'ResourceDisabled' });
  });

  it('admits an entity whose bucket is in debt, and leaves the debt', async () => {
    const lease = await bed.limiter().acquire({ ...on, consume: { rph: 1 } });
    await lease.settle({ rph: 10 });
    expect(await granted()).toBe(false);

    await admin.setLimits({ entity: 'key-123' }, rph(2), bypass);

    expect(await granted()).toBe(true);
    await admin.deleteLimits({ entity: 'key-123' });
    expect(await bed.limiter().available(on)).toEqual({ rph: -8 });
  });

  it('counts whatever is consumed where no limits are stored at all', async () => {
    await admin.deleteLimits({ system: true });
    await admin.setLimits(on, [], bypass);

    const lease = await bed.limiter().acquire({ ...on, consume: { rpm: 1, tpm: 700 } });

    expect(lease.charged).toEqual({ rpm: 1, tpm: 700 });
    await lease.settle({ tpm: 900 });
    expect(lease.unposted).toBe(0);
  });

  it('draws on no kind of limit, at no number of shards', async () => {
    const limits = [
      Limit.quota('usd', 10, { per: 'day', timeZone: 'UTC' }),
      Limit.window('messages', 1, { everyMs: 3_600_000 }),
      Limit.concurrent('inflight', 1, { leaseMs: 60_000 }),
    ];
    await admin.setLimits(on, limits, { ...bypass, shards: 4 });
    const limiter = bed.limiter();
    const consume = { usd: 11, messages: 2, inflight: 1 };

    const leases = await Promise.all(Array.from({ length: 5 }, () => limiter.acquire({ ...on, consume })));
    await leases[0]?.release();
    await leases[1]?.settle({ usd: 20 });
    await admin.setLimits(on, limits, { shards: 4 });

    const { limits: standing } = await bed.limiter().status(on);
    expect(standing.map(({ limit, available, capacity }) => [limit, available === capacity])).toEqual([
      ['usd', true],
      ['messages', true],
      ['inflight', true],
    ]);
  });

  it('waits for a place that what stands above promises, and gives all back when the waiter leaves', async () => {
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'org' });
    await admin.setLimits({ entity: 'org' }, [Limit.perSecond('rps', 1)]);
    await admin.setLimits({ entity: 'key-123' }, [Limit.perSecond('rps', 1)], bypass);
    const limiter = bed.limiter();
    await limiter.acquire({ ...on, consume: { rps: 1 } });

    const outcome = await limiter.reserve({ ...on, consume: { rps: 1 }, maxWaitMs: 5_000 });

    expect(outcome).toMatchObject({ granted: true, lease: { queuedAheadMs: 1_000 } });
    if (outcome.granted) await outcome.lease.release();
    expect(await limiter.available({ ...on, entity: 'org' })).toEqual({ rps: 0 });
    const abort = new AbortController();
    const waiting = limiter.acquire({ ...on, consume: { rps: 1 }, maxWaitMs: 5_000, signal: abort.signal });
    abort.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(await limiter.available({ ...on, entity: 'org' })).toEqual({ rps: 0 });
  });

  it('is the same with tokens taken ahead, and in a bucket of this process alone', async () => {
    await admin.setLimits(on, rph(2), bypass);
    const ahead = bed.limiter({ prefetch: { share: 0.5 } });
    for (let request = 0; request < 5; request += 1) await ahead.acquire({ ...on, consume: { rph: 3 } });
    const cut = new UnreliableStore(bed.store);
    const alone = bed.limiter({ store: cut, onUnavailable: 'local', deadlineMs: 200 });
    await alone.limits(on);
    cut.usual = 'refused';

    expect((await alone.acquire({ ...on, consume: { rph: 3 } })).decidedBy).toBe('local');
    expect(await bed.limiter().available(on)).toEqual({ rph: 2 });
  });

  it('stays one in a lease that travels', async () => {
    await admin.setLimits(on, rph(2), bypass);
    const limiter = bed.limiter();
    const tokens = leaseTokens(['a-key-of-sixteen-characters'], bed.namespace);
    const lease = await limiter.acquire({ ...on, consume: { rph: 9 } });

    const reopened = limiter.reopen(tokens.verify(tokens.sign(lease, 0), 0));
    await reopened.settle({ rph: 30 });

    expect(reopened.overdrawn).toEqual([]);
    expect((await bed.store.read(bed.bucket()))?.positions.size).toBe(0);
  });
});

/** A table, and the counters of the key's bucket in it. */
async function counted() {
  const client = testClient();
  const tableName = await createTestTable(client);
  const bed = testBed(new DynamoStore({ client, tableName }));
  const item = async () => {
    const Key = { pk: { S: bucketPk(bed.bucket()) }, sk: { S: 'b' } };
    const { Item } = await client.send(new GetItemCommand({ TableName: tableName, Key, ConsistentRead: true }));
    const { pk: _pk, sk: _sk, ttl: _ttl, v: _v, ...rest } = unmarshall(Item ?? {});
    return rest;
  };
  return { bed, item };
}

it('what is bypassed on DynamoDB is counted by the item that usage is made from, in one write a request', async () => {
  const { bed, item } = await counted();
  await bed.admin().setLimits(on, rph(5), bypass);
  const limiter = bed.limiter();

  const first = await limiter.acquire({ ...on, consume: { rph: 6 } });
  const second = await limiter.acquire({ ...on, consume: { rph: 7 } });
  expect(limiter.stats().writes).toBe(2);
  expect(await item()).toEqual({ n: 2, u_rph: 13 });

  await first.settle({ rph: 10 });
  expect(await item()).toEqual({ n: 2, u_rph: 17 });
  await second.release();
  expect(await item()).toEqual({ n: 2, u_rph: 10 });
});

it.each([
  { when: 'it is denied above', maxWaitMs: undefined },
  { when: 'it leaves the queue above', maxWaitMs: 5_000 },
])('what is bypassed is not counted when $when', async ({ maxWaitMs }) => {
  const { bed, item } = await counted();
  const admin = bed.admin();
  await admin.createEntity({ entity: 'org' });
  await admin.createEntity({ entity: 'key-123', parent: 'org' });
  await admin.setLimits({ entity: 'org' }, [Limit.perSecond('rps', 1)]);
  await admin.setLimits({ entity: 'key-123' }, [Limit.perSecond('rps', 1)], bypass);
  const limiter = bed.limiter();
  await limiter.acquire({ ...on, consume: { rps: 1 } });
  expect(await item()).toEqual({ n: 1, u_rps: 1 });
  const abort = new AbortController();

  const second = limiter
    .acquire({ ...on, consume: { rps: 1 }, maxWaitMs, signal: abort.signal })
    .catch((error: Error) => error.name);
  if (maxWaitMs !== undefined) await vi.waitFor(async () => expect(await item()).toMatchObject({ n: 2 }), { interval: 5 });
  abort.abort(Object.assign(new Error('gone'), { name: 'Gone' }));

  expect(await second).toBe(maxWaitMs === undefined ? 'RateLimitExceeded' : 'Gone');
  expect(await item()).toMatchObject({ n: 1, u_rps: 1 });
});
