import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { CostExceedsCapacity, CostExceedsShard, InvalidArgument } from '../../lib/errors.js';
import { eachStore, memory, type StoreUnderTest } from '../support/stores.js';
import { UnreliableStore } from './unreliable-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const minute = 60_000;

describe.each(eachStore)('a bucket in four shards on the $name store', ({ fresh }: StoreUnderTest) => {
  const split = async (limits: readonly Limit[], shards = 4) => {
    const bed = await fresh();
    await bed.admin().setLimits({ resource: 'gpt-4' }, limits, { shards });
    return bed;
  };

  it('stands as one: what is left of all shards is summed up', async () => {
    const { limiter } = await split([Limit.perMinute('rpm', 402), Limit.perMinute('tpm', 4_000)]);
    const caller = limiter();
    expect(await caller.available(on)).toEqual({ rpm: 402, tpm: 4_000 });
    for (let count = 0; count < 100; count += 1) await caller.acquire({ ...on, consume: { rpm: 1, tpm: 10 } });

    expect(await caller.available(on)).toEqual({ rpm: 302, tpm: 3_000 });
    const { limits } = await caller.status(on);
    expect(limits).toMatchObject([
      { limit: 'rpm', capacity: 402, available: 302, debt: 0, shards: 4 },
      { limit: 'tpm', capacity: 4_000, available: 3_000, debt: 0, shards: 4 },
    ]);
  });

  it('spreads requests over its shards, one write each', async () => {
    const { limiter, store, bucket } = await split([Limit.perMinute('rpm', 400)]);
    const caller = limiter();
    for (let count = 0; count < 100; count += 1) await caller.acquire({ ...on, consume: { rpm: 1 } });
    expect(caller.stats().writes).toBe(100);
    for (let shard = 0; shard < 4; shard += 1) {
      const state = await store.read({ ...bucket(), shard });
      expect(state?.positions.has('rpm'), `shard ${shard} was used`).toBe(true);
    }
  });

  it('admits what the limit holds and no more, all shards together, and refills at its rate', async () => {
    const { limiter, clock } = await split([Limit.perMinute('rpm', 402)]);
    const [one, other] = [limiter(), limiter()];
    let granted = 0;
    for (let tries = 0; tries < 1_500; tries += 1) {
      const outcome = await (tries % 2 === 0 ? one : other).tryAcquire({ ...on, consume: { rpm: 1 } });
      if (outcome.granted) granted += 1;
    }
    // Each request asks two of the four shards, so the last tokens may be left in one that it did not ask; 1,500 tries find them all.
    expect(granted).toBe(402);
    // 402 tokens came back, a hundred and a half in each shard: whole ones are shown.
    clock.advance(minute);
    expect(await one.available(on)).toEqual({ rpm: 400 });
    clock.advance(300);
    expect(await one.available(on)).toEqual({ rpm: 402 });
  });

  it('denies only after another shard was asked, and with the shorter wait', async () => {
    const { limiter } = await split([Limit.perMinute('rpm', 4)]);
    const caller = limiter();
    const outcomes = [];
    for (let count = 0; count < 60; count += 1) outcomes.push(await caller.tryAcquire({ ...on, consume: { rpm: 1 } }));
    expect(outcomes.filter(({ granted }) => granted)).toHaveLength(4);
    const denied = outcomes.at(-1);
    // One token a shard comes back in four times the time of one token of the whole.
    expect(denied).toMatchObject({
      granted: false,
      denial: { retryAfterMs: minute, violations: [{ limit: 'rpm', capacity: 1 }] },
    });
  });

  it('settles and releases in the shard that granted', async () => {
    const { limiter } = await split([Limit.perMinute('tpm', 400)]);
    const caller = limiter();
    const leases = await Promise.all(Array.from({ length: 8 }, () => caller.acquire({ ...on, consume: { tpm: 20 } })));
    await Promise.all(leases.slice(0, 4).map((lease) => lease.settle({ tpm: 50 })));
    await Promise.all(leases.slice(4).map((lease) => lease.release()));
    expect(await caller.available(on)).toEqual({ tpm: 200 });
  });

  it('refuses a cost that no shard holds, and what the limit itself does not hold', async () => {
    const { limiter } = await split([Limit.perMinute('tpm', 402)]);
    const caller = limiter();
    await caller.acquire({ ...on, consume: { tpm: 101 } });
    const tooLarge = await caller.acquire({ ...on, consume: { tpm: 102 } }).catch((error: unknown) => error);
    expect(tooLarge).toBeInstanceOf(CostExceedsShard);
    expect(tooLarge).toMatchObject({ code: 'CostExceedsShard', shardCapacity: 101, shards: 4, requested: 102 });
    await expect(caller.acquire({ ...on, consume: { tpm: 403 } })).rejects.toThrow(CostExceedsCapacity);
    expect(caller.stats().writes).toBe(1);
  });

  it('queues in a shard, and tells when it will have room for what is needed', async () => {
    const { limiter, clock } = await split([Limit.perMinute('tpm', 400)]);
    const caller = limiter();
    for (let count = 0; count < 40; count += 1) await caller.tryAcquire({ ...on, consume: { tpm: 100 } });
    expect(await caller.available(on)).toEqual({ tpm: 0 });
    expect(await caller.timeUntilAvailable({ ...on, needed: { tpm: 50 } })).toBe(30_000);
    const waiting = caller.acquire({ ...on, consume: { tpm: 50 }, maxWaitMs: minute });
    while ((await caller.available(on)).tpm !== -50) await new Promise(setImmediate);
    clock.advance(30_000);
    expect((await waiting).waitedMs).toBe(30_000);
  });

  it('is reset and topped up as one', async () => {
    const { limiter, admin } = await split([Limit.perMinute('tpm', 402)]);
    const caller = limiter();
    for (let count = 0; count < 60; count += 1) await caller.tryAcquire({ ...on, consume: { tpm: 50 } });
    expect(await caller.available(on)).toEqual({ tpm: 2 });
    await admin().topUp({ ...on, tokens: { tpm: 201 } });
    expect(await admin().audit({ entity: on.entity })).toMatchObject([{ action: 'bucket.topUp', to: { tokens: { tpm: 201 } } }]);
    expect(await caller.available(on)).toEqual({ tpm: 203 });
    await admin().reset(on);
    expect(await caller.available(on)).toEqual({ tpm: 402 });
  });

  it('holds concurrency limits and quotas in parts, too', async () => {
    const { limiter } = await split([
      Limit.concurrent('inflight', 10, { leaseMs: minute }),
      Limit.quota('usd', 1_000, { per: 'month' }),
    ]);
    const caller = limiter();
    let leases = [];
    for (let tries = 0; tries < 200; tries += 1) {
      const outcome = await caller.tryAcquire({ ...on, consume: { inflight: 1, usd: 10 } });
      if (outcome.granted) leases.push(outcome.lease);
    }
    expect(leases).toHaveLength(10);
    expect(await caller.available(on)).toEqual({ inflight: 0, usd: 900 });
    expect((await caller.status(on)).limits[0]).toMatchObject({ inFlight: 10, capacity: 10 });
    await Promise.all(leases.map((lease) => lease.release()));
    leases = [];
    expect(await caller.available(on)).toEqual({ inflight: 10, usd: 1_000 });
  });
});

