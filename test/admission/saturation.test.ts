import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { RateLimiter } from '../../lib/limiter.js';
import type { AcquireRequest } from '../../lib/request.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { memory, testBed } from '../support/stores.js';
import { VirtualClock } from '../support/virtual-time.js';
import { distant } from './intercepted-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const MINUTE_MS = 60_000;

/** One caller until the minute is over: it comes back when its denial said, or stands in the queue. How often it was granted. */
async function caller(limiter: RateLimiter, clock: VirtualClock, request: AcquireRequest): Promise<number> {
  for (let granted = 0; ; ) {
    const outcome = await limiter.tryAcquire(request);
    if (clock.elapsedMs >= MINUTE_MS) return granted;
    if (outcome.granted) granted += 1;
    else await clock.sleep(outcome.denial.retryAfterMs);
  }
}

describe('64 callers on 100 a second', () => {
  it.each([
    { latencyMs: 20, processes: 1, maxWaitMs: 0 },
    { latencyMs: 50, processes: 1, maxWaitMs: 0 },
    { latencyMs: 1, processes: 1, maxWaitMs: 5_000 },
    { latencyMs: 5, processes: 1, maxWaitMs: 5_000 },
    { latencyMs: 20, processes: 1, maxWaitMs: 5_000 },
    { latencyMs: 50, processes: 1, maxWaitMs: 5_000 },
    { latencyMs: 20, processes: 8, maxWaitMs: 0 },
    { latencyMs: 5, processes: 8, maxWaitMs: 5_000 },
    { latencyMs: 20, processes: 8, maxWaitMs: 5_000 },
  ])(
    'get at least 99 % of the rate at $latencyMs ms a call from $processes processes, waiting up to $maxWaitMs ms',
    async ({ latencyMs, processes, maxWaitMs }) => {
      const clock = new VirtualClock();
      const bed = testBed(new MemoryStore(), clock);
      const limits = [Limit.perSecond('rps', 100)];
      await bed.limiter().acquire({ ...on, limits, consume: { rps: 100 } });
      const store = distant(bed.store, clock, latencyMs);
      const limiters = Array.from({ length: processes }, () => bed.limiter({ store }));
      const request = { ...on, limits, consume: { rps: 1 }, maxWaitMs };

      const granted = await clock.drive(
        Promise.all(Array.from({ length: 64 }, (_, index) => caller(limiters[index % processes]!, clock, request))),
      );

      const total = granted.reduce((sum, one) => sum + one, 0);
      expect(total).toBeGreaterThanOrEqual(5_940);
      expect(total).toBeLessThanOrEqual(6_000);
      if (maxWaitMs > 0) expect(Math.max(...granted) - Math.min(...granted)).toBeLessThanOrEqual(20);
    },
  );
});

describe('64 callers of one process on 100 a second', () => {
  // Round trips that are no whole number of tokens long.
  it.each([9, 12, 14, 19, 29])(
    'get at least 99 % of the rate at %i ms a call, without waiting in the queue',
    async (latencyMs) => {
      const clock = new VirtualClock();
      const bed = testBed(new MemoryStore(), clock);
      const limits = [Limit.perSecond('rps', 100)];
      await bed.limiter().acquire({ ...on, limits, consume: { rps: 100 } });
      const limiter = bed.limiter({ store: distant(bed.store, clock, latencyMs) });
      const request = { ...on, limits, consume: { rps: 1 } };

      const granted = await clock.drive(Promise.all(Array.from({ length: 64 }, () => caller(limiter, clock, request))));

      expect(granted.reduce((sum, one) => sum + one, 0)).toBeGreaterThanOrEqual(5_940);
    },
  );
});

describe('a limit of a day beside one of a second', () => {
  it('accrues its full day while the other is hit every second', async () => {
    const { limiter: newLimiter, clock } = await memory.fresh();
    const limiter = newLimiter();
    const limits = [Limit.perSecond('rps', 1), Limit.perDay('tpd', 1_000)];
    await limiter.acquire({ ...on, limits, consume: { rps: 1, tpd: 1_000 } });

    let granted = 0;
    for (let second = 1; second <= 86_400; second += 1) {
      clock.advance(1_000);
      if ((await limiter.tryAcquire({ ...on, limits, consume: { rps: 1 } })).granted) granted += 1;
      if (second === 43_200) expect(await limiter.available({ ...on, limits })).toEqual({ rps: 0, tpd: 500 });
    }

    expect(granted).toBe(86_400);
    expect(await limiter.available({ ...on, limits })).toEqual({ rps: 0, tpd: 1_000 });
  });

  it('gives exactly its day to a caller that takes every token of it as it comes', async () => {
    const { limiter: newLimiter, clock } = await memory.fresh();
    const limiter = newLimiter();
    const limits = [Limit.perSecond('rps', 1), Limit.perDay('tpd', 800)];
    await limiter.acquire({ ...on, limits, consume: { rps: 1, tpd: 800 } });

    let granted = 0;
    for (let second = 12; second <= 86_400; second += 12) {
      clock.advance(12_000);
      if ((await limiter.tryAcquire({ ...on, limits, consume: { rps: 1, tpd: 1 } })).granted) granted += 1;
    }

    expect(granted).toBe(800);
  });
});
