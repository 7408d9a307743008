import { beforeEach, describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { LimiterUnavailable } from '../../lib/errors.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { type TestBed, testBed } from '../support/stores.js';
import { type Fate, NO_ROUTE, UnreliableStore } from './unreliable-store.js';

const on = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)] };
const request = { ...on, consume: { rpm: 1, tpm: 500 } };

let store: UnreliableStore;
let bed: TestBed;

beforeEach(() => {
  store = new UnreliableStore(new MemoryStore());
  bed = testBed(store);
});

/** What the table really holds, whatever the limiter was told. */
const really = () => testBed(store.inner, bed.clock).limiter({ namespace: bed.namespace }).available(on);

describe('without an answer from the store', () => {
  it.each(['acquire', 'tryAcquire', 'available', 'status', 'limits'] as const)(
    '%s throws LimiterUnavailable with the cause',
    async (verb) => {
      store.usual = 'refused';
      const { limits: _limits, consume, ...stored } = request;
      const limiter = bed.limiter();

      const answer = verb === 'acquire' || verb === 'tryAcquire' ? limiter[verb]({ ...stored, consume }) : limiter[verb](stored);

      await expect(answer).rejects.toBeInstanceOf(LimiterUnavailable);
      await expect(answer).rejects.toMatchObject({ code: 'LimiterUnavailable', cause: NO_ROUTE });
    },
  );

  it('run throws LimiterUnavailable and does not start the work', async () => {
    store.usual = 'refused';
    let started = false;

    await expect(
      bed.limiter().run(request, () => {
        started = true;
      }),
    ).rejects.toBeInstanceOf(LimiterUnavailable);

    expect(started).toBe(false);
  });

  it.each(['hanging', 'throttled', 'unsent'] as const)('a decision ends at its deadline when every call is %s', async (fate) => {
    store.usual = fate;
    const limiter = bed.limiter({ deadlineMs: 30 });
    const startedMs = performance.now();

    await expect(limiter.acquire(request)).rejects.toMatchObject({ code: 'LimiterUnavailable', cause: NO_ROUTE });

    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect(limiter.stats().unavailable).toBe(1);
  });

  it('counts the writes that were throttled, and decides once one is not', async () => {
    store.fates = ['throttled', 'throttled'];
    const limiter = bed.limiter();

    await limiter.acquire(request);

    expect(limiter.stats()).toMatchObject({ granted: 1, writes: 3, throttled: 2, unavailable: 0 });
    expect(await really()).toEqual({ rpm: 99, tpm: 9_500 });
  });
});

describe("with onUnavailable: 'allow'", () => {
  it('a request is granted, says so, and draws nothing', async () => {
    store.usual = 'refused';
    const limiter = bed.limiter({ onUnavailable: 'allow' });

    const lease = await limiter.acquire(request);

    expect(lease).toMatchObject({ decidedBy: 'allow', charged: {}, limits: [] });
    expect(limiter.stats()).toMatchObject({ granted: 1, unavailable: 1 });
    store.usual = 'answered';
    expect(await really()).toEqual({ rpm: 100, tpm: 10_000 });
  });

  it('the end of its work is no error, whatever is settled', async () => {
    store.usual = 'refused';
    const lease = await bed.limiter({ onUnavailable: 'allow' }).acquire(request);

    await lease.settle({ tpm: 700 });
    await lease.adjust({ tpm: 200 });
    await lease.adjust({ tpm: -700 });
    await lease.release();

    expect(lease.unposted).toBe(0);
    await expect(lease.settle({ tpm: 1 })).rejects.toMatchObject({ code: 'LeaseClosed' });
  });

  it('a request is granted whose stored limits could not be read', async () => {
    store.usual = 'refused';

    const lease = await bed
      .limiter({ onUnavailable: 'allow' })
      .acquire({ entity: 'key-123', resource: 'gpt-4', consume: { rpm: 1 } });

    expect(lease.decidedBy).toBe('allow');
  });

  it('a cost above the capacity is still refused', async () => {
    store.usual = 'refused';
    const limiter = bed.limiter({ onUnavailable: 'allow' });

    await expect(limiter.acquire({ ...on, consume: { rpm: 101 } })).rejects.toMatchObject({ code: 'CostExceedsCapacity' });
  });

  it('a denial of the store that answers stays a denial', async () => {
    const limiter = bed.limiter({ onUnavailable: 'allow' });
    await limiter.acquire({ ...on, consume: { rpm: 100 } });

    expect((await limiter.tryAcquire(request)).granted).toBe(false);
  });
});

