import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { UnreliableStore } from '../sdk/unreliable-store.js';
import { countCalls, createTestTable, testClient } from '../support/dynamodb.js';
import { eachStore, type StoreUnderTest, testBed } from '../support/stores.js';
import { gated, intercepted, recorded } from './intercepted-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const perMinute = (capacity: number) => ({ ...on, limits: [Limit.perMinute('rpm', capacity)] });
const times = <T>(count: number, one: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => one(index));

describe.each(eachStore)('one hot bucket on the $name store', ({ fresh }: StoreUnderTest) => {
  it('takes at most one write for a hundred acquires of 500 callers in one process', async () => {
    const bed = await fresh();
    const { store, calls, writes } = recorded(bed.store);
    const limiter = bed.limiter({ store });
    const request = { ...on, limits: [Limit.perMinute('rpm', 10_000), Limit.perMinute('tpm', 1_000_000)] };

    await Promise.all(
      times(500, async () => {
        for (let round = 0; round < 10; round += 1) await limiter.acquire({ ...request, consume: { rpm: 1, tpm: 100 } });
      }),
    );

    expect(writes()).toBeLessThanOrEqual(50);
    expect(calls).toHaveLength(writes());
    expect(await limiter.available(request)).toEqual({ rpm: 5_000, tpm: 500_000 });
  });

  it('admits exactly its 1,000 tokens to 5,000 callers in four processes', async () => {
    const bed = await fresh();
    const limiters = times(4, () => bed.limiter());
    const request = { ...perMinute(1_000), consume: { rpm: 1 } };

    const outcomes = await Promise.all(times(5_000, (caller) => limiters[caller % 4]!.tryAcquire(request)));

    expect(outcomes.filter(({ granted }) => granted)).toHaveLength(1_000);
    expect(await limiters[0]!.available(perMinute(1_000))).toEqual({ rpm: 0 });
    expect(limiters.reduce((sum, limiter) => sum + limiter.stats().writes, 0)).toBeLessThanOrEqual(50);
  });

  it('denies a large request as soon as those before it are decided, however many small ones keep coming behind it', async () => {
    const bed = await fresh();
    await bed.limiter().acquire({ ...perMinute(100), consume: { rpm: 50 } });
    const small = () => void limiter.tryAcquire({ ...perMinute(100), consume: { rpm: 1 } });
    let writes = 0;
    const limiter = bed.limiter({
      store: intercepted(bed.store, (proceed) => {
        writes += 1;
        // One more comes while each write is under way, so that something always fits.
        if (writes < 20) small();
        return proceed();
      }),
    });
    small();
    const large = limiter.tryAcquire({ ...perMinute(100), consume: { rpm: 100 } });
    const decidedAfter = large.then(() => writes);

    expect((await large).granted).toBe(false);
    expect(await decidedAfter).toBeLessThanOrEqual(4);
  });

  it('denies a large request in flight, and not the small one that came behind it', async () => {
    const bed = await fresh();
    await bed.limiter().acquire({ ...perMinute(100), consume: { rpm: 50 } });
    const gate = gated(bed.store);
    const limiter = bed.limiter({ store: gate.store });

    const large = limiter.tryAcquire({ ...perMinute(100), consume: { rpm: 100 } });
    await turn();
    const small = limiter.tryAcquire({ ...perMinute(100), consume: { rpm: 10 } });
    await turn();
    expect(gate.held).toHaveLength(1);
    gate.open();

    expect((await large).granted).toBe(false);
    expect((await small).granted).toBe(true);
    expect(await limiter.available(perMinute(100))).toEqual({ rpm: 40 });
  });

  it('denies a small request behind a large one only when the large one has taken everything', async () => {
    const bed = await fresh();
    const gate = gated(bed.store);
    const limiter = bed.limiter({ store: gate.store });

    const large = limiter.tryAcquire({ ...perMinute(100), consume: { rpm: 100 } });
    await turn();
    const small = limiter.tryAcquire({ ...perMinute(100), consume: { rpm: 10 } });
    gate.open();

    expect((await large).granted).toBe(true);
    expect(await small).toMatchObject({ granted: false, denial: { retryAfterMs: 6_000 } });
  });

  it('takes at most one write for 20 acquires and settlements when 200 callers do both in turn', async () => {
    const limiter = (await fresh()).limiter();

    await Promise.all(
      times(200, async () => {
        for (let round = 0; round < 5; round += 1) {
          const lease = await limiter.acquire({ ...perMinute(10_000), consume: { rpm: 4 } });
          await lease.settle({ rpm: 3 });
        }
      }),
    );

    expect(limiter.stats().writes).toBeLessThanOrEqual(100);
    expect(await limiter.available(perMinute(10_000))).toEqual({ rpm: 7_000 });
  });
});

