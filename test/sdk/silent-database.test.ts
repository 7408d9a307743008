import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CircuitBreaker } from '../../lib/admission/circuit-breaker.js';
import { Limit } from '../../lib/core/limit.js';
import { LimiterUnavailable } from '../../lib/errors.js';
import { RateLimiter } from '../../lib/limiter.js';
import type { OnUnavailable } from '../../lib/limiter-options.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { Relay } from '../support/relay.js';
import { type TestBed, testBed } from '../support/stores.js';
import { UnreliableStore } from './unreliable-store.js';

const on = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)] };
const request = { ...on, consume: { rpm: 1, tpm: 500 } };

describe('while a store is silent', () => {
  let store: UnreliableStore;
  let bed: TestBed;
  let nowMs: number;

  beforeEach(() => {
    store = new UnreliableStore(new MemoryStore());
    nowMs = 1_800_000_000_000;
    bed = testBed(new CircuitBreaker(store, () => nowMs));
  });

  /** A limiter of a store that was found silent a moment ago: five reads failed, over a second. */
  async function limiterOfSilent(onUnavailable: OnUnavailable = 'deny'): Promise<RateLimiter> {
    const limiter = bed.limiter({ onUnavailable });
    store.usual = 'unsent';
    for (let failed = 0; failed < 5; failed += 1) {
      await expect(limiter.available(on)).rejects.toBeInstanceOf(LimiterUnavailable);
      if (failed < 4) nowMs += 250;
    }
    expect(limiter.stats()).toMatchObject({ silences: 1, unsent: 0 });
    store.calls.length = 0;
    return limiter;
  }

  it("requests throw LimiterUnavailable with the store's last failure, and send nothing", async () => {
    const limiter = await limiterOfSilent();
    const answer = limiter.acquire(request);
    await expect(answer).rejects.toBeInstanceOf(LimiterUnavailable);
    await expect(answer).rejects.toThrow(
      'The limiter could not decide: nothing was sent, for there was no answer lately: no answer from the store',
    );
    expect(store.calls).toEqual([]);
    expect(limiter.stats()).toMatchObject({ granted: 0, unavailable: 1, silences: 1, unsent: 1 });
  });

  it.each(['allow', 'local'] as const)("requests are decided by '%s', and send nothing", async (policy) => {
    const limiter = await limiterOfSilent(policy);
    expect((await limiter.acquire(request)).decidedBy).toBe(policy);
    expect(store.calls).toEqual([]);
  });

  it('settlements are counted as unposted, and send nothing', async () => {
    const lease = await bed.limiter().acquire(request);
    await limiterOfSilent();
    await lease.settle({ tpm: 700 });
    expect(lease.unposted).toBe(1);
    expect(store.calls).toEqual([]);
  });

  it('one request of many asks again, and from its answer on all are decided by the store', async () => {
    const limiter = await limiterOfSilent('allow');
    store.usual = 'answered';
    nowMs += 1_000;
    const other = { ...request, entity: 'key-456' };
    const first = await Promise.all([limiter.acquire(request), limiter.acquire(other)]);
    expect(first.map(({ decidedBy }) => decidedBy)).toEqual(['store', 'allow']);
    const next = await Promise.all([limiter.acquire(request), limiter.acquire(other)]);
    expect(next.map(({ decidedBy }) => decidedBy)).toEqual(['store', 'store']);
    expect(await limiter.available(on)).toEqual({ rpm: 98, tpm: 9_000 });
  });
});

describe('when DynamoDB is stopped', () => {
  const DEADLINE_MS = 400;
  let relay: Relay;

  beforeEach(async () => {
    relay = new Relay(testEndpoint());
    await relay.start();
  });

  afterEach(() => relay.stop());

  it('requests soon cost no time, and are decided by it again once it is back', { timeout: 30_000 }, async () => {
    const client = testClient({ endpoint: relay.url });
    const limiter = new RateLimiter({ tableName: await createTestTable(), client, deadlineMs: DEADLINE_MS });
    // A new connection and a cold emulator may take longer than the deadline.
    await vi.waitFor(() => limiter.acquire(request), { timeout: 10_000 });
    await relay.stop();
    const refused = () => expect(limiter.acquire(request)).rejects.toBeInstanceOf(LimiterUnavailable);
    while (limiter.stats().silences === 0) await refused();
    const { unsent } = limiter.stats();

    const startedMs = performance.now();
    for (let count = 0; count < 100; count += 1) await refused();
    const tookMs = performance.now() - startedMs;

    // At most one or two of them asked; on their own, all would have taken 40 seconds.
    expect(limiter.stats().unsent - unsent).toBeGreaterThanOrEqual(95);
    expect(tookMs).toBeLessThan(10 * DEADLINE_MS);
    await relay.start();
    await vi.waitFor(() => limiter.acquire(request), { timeout: 10_000, interval: 100 });
    expect(limiter.stats().silences).toBe(1);
    client.destroy();
  });
});