describe("with onUnavailable: 'local'", () => {
  it.each([
    { policy: 'local' as const, grants: 10 },
    { policy: { local: { share: 0.25 } }, grants: 25 },
    { policy: { local: { share: 1 } }, grants: 100 },
  ])('the process grants $grants of 100 by itself under $policy', async ({ policy, grants }) => {
    store.usual = 'refused';
    const limiter = bed.limiter({ onUnavailable: policy });
    const one = { ...on, consume: { rpm: 1 } };

    for (let granted = 0; granted < grants; granted += 1) expect((await limiter.acquire(one)).decidedBy).toBe('local');

    expect(await limiter.tryAcquire(one)).toMatchObject({
      granted: false,
      denial: { violations: [{ limit: 'rpm', capacity: grants, available: 0 }], retryAfterMs: 60_000 / grants },
    });
    expect(limiter.stats()).toMatchObject({ granted: grants, denied: 1, unavailable: grants + 1 });
    bed.clock.advance(60_000 / grants);
    expect((await limiter.tryAcquire(one)).granted).toBe(true);
    store.usual = 'answered';
    expect(await really()).toEqual({ rpm: 100, tpm: 10_000 });
  });

  it('a lease is settled where it was granted, after the store has come back too', async () => {
    store.usual = 'refused';
    const limiter = bed.limiter({ onUnavailable: 'local' });
    const lease = await limiter.acquire({ ...on, consume: { tpm: 1_000 } });
    store.usual = 'answered';
    await lease.settle({ tpm: 400 });
    expect(await really()).toEqual({ rpm: 100, tpm: 10_000 });
    store.usual = 'refused';

    expect((await limiter.tryAcquire({ ...on, consume: { tpm: 601 } })).granted).toBe(false);
    expect((await limiter.tryAcquire({ ...on, consume: { tpm: 600 } })).granted).toBe(true);
  });

  it('a lease keeps the weights of its limits', async () => {
    store.usual = 'refused';
    const weights = { input: 1, cachedInput: 0, output: 5 };
    const limits = [
      Limit.perMinute('tpm', 100, { weights }),
      Limit.quota('tpd', 100, { per: 'day', weights }),
      Limit.window('tps', 100, { everyMs: 1_000, weights }),
    ];

    const lease = await bed.limiter({ onUnavailable: 'local' }).acquire({ ...on, limits, consume: {} });

    expect(lease.counts).toEqual(['tpm', 'tpd', 'tps'].map((name) => ({ name, counts: 'tokens', weights })));
  });

  it('a cost that the share never holds, and a request whose limits are unknown, are LimiterUnavailable', async () => {
    store.usual = 'refused';
    const limiter = bed.limiter({ onUnavailable: 'local' });

    await expect(limiter.acquire({ ...on, consume: { rpm: 11 } })).rejects.toMatchObject({
      code: 'LimiterUnavailable',
      cause: NO_ROUTE,
    });
    await expect(limiter.acquire({ entity: 'key-123', resource: 'gpt-4', consume: { rpm: 1 } })).rejects.toMatchObject({
      code: 'LimiterUnavailable',
    });
  });
});