it('a bucket that becomes four shards keeps the share in use of its first one', async () => {
  const { limiter, admin, clock } = await memory.fresh();
  await admin().setLimits({ resource: 'gpt-4' }, [Limit.perMinute('rpm', 400)]);
  const caller = limiter();
  await caller.acquire({ ...on, consume: { rpm: 200 } });
  await admin().setLimits({ resource: 'gpt-4' }, [Limit.perMinute('rpm', 400)], { shards: 4 });
  clock.advance(0);
  expect(await limiter().available(on)).toEqual({ rpm: 350 });
});

it('status suggests twice the shards once DynamoDB throttled the bucket', async () => {
  const { limiter, admin, store } = await memory.fresh();
  await admin().setLimits({ resource: 'gpt-4' }, [Limit.perMinute('rpm', 400)], { shards: 4 });
  const throttling = new UnreliableStore(store);
  // The first call reads the limits.
  throttling.fates = ['answered', 'throttled'];
  const caller = limiter({ store: throttling });
  await caller.acquire({ ...on, consume: { rpm: 1 } });
  expect((await caller.status(on)).limits).toMatchObject([{ limit: 'rpm', shards: 4, suggestShards: 8 }]);
  const calm = await limiter().status(on);
  expect(calm.limits[0]).not.toHaveProperty('suggestShards');
});

it.each([0, 65, 1.5, Number.NaN, '4'])('shards: %j is refused, naming the range', async (shards) => {
  const { admin } = await memory.fresh();
  const error = await admin()
    .setLimits({ system: true }, [Limit.perMinute('rpm', 4)], { shards: shards as number })
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InvalidArgument);
  expect((error as Error).message).toContain('Expected shards to be an integer from 1 to 64');
});
