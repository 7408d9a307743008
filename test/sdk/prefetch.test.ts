import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, memory, type StoreUnderTest } from '../support/stores.js';
import { UnreliableStore } from './unreliable-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
/** Lots of 10 and 1,000, good for 600 ms. */
const limits = [Limit.perMinute('rpm', 1_000), Limit.perMinute('tpm', 100_000)];
const one = { ...on, limits, consume: { rpm: 1, tpm: 100 } };
const prefetch = { share: 0.01 };

describe.each(eachStore)('prefetching on the $name store', ({ fresh }: StoreUnderTest) => {
  it('serves most requests of a busy bucket without a call', async () => {
    const { limiter } = await fresh();
    const caller = limiter({ prefetch });
    for (let count = 0; count < 111; count += 1) await caller.acquire(one);
    // One alone, then ten times one with a lot for ten more.
    expect(caller.stats()).toMatchObject({ granted: 111, writes: 11 });
    expect(await caller.available({ ...on, limits })).toEqual({ rpm: 889, tpm: 88_900 });
  });

  it('takes no lot of a bucket that is asked less often than a lot would last', async () => {
    const { limiter, clock } = await fresh();
    const caller = limiter({ prefetch });
    for (let count = 0; count < 3; count += 1) {
      await caller.acquire(one);
      expect(await caller.available({ ...on, limits })).toEqual({ rpm: 999, tpm: 99_900 });
      clock.advance(60_000);
    }
    expect(caller.stats().writes).toBe(3);
  });

  it('gives back the rest of a lot when the limiter is closed, and counts the requests that it served', async () => {
    const { limiter, store } = await fresh();
    const recording = new UnreliableStore(store);
    const caller = limiter({ prefetch, store: recording });
    for (let count = 0; count < 5; count += 1) await caller.acquire(one);
    expect(await caller.available({ ...on, limits })).toEqual({ rpm: 988, tpm: 98_800 });

    await caller.close();

    const other = limiter();
    expect(await other.available({ ...on, limits })).toEqual({ rpm: 995, tpm: 99_500 });
    expect(recording.writes.reduce((sum, { requests }) => sum + requests, 0)).toBe(5);
  });

  it('hands out nothing of a lot that is older than its own refill, and gives it back with the next charge', async () => {
    const { limiter, clock } = await fresh();
    const caller = limiter({ prefetch });
    await caller.acquire(one);
    await caller.acquire(one);
    expect(caller.stats().writes).toBe(2);
    clock.advance(600);
    await caller.acquire(one);
    expect(caller.stats().writes).toBe(2);
    clock.advance(1);
    await caller.acquire(one);
    // The rest of the old lot, and one request with a new lot, in the same write.
    expect(caller.stats().writes).toBe(3);
    await caller.close();
    expect((await limiter().available({ ...on, limits })).rpm).toBe(1_000);
  });

  it('never admits more than the capacity and one lot, however many processes take lots', async () => {
    const { limiter } = await fresh();
    const callers = Array.from({ length: 4 }, () => limiter({ prefetch }));
    let granted = 0;
    for (let tries = 0; tries < 1_400; tries += 1) {
      if ((await callers[tries % 4]?.tryAcquire(one))?.granted) granted += 1;
    }
    expect(granted).toBe(1_000);
  });

  it('settles and releases what a lot granted, to the token', async () => {
    const { limiter } = await fresh();
    const caller = limiter({ prefetch });
    const leases = [];
    for (let count = 0; count < 6; count += 1) leases.push(await caller.acquire(one));
    await leases[3]?.settle({ tpm: 250 });
    await leases[4]?.release();
    await caller.close();
    expect(await limiter().available({ ...on, limits })).toEqual({ rpm: 995, tpm: 99_350 });
  });
});

it.each([
  { when: 'a share of a limit is less than a token', limits: [Limit.perMinute('rpm', 99)], consume: { rpm: 1 } },
  { when: 'a limit is a quota', limits: [Limit.quota('rpm', 1_000, { per: 'day' })], consume: { rpm: 1 } },
  { when: 'a limit is observed', limits: [Limit.perMinute('rpm', 1_000, { mode: 'observe' })], consume: { rpm: 1 } },
])('prefetching leaves a bucket alone when $when', async ({ limits: configured, consume }) => {
  const caller = (await memory.fresh()).limiter({ prefetch });
  for (let count = 0; count < 10; count += 1) await caller.acquire({ ...on, limits: configured, consume });
  expect(caller.stats().writes).toBe(10);
  expect((await caller.available({ ...on, limits: configured })).rpm).toBe((configured[0]?.capacity ?? 0) - 10);
});