describe('a settlement without an answer', () => {
  it('is no error to finished work: it is counted on the lease', async () => {
    const limiter = bed.limiter();
    const lease = await limiter.acquire(request);
    store.usual = 'refused';

    await lease.settle({ tpm: 700 });
    await lease.adjust({ rpm: 1 });
    await lease.release();

    expect(lease.unposted).toBe(3);
    expect(limiter.stats().unavailable).toBe(3);
  });

  it('leaves the error of the work to the caller', async () => {
    const failure = new Error('the model is down');

    const run = bed.limiter().run(request, () => {
      store.usual = 'refused';
      throw failure;
    });

    await expect(run).rejects.toBe(failure);
  });

  it.each([
    { fates: ['lost'], spent: 10_000 - 500 - 200 - 200, when: 'the lost write had happened' },
    { fates: ['unsent'], spent: 10_000 - 500 - 200, when: 'the lost write had not' },
    { fates: ['throttled', 'throttled'], spent: 10_000 - 500 - 200, when: 'it was throttled twice' },
  ] satisfies { fates: Fate[]; spent: number; when: string }[])(
    'is sent again when it charges, and $when',
    async ({ fates, spent }) => {
      const limiter = bed.limiter();
      const lease = await limiter.acquire(request);
      store.fates = fates;

      await lease.settle({ tpm: 700 });

      expect(lease.unposted).toBe(0);
      expect(limiter.stats().droppedRefunds).toBe(0);
      expect(await really()).toEqual({ rpm: 99, tpm: spent });
    },
  );

  it.each([
    { fate: 'lost', tpm: 9_700 },
    { fate: 'unsent', tpm: 9_500 },
  ] as const)('is dropped and counted when it gives back and is $fate', async ({ fate, tpm }) => {
    const limiter = bed.limiter();
    const lease = await limiter.acquire(request);
    store.fates = [fate];

    await lease.settle({ tpm: 300 });

    expect(store.writes).toHaveLength(2);
    expect(limiter.stats().droppedRefunds).toBe(1);
    expect(lease.unposted).toBe(1);
    expect(await really()).toEqual({ rpm: 99, tpm });
  });

  it('is sent again when it gives back and was throttled: nothing had happened', async () => {
    const limiter = bed.limiter();
    const lease = await limiter.acquire(request);
    store.fates = ['throttled'];

    await lease.settle({ tpm: 300 });

    expect(lease.unposted).toBe(0);
    expect(limiter.stats()).toMatchObject({ droppedRefunds: 0, throttled: 1 });
    expect(await really()).toEqual({ rpm: 99, tpm: 9_700 });
  });

  it('gives back once at most when it charges one limit, gives back another, and its answer is lost', async () => {
    const limits = [Limit.perMinute('itpm', 1_000), Limit.perMinute('otpm', 1_000)];
    const subject = { entity: 'key-123', resource: 'gpt-4', limits };
    const lease = await bed.limiter().acquire({ ...subject, consume: { itpm: 500, otpm: 100 } });
    store.fates = ['lost'];

    await lease.settle({ itpm: 200, otpm: 300 });

    const left = await testBed(store.inner, bed.clock).limiter({ namespace: bed.namespace }).available(subject);
    expect(left.itpm).toBeLessThanOrEqual(800);
    expect(left.otpm).toBeLessThanOrEqual(700);
  });
});

describe('an acquire without an answer', () => {
  it.each([
    { fate: 'lost', left: { rpm: 98, tpm: 9_000 } },
    { fate: 'unsent', left: { rpm: 99, tpm: 9_500 } },
  ] as const)('is sent again when its answer is $fate: at worst it charges twice, and grants once', async ({ fate, left }) => {
    const limiter = bed.limiter();
    store.fates = [fate];

    const lease = await limiter.acquire(request);

    expect(lease.charged).toEqual({ rpm: 1, tpm: 500 });
    expect(limiter.stats().granted).toBe(1);
    expect(await really()).toEqual(left);
  });
});
