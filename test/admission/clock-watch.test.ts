import { describe, expect, it } from 'vitest';
import type { Clock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { StoreFailure } from '../../lib/store/store.js';
import { eachStore, memory, START_MS, type StoreUnderTest } from '../support/stores.js';
import { type Call, intercepted } from './intercepted-store.js';

const on = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perSecond('rps', 20)] };
const one = { ...on, consume: { rps: 1 } };
const NS_PER_MS = 1_000_000n;

/** A clock that is wrong until it learns so. */
class WrongClock implements Clock {
  #byMs = 0;

  constructor(
    readonly right: Clock,
    readonly aheadMs: number,
  ) {}

  nowNs(): bigint {
    return this.right.nowNs() + BigInt(this.aheadMs + this.#byMs) * NS_PER_MS;
  }

  correctedByNs(): bigint {
    return BigInt(this.#byMs) * NS_PER_MS;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.right.sleep(ms, signal);
  }

  learn(): void {
    this.#byMs = -this.aheadMs;
  }
}

type Before = (call: Call, number: number) => Promise<void> | void;

/** A right limiter, and one that is wrong until its first answer; `before`: what happens before a call of the wrong one, by its number from 1. */
async function wrongOn(fresh: StoreUnderTest['fresh'], aheadMs: number, before: Before = () => {}) {
  const bed = await fresh();
  const clock = new WrongClock(bed.clock, aheadMs);
  let calls = 0;
  const store = intercepted(bed.store, async (proceed, call) => {
    calls += 1;
    await before(call, calls);
    const answer = await proceed();
    clock.learn();
    return answer;
  });
  return { bed, clock, right: bed.limiter(), wrong: bed.limiter({ store, clock }) };
}

describe.each(eachStore)(
  'a process whose clock the first answer shows to be wrong, on the $name store',
  ({ fresh }: StoreUnderTest) => {
    const wrongBy = (aheadMs: number, before?: Before) => wrongOn(fresh, aheadMs, before);

    it.each([60_000, -60_000, 86_400_000, -86_400_000])('leaves the bucket as a right one had, %s ms ahead', async (aheadMs) => {
      const { right, wrong } = await wrongBy(aheadMs);

      const lease = await wrong.acquire(one);

      expect(await right.available(on)).toEqual({ rps: 19 });
      expect(wrong.stats()).toMatchObject({ writes: 2, clockOffsetMs: aheadMs === 0 ? 0 : -aheadMs });
      expect(lease).toMatchObject({ startsAt: new Date(START_MS), waitedMs: 0, limits: [{ available: 19 }] });
    });

    it('writes once again when it is right', async () => {
      const { wrong } = await wrongBy(60_000);
      await wrong.acquire(one);
      await wrong.acquire(one);
      expect(wrong.stats()).toMatchObject({ writes: 3, granted: 2 });
    });

    it('forgives nothing that others have charged, before and meanwhile', async () => {
      const late: { settle: () => Promise<void> } = { settle: async () => {} };
      const { right, wrong } = await wrongBy(60_000, (_, number) => (number === 2 ? late.settle() : undefined));
      const lease = await right.acquire({ ...on, consume: { rps: 10 } });
      late.settle = () => lease.adjust({ rps: 3 });

      await wrong.acquire(one);

      expect(await right.available(on)).toEqual({ rps: 20 - 10 - 3 - 1 });
    });

    it('decides anew what a clock behind would have denied', async () => {
      const { right, wrong } = await wrongBy(-60_000);
      await right.acquire({ ...on, consume: { rps: 19 } });

      expect((await wrong.tryAcquire(one)).granted).toBe(true);

      expect(await right.available(on)).toEqual({ rps: 0 });
      expect(wrong.stats()).toMatchObject({ writes: 2, denied: 0 });
    });

    it('takes the very place in the queue that a right one had taken, by a clock behind', async () => {
      const { right, wrong } = await wrongBy(-60_000);
      await right.acquire({ ...on, consume: { rps: 20 } });

      expect(await wrong.reserve({ ...one, maxWaitMs: 50 })).toMatchObject({
        granted: true,
        lease: { startsAt: new Date(START_MS + 50), queuedAheadMs: 50 },
      });
    });

    it('is granted all the same when nothing can be taken back', async () => {
      const { right, wrong } = await wrongBy(60_000, (_, number) => {
        if (number === 2) throw new StoreFailure('no answer', { ambiguous: true, retryable: true, cause: undefined });
      });

      expect((await wrong.tryAcquire(one)).granted).toBe(true);

      expect(await right.available(on)).toEqual({ rps: 20 - 1_200 - 1 });
    });

    it('remembers a denial no longer than any other once its clock is set back', async () => {
      const bed = await fresh();
      const clock = new WrongClock(bed.clock, 60_000);
      const [right, wrong] = [bed.limiter(), bed.limiter({ clock })];
      const perHour = { ...on, limits: [Limit.perHour('rph', 100)] };
      const lease = await right.acquire({ ...perHour, consume: { rph: 100 } });
      expect((await wrong.tryAcquire({ ...perHour, consume: { rph: 5 } })).granted).toBe(false);
      // By an answer that concerned another bucket.
      clock.learn();
      await lease.release();

      bed.clock.advance(249);
      expect((await wrong.tryAcquire({ ...perHour, consume: { rph: 5 } })).granted).toBe(false);
      bed.clock.advance(1);
      expect((await wrong.tryAcquire({ ...perHour, consume: { rph: 5 } })).granted).toBe(true);
    });

    it('hands tokens out of a lot no longer than it would by any other clock', async () => {
      const bed = await fresh();
      const clock = new WrongClock(bed.clock, 60_000);
      const limiter = bed.limiter({ clock, prefetch: { share: 0.5 } });
      // The second one in a moment takes a lot of ten tokens, good for the half second in which they come back.
      for (let request = 0; request < 3; request += 1) await limiter.acquire(one);
      expect(limiter.stats().writes).toBe(2);
      clock.learn();

      bed.clock.advance(500);
      await limiter.acquire(one);
      expect(limiter.stats().writes).toBe(2);
      bed.clock.advance(1);
      await limiter.tryAcquire(one);
      expect(limiter.stats().writes).toBeGreaterThan(2);
    });
  },
);

// In memory: a write slower than 50 ms lets the next one out beside it, by the wrong clock.
it('what did not fit beside a write whose answer corrects the clock is decided anew', async () => {
  const { wrong } = await wrongOn(memory.fresh, 60_000);

  const outcomes = await Promise.all(Array.from({ length: 25 }, () => wrong.tryAcquire(one)));

  expect(outcomes.filter(({ granted }) => granted)).toHaveLength(20);
  expect(outcomes.flatMap((outcome) => (outcome.granted ? [] : [outcome.denial.retryAfterMs]))).toEqual([50, 50, 50, 50, 50]);
});
