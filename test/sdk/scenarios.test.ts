import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { CostExceedsCapacity } from '../../lib/errors.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';
import { NO_ROUTE, UnreliableStore } from './unreliable-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };

describe.each(eachStore)('one bucket on the $name store', ({ fresh }: StoreUnderTest) => {
  it('charges every limit of a request in one write', async () => {
    const bed = await fresh();
    const limiter = bed.limiter();
    const subject = { ...on, limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)] };

    const lease = await limiter.acquire({ ...subject, consume: { rpm: 1, tpm: 500 } });

    expect(limiter.stats().writes).toBe(1);
    expect(await limiter.available(subject)).toEqual({ rpm: 99, tpm: 9_500 });
    expect(lease.charged).toEqual({ rpm: 1, tpm: 500 });
    expect(lease.limits.map(({ limit, available }) => [limit, available])).toEqual([
      ['rpm', 99],
      ['tpm', 9_500],
    ]);
  });

  it('refuses a cost above the capacity as one that never fits, and writes nothing', async () => {
    const bed = await fresh();
    const limiter = bed.limiter();

    const refused = limiter.acquire({ ...on, limits: [Limit.perMinute('rpm', 100)], consume: { rpm: 150 } });

    await expect(refused).rejects.toBeInstanceOf(CostExceedsCapacity);
    await expect(refused).rejects.not.toBeInstanceOf(RateLimitExceeded);
    await expect(refused).rejects.toMatchObject({ code: 'CostExceedsCapacity', limit: 'rpm', capacity: 100, requested: 150 });
    expect(limiter.stats().writes).toBe(0);
    expect(await bed.store.read(bed.bucket())).toBeUndefined();
  });

  it('consumes nothing of the limits that fit when another one denies', async () => {
    const limiter = (await fresh()).limiter();
    const subject = { ...on, limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 100)] };
    await limiter.acquire({ ...subject, consume: { rpm: 1, tpm: 60 } });

    const outcome = await limiter.tryAcquire({ ...subject, consume: { rpm: 1, tpm: 60 } });

    expect(outcome).toMatchObject({
      granted: false,
      denial: {
        retryAfterMs: 12_000,
        violations: [{ limit: 'tpm', capacity: 100, available: 40, requested: 60, retryAfterMs: 12_000 }],
        passed: [{ limit: 'rpm', capacity: 100, available: 99, requested: 1, retryAfterMs: 0 }],
      },
    });
    expect(await limiter.available(subject)).toEqual({ rpm: 99, tpm: 40 });
  });

  it.each([
    { limit: Limit.perMinute('rpm', 100), need: 1, waitMs: 600 },
    { limit: Limit.perMinute('rpm', 10, { burst: 15 }), need: 1, waitMs: 6_000 },
    { limit: Limit.perSecond('rps', 5), need: 1, waitMs: 200 },
    { limit: Limit.perMinute('rpm', 7), need: 1, waitMs: 8_572 },
    { limit: Limit.perSecond('rps', 3_000), need: 1, waitMs: 1 },
    { limit: Limit.perHour('rph', 3_600), need: 10, waitMs: 10_000 },
    { limit: Limit.perDay('rpd', 24), need: 1, waitMs: 3_600_000 },
    {
      limit: Limit.custom({ name: 'custom', capacity: 1_000, refillAmount: 10, refillPeriodMs: 60_000 }),
      need: 100,
      waitMs: 600_000,
    },
  ])(
    'asks whoever drained $limit.capacity of $limit.name to wait $waitMs ms for $need, and means it',
    async ({ limit, need, waitMs }) => {
      const { limiter: newLimiter, clock } = await fresh();
      const limiter = newLimiter();
      const request = { ...on, limits: [limit], consume: { [limit.name]: need } };
      await limiter.acquire({ ...request, consume: { [limit.name]: limit.capacity } });

      await expect(limiter.acquire(request)).rejects.toMatchObject({ code: 'RateLimitExceeded', retryAfterMs: waitMs });
      expect(await limiter.timeUntilAvailable({ ...on, limits: [limit], needed: { [limit.name]: need } })).toBe(waitMs);
      clock.advance(waitMs - 1);
      expect(await limiter.tryAcquire(request)).toMatchObject({ granted: false, denial: { retryAfterMs: 1 } });
      clock.advance(1);
      expect((await limiter.tryAcquire(request)).granted).toBe(true);
    },
  );

  it.each([
    { limit: Limit.perSecond('l', 3), lot: 1, lots: 3 },
    { limit: Limit.perMinute('l', 7), lot: 1, lots: 7 },
    { limit: Limit.perMinute('l', 77), lot: 1, lots: 77 },
    { limit: Limit.perMinute('l', 700_000), lot: 10_000, lots: 70 },
    { limit: Limit.perHour('l', 1_000_000_000_000), lot: 20_000_000_000, lots: 50 },
    { limit: Limit.perMinute('l', 10, { burst: 15 }), lot: 1, lots: 15 },
  ])(
    'grants a full $limit.capacity every $limit.refillPeriodMs ms to the last token, in lots of $lot',
    async ({ limit, lot, lots }) => {
      const limiter = (await fresh()).limiter();
      const request = { ...on, limits: [limit], consume: { l: lot } };
      for (let granted = 0; granted < lots; granted += 1) await limiter.acquire(request);

      expect(await limiter.available({ ...on, limits: [limit] })).toEqual({ l: 0 });
      expect((await limiter.tryAcquire({ ...request, consume: { l: 1 } })).granted).toBe(false);
    },
  );

  it('grants a burst of 15 at 10 a minute at once, and asks the 16th to wait 6,000 ms', async () => {
    const limiter = (await fresh()).limiter();
    const request = { ...on, limits: [Limit.perMinute('rpm', 10, { burst: 15 })], consume: { rpm: 1 } };

    for (let granted = 0; granted < 15; granted += 1) await limiter.acquire(request);

    await expect(limiter.acquire(request)).rejects.toMatchObject({ code: 'RateLimitExceeded', retryAfterMs: 6_000 });
  });

  it.each([{ consume: {} }, { consume: { rpm: 0 } }])(
    'grants $consume and charges nothing, unless a limit is in debt',
    async ({ consume }) => {
      const limiter = (await fresh()).limiter();
      const subject = { ...on, limits: [Limit.perMinute('rpm', 100)] };
      const lease = await limiter.acquire({ ...subject, consume });
      expect(await limiter.available(subject)).toEqual({ rpm: 100 });

      await lease.settle({ rpm: 150 });

      expect(await limiter.tryAcquire({ ...subject, consume })).toMatchObject({
        granted: false,
        denial: { retryAfterMs: 30_000, violations: [{ limit: 'rpm', available: -50, requested: 0 }] },
      });
    },
  );

  it('lets an adjustment go into debt, which later callers wait off', async () => {
    const { limiter: newLimiter, clock } = await fresh();
    const limiter = newLimiter();
    const subject = { ...on, limits: [Limit.perMinute('tpm', 1_000)] };
    const lease = await limiter.acquire({ ...subject, consume: { tpm: 500 } });

    await lease.adjust({ tpm: 1_000 });

    expect(await limiter.available(subject)).toEqual({ tpm: -500 });
    expect(await limiter.tryAcquire({ ...subject, consume: { tpm: 1 } })).toMatchObject({ denial: { retryAfterMs: 30_060 } });
    clock.advance(60_000);
    expect(await limiter.available(subject)).toEqual({ tpm: 500 });
  });

  it('gives back what was settled below the estimate', async () => {
    const limiter = (await fresh()).limiter();
    const subject = { ...on, limits: [Limit.perMinute('tpm', 10_000)] };
    const lease = await limiter.acquire({ ...subject, consume: { tpm: 100 } });

    await lease.settle({ tpm: 70 });

    expect(await limiter.available(subject)).toEqual({ tpm: 9_930 });
    expect(lease.charged).toEqual({ tpm: 70 });
  });

  it.each([
    { when: 'the bucket is new', beforeMs: undefined },
    { when: 'the limit was used just now', beforeMs: 0 },
    { when: 'the limit was used an hour ago', beforeMs: 3_600_000 },
  ])('charges in full a limit that only the settlement names when $when', async ({ beforeMs }) => {
    const { limiter: newLimiter, clock } = await fresh();
    const limiter = newLimiter();
    const subject = { ...on, limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 1_000)] };
    if (beforeMs !== undefined) {
      await (await limiter.acquire({ ...subject, consume: { tpm: 200 } })).settle({ tpm: 0 });
      clock.advance(beforeMs);
    }
    const lease = await limiter.acquire({ ...subject, consume: { rpm: 1 } });

    await lease.adjust({ tpm: 500 });

    expect(await limiter.available(subject)).toEqual({ rpm: 99, tpm: 500 });
  });

  it('gives everything back when the work throws, and the error reaches the caller', async () => {
    const limiter = (await fresh()).limiter();
    const subject = { ...on, limits: [Limit.perMinute('rpm', 100)] };
    const failure = new Error('the model is down');

    const run = limiter.run({ ...subject, consume: { rpm: 10 } }, async () => {
      expect(await limiter.available(subject)).toEqual({ rpm: 90 });
      throw failure;
    });

    await expect(run).rejects.toBe(failure);
    expect(await limiter.available(subject)).toEqual({ rpm: 100 });
  });

  it('keeps a drained entity of one namespace out of the other', async () => {
    const { limiter: newLimiter, namespace } = await fresh();
    const request = { ...on, limits: [Limit.perMinute('rpm', 100)], consume: { rpm: 100 } };
    await newLimiter().acquire(request);

    const elsewhere = await newLimiter({ namespace: `${namespace}-b` }).tryAcquire(request);

    expect(elsewhere.granted).toBe(true);
    expect((await newLimiter().tryAcquire(request)).granted).toBe(false);
  });

  it.each([
    { policy: 'deny' as const, granted: 0 },
    { policy: 'allow' as const, granted: 200 },
    { policy: 'local' as const, granted: 10 },
    { policy: { local: { share: 0.25 } }, granted: 25 },
  ])('without an answer from the store, lets $granted of 200 pass at 100 a minute under $policy', async ({ policy, granted }) => {
    const bed = await fresh();
    const store = new UnreliableStore(bed.store);
    store.usual = 'refused';
    const limiter = bed.limiter({ store, onUnavailable: policy });
    const request = { ...on, limits: [Limit.perMinute('rpm', 100)], consume: { rpm: 1 } };

    const decidedBy: string[] = [];
    for (let tries = 0; tries < 200; tries += 1) {
      if (policy === 'deny') {
        await expect(limiter.acquire(request)).rejects.toMatchObject({ code: 'LimiterUnavailable', cause: NO_ROUTE });
        continue;
      }
      const outcome = await limiter.tryAcquire(request);
      if (outcome.granted) decidedBy.push(outcome.lease.decidedBy);
    }

    expect(decidedBy).toEqual(Array.from({ length: granted }, () => (policy === 'allow' ? 'allow' : 'local')));
    expect(limiter.stats().unavailable).toBe(200);
    expect(await bed.limiter().available({ ...on, limits: request.limits })).toEqual({ rpm: 100 });
  });
});
