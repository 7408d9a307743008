import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const rpm = (amount: number) => [Limit.perMinute('rpm', amount)];

describe.each(eachStore)('changed limits on the $name store', ({ fresh }: StoreUnderTest) => {
  it('neither limits by a limit that was taken away nor shows it', async () => {
    const limiter = (await fresh()).limiter();
    const both = { ...on, limits: [Limit.perMinute('rpm', 1), Limit.perMinute('tpm', 1_000)] };
    await limiter.acquire({ ...both, consume: { rpm: 1, tpm: 100 } });
    expect((await limiter.tryAcquire({ ...both, consume: { rpm: 1 } })).granted).toBe(false);
    const left = { ...on, limits: [Limit.perMinute('tpm', 1_000)] };

    const lease = await limiter.acquire({ ...left, consume: { tpm: 100 } });

    expect(lease.limits.map(({ limit }) => limit)).toEqual(['tpm']);
    expect(await limiter.available(left)).toEqual({ tpm: 800 });
    await expect(limiter.acquire({ ...left, consume: { rpm: 1 } })).rejects.toMatchObject({
      code: 'UnknownLimit',
      known: ['tpm'],
    });
  });

  it('starts a limit that was added full, and decides it together with the others', async () => {
    const limiter = (await fresh()).limiter();
    await limiter.acquire({ ...on, limits: rpm(10), consume: { rpm: 4 } });
    const both = { ...on, limits: [...rpm(10), Limit.perMinute('tpm', 100)] };

    await limiter.acquire({ ...both, consume: { rpm: 1, tpm: 100 } });

    expect(await limiter.available(both)).toEqual({ rpm: 5, tpm: 0 });
    expect((await limiter.tryAcquire({ ...both, consume: { rpm: 1, tpm: 1 } })).granted).toBe(false);
    expect(await limiter.available(both)).toEqual({ rpm: 5, tpm: 0 });
  });

  it.each([
    { change: 'raised', used: 40, from: rpm(100), to: rpm(200), available: 120 },
    { change: 'lowered', used: 40, from: rpm(100), to: rpm(10), available: 6 },
    { change: 'lowered when drained', used: 100, from: rpm(100), to: rpm(10), available: 0 },
    { change: 'given a burst', used: 50, from: rpm(100), to: [Limit.perMinute('rpm', 100, { burst: 300 })], available: 150 },
    { change: 'moved to another period', used: 250, from: [Limit.perDay('rpm', 1_000)], to: rpm(1_000), available: 750 },
    { change: 'made slower', used: 50, from: rpm(100), to: [Limit.perDay('rpm', 100)], available: 50 },
  ])('keeps the share in use when a limit is $change', async ({ used, from, to, available }) => {
    const { limiter: newLimiter } = await fresh();
    await newLimiter().acquire({ ...on, limits: from, consume: { rpm: used } });
    const limiter = newLimiter();

    expect(await limiter.available({ ...on, limits: to })).toEqual({ rpm: available });
    if (available > 0) await limiter.acquire({ ...on, limits: to, consume: { rpm: available } });
    expect((await limiter.tryAcquire({ ...on, limits: to, consume: { rpm: 1 } })).granted).toBe(false);
  });

  it('waits by the limit of today when the one of yesterday was drained', async () => {
    const { limiter: newLimiter, clock } = await fresh();
    const limiter = newLimiter();
    const daily = { ...on, limits: [Limit.perDay('rpm', 1_000)] };
    await limiter.acquire({ ...daily, consume: { rpm: 1_000 } });
    const request = { ...on, limits: rpm(1_000), consume: { rpm: 1 } };

    const outcome = await limiter.tryAcquire(request);
    expect(outcome).toMatchObject({ granted: false, denial: { retryAfterMs: 60 } });
    clock.advance(59);
    expect((await limiter.tryAcquire(request)).granted).toBe(false);
    clock.advance(1);
    expect((await limiter.tryAcquire(request)).granted).toBe(true);
  });

  it('holds the wait that was stated under a changed limit for another process as well', async () => {
    const { limiter: newLimiter, clock } = await fresh();
    await newLimiter().acquire({ ...on, limits: [Limit.perHour('rpm', 10)], consume: { rpm: 10 } });
    const request = { ...on, limits: rpm(10), consume: { rpm: 10 } };
    expect(await newLimiter().tryAcquire(request)).toMatchObject({ denial: { retryAfterMs: 60_000 } });

    clock.advance(60_000);

    expect((await newLimiter().tryAcquire(request)).granted).toBe(true);
  });

  it.each([
    { when: 'it settles for less', settled: 10, available: 180 },
    { when: 'it settles for more', settled: 80, available: 40 },
    { when: 'it is released', settled: undefined, available: 200 },
  ])('scales what a lease of before the change gives back or takes when $when', async ({ settled, available }) => {
    const { limiter: newLimiter } = await fresh();
    const limiter = newLimiter();
    const daily = [Limit.perDay('rpm', 100)];
    const lease = await limiter.acquire({ ...on, limits: daily, consume: { rpm: 40 } });
    await newLimiter().acquire({ ...on, limits: rpm(200), consume: {} });

    await (settled === undefined ? lease.release() : lease.settle({ rpm: settled }));

    expect(await limiter.available({ ...on, limits: rpm(200) })).toEqual({ rpm: available });
    expect(lease.unposted).toBe(0);
  });

  it('applies stored limits that were replaced once the cache time is over', async () => {
    const { limiter: newLimiter, admin: newAdmin, clock } = await fresh();
    const admin = newAdmin();
    const limiter = newLimiter({ cacheTtlMs: 1_000 });
    await admin.setLimits({ entity: 'key-123' }, rpm(100));
    await limiter.acquire({ ...on, consume: { rpm: 50 } });
    await admin.setLimits({ entity: 'key-123' }, [Limit.perMinute('tpm', 7)]);
    expect(await limiter.available(on)).toEqual({ rpm: 50 });

    clock.advance(1_000);

    expect(await limiter.available(on)).toEqual({ tpm: 7 });
  });

  it('counts the limits given with a request before those stored', async () => {
    const { limiter: newLimiter, admin } = await fresh();
    const limiter = newLimiter();
    await admin().setLimits({ entity: 'key-123' }, rpm(100));

    const lease = await limiter.acquire({ ...on, limits: rpm(500), consume: { rpm: 250 } });

    expect(lease.limits).toMatchObject([{ limit: 'rpm', capacity: 500, available: 250 }]);
    expect(await limiter.available(on)).toEqual({ rpm: 50 });
  });
});
