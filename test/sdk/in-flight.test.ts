import { describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { InvalidArgument } from '../../lib/errors.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const LEASE_MS = 60_000;
const slots = (count: number, mode: 'enforce' | 'observe' = 'enforce') =>
  Limit.concurrent('inflight', count, { leaseMs: LEASE_MS, mode });
const one = { inflight: 1 };

async function denial(call: Promise<unknown>): Promise<RateLimitExceeded> {
  const error = await call.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RateLimitExceeded);
  return error as RateLimitExceeded;
}

describe.each(eachStore)('a concurrency limit on the $name store', ({ fresh }: StoreUnderTest) => {
  const request = { ...on, limits: [slots(2)], consume: one };

  it('denies the third of two at a time, until the first expires at the latest', async () => {
    const { limiter, clock } = await fresh();
    const caller = limiter();
    await caller.acquire(request);
    clock.advance(10_000);
    await caller.acquire(request);

    const { retryAfterMs, violations } = await denial(caller.acquire(request));

    expect(retryAfterMs).toBe(50_000);
    expect(violations).toMatchObject([{ limit: 'inflight', capacity: 2, available: 0, requested: 1 }]);
    clock.advance(49_999);
    await denial(caller.acquire(request));
    clock.advance(1);
    await caller.acquire(request);
    expect(await caller.available({ ...on, limits: [slots(2)] })).toEqual({ inflight: 0 });
  });

  it.each([
    { how: 'released', end: 'release' },
    { how: 'ended', end: 'end' },
    { how: 'told to free its slots', end: 'freeSlots' },
    { how: 'abandoned', end: 'abandon' },
  ] as const)('has a slot again when a lease is $how', async ({ end }) => {
    const caller = (await fresh()).limiter();
    const [first] = [await caller.acquire(request), await caller.acquire(request)];
    await denial(caller.acquire(request));

    await first[end]();

    await caller.acquire(request);
    await denial(caller.acquire(request));
  });

  it('has a slot again when a lease settles it to 0, or goes out of scope, or the work of run is done', async () => {
    const caller = (await fresh()).limiter();
    const lease = await caller.acquire(request);
    await lease.settle({ inflight: 0 });
    expect(await caller.available({ ...on, limits: [slots(2)] })).toEqual({ inflight: 2 });
    {
      await using _held = await caller.acquire(request);
      expect(await caller.available({ ...on, limits: [slots(2)] })).toEqual({ inflight: 1 });
    }
    expect(await caller.available({ ...on, limits: [slots(2)] })).toEqual({ inflight: 2 });
    const kept = await caller.run(request, (held) => held);
    expect(kept.closed).toBe(false);
    await caller.run(request, () => Promise.reject(new Error('failed'))).catch(() => {});
    expect(await caller.available({ ...on, limits: [slots(2)] })).toEqual({ inflight: 2 });
  });

  it('keeps what else was charged when a lease ends, and settles it in the same write', async () => {
    const caller = (await fresh()).limiter();
    const limits = [slots(2), Limit.perMinute('tpm', 1_000)];
    const lease = await caller.acquire({ ...on, limits, consume: { inflight: 1, tpm: 100 } });
    const before = caller.stats().writes;

    await lease.end({ tpm: 250 });

    expect(caller.stats().writes - before).toBe(1);
    expect(await caller.available({ ...on, limits })).toEqual({ inflight: 2, tpm: 750 });
    await expect(lease.settle({ tpm: 1 })).rejects.toMatchObject({ code: 'LeaseClosed' });
  });

  it('takes one write a request, beside other limits, and shows what is in flight', async () => {
    const caller = (await fresh()).limiter();
    const limits = [slots(20), Limit.perMinute('tpm', 1_000)];
    for (const tpm of [100, 200, 300]) await caller.acquire({ ...on, limits, consume: { inflight: 1, tpm } });

    expect(caller.stats().writes).toBe(3);
    const { limits: standing } = await caller.status({ ...on, limits });
    expect(standing).toMatchObject([
      { limit: 'inflight', capacity: 20, available: 17, inFlight: 3, resetMs: LEASE_MS },
      { limit: 'tpm', available: 400 },
    ]);
    expect(standing[1]).not.toHaveProperty('inFlight');
  });

  it('consumes nothing of any limit where it denies, and no slot where another limit denies', async () => {
    const caller = (await fresh()).limiter();
    const limits = [slots(1), Limit.perMinute('tpm', 100)];
    await denial(
      caller
        .acquire({ ...on, limits, consume: { inflight: 0, tpm: 60 } })
        .then(() => caller.acquire({ ...on, limits, consume: { inflight: 1, tpm: 60 } })),
    );
    expect(await caller.available({ ...on, limits })).toEqual({ inflight: 1, tpm: 40 });
    const lease = await caller.acquire({ ...on, limits, consume: { inflight: 1, tpm: 10 } });
    await denial(caller.acquire({ ...on, limits, consume: { inflight: 1, tpm: 10 } }));
    expect(await caller.available({ ...on, limits })).toEqual({ inflight: 0, tpm: 30 });
    await lease.release();
    expect(await caller.available({ ...on, limits })).toEqual({ inflight: 1, tpm: 40 });
  });

  it('lets a request pass that takes no slot, although none is free', async () => {
    const caller = (await fresh()).limiter();
    const limits = [slots(1), Limit.perMinute('tpm', 100)];
    await caller.acquire({ ...on, limits, consume: { inflight: 1 } });
    await caller.acquire({ ...on, limits, consume: { tpm: 10 } });
    expect(await caller.available({ ...on, limits })).toEqual({ inflight: 0, tpm: 90 });
  });

  it('is never queued for: a request that may wait is denied at once', async () => {
    const caller = (await fresh()).limiter();
    await caller.acquire(request);
    await caller.acquire(request);
    await denial(caller.acquire({ ...request, maxWaitMs: 30_000 }));
  });

  it('gives its slot back when a place in the queue beside it is given up', async () => {
    const caller = (await fresh()).limiter();
    const limits = [slots(2), Limit.perMinute('rpm', 1)];
    await caller.acquire({ ...on, limits, consume: { rpm: 1 } });
    const abort = new AbortController();
    const waiting = caller.acquire({ ...on, limits, consume: { inflight: 1, rpm: 1 }, maxWaitMs: 60_000, signal: abort.signal });
    while ((await caller.available({ ...on, limits })).inflight !== 1) await new Promise(setImmediate);
    abort.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(await caller.available({ ...on, limits })).toEqual({ inflight: 2, rpm: 0 });
  });

  it('that is observed reports, and holds nothing', async () => {
    const caller = (await fresh()).limiter();
    const observed = { ...on, limits: [slots(1, 'observe')], consume: one };
    const [held, over] = [await caller.acquire(observed), await caller.acquire(observed)];
    expect([held.overdrawn, over.overdrawn]).toEqual([[], ['inflight']]);
    await over.release();
    expect(await caller.available({ ...on, limits: [slots(1)] })).toEqual({ inflight: 0 });
    await held.release();
    expect(await caller.available({ ...on, limits: [slots(1)] })).toEqual({ inflight: 1 });
  });

  it('works down what is in flight when it is lowered', async () => {
    const { limiter } = await fresh();
    const caller = limiter();
    const leases = await Promise.all(Array.from({ length: 5 }, () => caller.acquire({ ...request, limits: [slots(5)] })));
    expect(await caller.available({ ...on, limits: [slots(2)] })).toEqual({ inflight: -3 });
    await denial(caller.acquire(request));
    for (const lease of leases.slice(0, 3)) await lease.release();
    await denial(caller.acquire(request));
    await leases[3]?.release();
    await caller.acquire(request);
  });

  it('is free at once after a reset, and a lease that ends then changes nothing', async () => {
    const { limiter, admin } = await fresh();
    const caller = limiter();
    const [first] = [await caller.acquire(request), await caller.acquire(request)];
    await admin().reset(on);
    await first.release();
    const next = limiter();
    await Promise.all([next.acquire(request), next.acquire(request)]);
    await denial(next.acquire(request));
  });

  it('holds 200 callers over four instances to 20 in flight, and all are served', async () => {
    const { limiter } = await fresh();
    // On the system's clock: a denial is remembered for a quarter of a second, and then asked again.
    const callers = Array.from({ length: 4 }, () => limiter({ clock: new SystemClock() }));
    const crowd = { ...on, limits: [slots(20)], consume: one };
    let [running, most, served] = [0, 0, 0];
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const caller = callers[index % 4];
        for (;;) {
          const outcome = await caller?.tryAcquire(crowd).catch((error: unknown) => {
            if ((error as { code?: string }).code === 'Contended') return undefined;
            throw error;
          });
          if (outcome?.granted) {
            running += 1;
            most = Math.max(most, running);
            for (let turns = 0; turns < 5; turns += 1) await new Promise(setImmediate);
            running -= 1;
            await outcome.lease.release();
            served += 1;
            return;
          }
          // Whoever was denied asks another time, behind those that give slots back.
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }),
    );
    expect([served, most]).toEqual([200, 20]);
    expect(await callers[0]?.available({ ...on, limits: [slots(20)] })).toEqual({ inflight: 20 });
  }, 60_000);

  it('frees the slots of holders that were killed when they expire, whoever asks next', async () => {
    const { limiter, clock } = await fresh();
    const crowd = { ...on, limits: [slots(20)], consume: one };
    const killed = limiter();
    await Promise.all(Array.from({ length: 20 }, () => killed.acquire(crowd)));
    const next = limiter();
    await denial(next.acquire(crowd));
    clock.advance(LEASE_MS);
    const outcomes = await Promise.all(Array.from({ length: 25 }, () => next.tryAcquire(crowd)));
    expect(outcomes.filter(({ granted }) => granted)).toHaveLength(20);
  });

  it.each([
    { when: 'a lease asks for two slots', consume: { inflight: 2 }, code: 'InvalidArgument', says: 'consume.inflight' },
    { when: 'it asks for more than there are', consume: { inflight: 3 }, code: 'CostExceedsCapacity', says: 'inflight' },
  ])('refuses, and writes nothing, when $when', async ({ consume, code, says }) => {
    const caller = (await fresh()).limiter();
    const error = await caller.acquire({ ...on, limits: [slots(2)], consume }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code, message: expect.stringContaining(says) as string });
    expect(caller.stats().writes).toBe(0);
  });

  it('does not let a settlement take a slot', async () => {
    const caller = (await fresh()).limiter();
    const lease = await caller.acquire({ ...on, limits: [slots(2)], consume: {} });
    await expect(lease.settle({ inflight: 1 })).rejects.toThrow('Expected actual.inflight to be an integer from 0 to 0, got 1');
    await expect(lease.adjust({ inflight: 1 })).rejects.toThrow(InvalidArgument);
    expect(await caller.available({ ...on, limits: [slots(2)] })).toEqual({ inflight: 2 });
  });
});

it.each([
  { field: 'limit.slots', make: () => Limit.concurrent('inflight', 0, { leaseMs: 1 }) },
  { field: 'limit.slots', make: () => Limit.concurrent('inflight', 1_001, { leaseMs: 1 }) },
  { field: 'limit.leaseMs', make: () => Limit.concurrent('inflight', 1, { leaseMs: 0 }) },
  { field: 'limit.leaseMs', make: () => Limit.concurrent('inflight', 1, { leaseMs: 86_400_001 }) },
  { field: 'limit.leaseMs', make: () => Limit.concurrent('inflight', 1, {} as { leaseMs: number }) },
])('a concurrency limit names $field when it is out of range', ({ field, make }) => {
  expect(make).toThrow(`Expected ${field} to be an integer from 1 to`);
});