describe('a write in flight', () => {
  // Real time stands still: a write that the machine makes slow would hold nobody back.
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  /** A bucket of 100 with one lease of 10, whose next write is in flight for as long as the gate is closed. */
  async function inFlight() {
    const bed = testBed(new MemoryStore());
    const request = { ...perMinute(100), consume: { rpm: 10 } };
    const gate = gated(bed.store, 1);
    const limiter = bed.limiter({ store: gate.store, maxQueue: 3 });
    const lease = await limiter.acquire(request);
    const first = limiter.tryAcquire(request);
    await turn();
    expect(gate.held).toHaveLength(1);
    return { limiter, request, gate, lease, first };
  }

  it('holds back the acquires behind it, and lets settlements that are alone out at once', async () => {
    const { limiter, request, gate, lease, first } = await inFlight();

    const settled = lease.settle({ rpm: 20 });
    await turn();
    expect(gate.held.map(({ write }) => write?.requests)).toEqual([1, 0]);
    const second = limiter.tryAcquire(request);
    await turn();
    expect(gate.held).toHaveLength(2);

    gate.open();
    await Promise.all([first, second, settled]);
    expect(gate.held.map(({ write }) => write?.requests)).toEqual([1, 0, 1]);
    expect(await limiter.available(perMinute(100))).toEqual({ rpm: 60 });
  });

  it('is followed by one write that carries every acquire and settlement queued meanwhile', async () => {
    const { limiter, request, gate, lease, first } = await inFlight();

    const second = limiter.tryAcquire(request);
    await turn();
    const settled = lease.settle({ rpm: 0 });
    const third = limiter.tryAcquire(request);
    await turn();
    expect(gate.held).toHaveLength(1);
    gate.open();
    await Promise.all([first, second, third, settled]);

    expect(gate.held.slice(0, 3).map(({ write }) => write?.requests)).toEqual([1, 2]);
    expect(await limiter.available(perMinute(100))).toEqual({ rpm: 70 });
  });

  it('has at most maxQueue requests behind it: one more is QueueFull, and the others are granted', async () => {
    const { limiter, request, gate, first } = await inFlight();
    const queued = times(3, () => limiter.tryAcquire(request));
    await turn();

    await expect(limiter.tryAcquire(request)).rejects.toMatchObject({ code: 'QueueFull', maxQueue: 3 });

    gate.open();
    const outcomes = await Promise.all([first, ...queued]);
    expect(outcomes.map(({ granted }) => granted)).toEqual([true, true, true, true]);
    expect(await limiter.available(perMinute(100))).toEqual({ rpm: 50 });
  });

  it('that the store refuses fails every request that it carries, each with the cause, and consumes nothing', async () => {
    const store = new UnreliableStore(new MemoryStore());
    const limiter = testBed(store).limiter();
    store.usual = 'refused';

    const outcomes = await Promise.allSettled(times(50, () => limiter.tryAcquire({ ...perMinute(100), consume: { rpm: 1 } })));

    const codes = outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'decided'));
    expect(codes).toEqual(times(50, () => 'LimiterUnavailable'));
    expect(store.writes).toHaveLength(1);
    store.usual = 'answered';
    expect(await limiter.available(perMinute(100))).toEqual({ rpm: 100 });
  });
});

describe('a bucket in DynamoDB', () => {
  it('is called by nothing but the writes that the limiter counts', async () => {
    const client = testClient();
    const tableName = await createTestTable(client);
    const calls = countCalls(client);
    const bed = testBed(new MemoryStore());
    const limiter = bed.limiter({ store: undefined, client, tableName });

    await Promise.all(times(500, () => limiter.acquire({ ...perMinute(1_000), consume: { rpm: 1 } })));

    expect(calls.byCommand).toEqual({ UpdateItemCommand: 1 });
    expect(limiter.stats().writes).toBe(1);
  });
});
