import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { RateLimiter } from '../../lib/limiter.js';
import type { AcquireRequest } from '../../lib/request.js';
import type { WriteResult } from '../../lib/store/store.js';
import { short } from '../support/long.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';
import { seeded, VirtualClock } from '../support/virtual-time.js';
import { distant, intercepted } from './intercepted-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const times = <T>(count: number, one: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => one(index));

interface Start {
  readonly caller: number;
  readonly startedMs: number;
  readonly promisedMs: number;
}

/** A bed in virtual time, which stands still while the store works on a call: on a real database, too, a queue of minutes takes moments. */
async function virtualBed(under: StoreUnderTest) {
  const clock = new VirtualClock();
  const bed = await under.fresh(clock);
  let calls = 0;
  const store = intercepted(bed.store, async (proceed) => {
    calls += 1;
    try {
      return await proceed();
    } finally {
      calls -= 1;
    }
  });
  return { clock, bed, store, drive: <T>(work: Promise<T>) => clock.drive(work, () => calls > 0) };
}

/** Waits, and notes in `starts` when the lease came, and when it said that it starts. */
async function waiter(limiter: RateLimiter, clock: VirtualClock, request: AcquireRequest, caller: number, starts: Start[]) {
  const { startsAt } = await limiter.acquire(request);
  starts.push({ caller, startedMs: clock.elapsedMs, promisedMs: (startsAt?.getTime() ?? 0) - 1_800_000_000_000 });
}

/** The most that started in any stretch of `ms`, both ends included. */
function mostWithin(ms: number, startedMs: readonly number[]): number {
  return Math.max(...startedMs.map((from) => startedMs.filter((at) => at >= from && at <= from + ms).length));
}

// Virtual round trips take no real time: on a busy machine a write must not count as a slow one.
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

describe.each(eachStore)(
  '200 callers in the queue of an empty bucket, 100 a second, in four processes, on the $name store',
  (under) => {
    /** They arrive within half a second; every process is 1 to 20 ms away, anew for each call. */
    async function queue(seed: number) {
      const { clock, bed, store: near, drive } = await virtualBed(under);
      const random = seeded(seed);
      const limits = [Limit.perSecond('rps', 100)];
      await bed.limiter().acquire({ ...on, limits, consume: { rps: 100 } });
      /** The process of each place, and how far its write let the queue reach: the further, the later. */
      const reserved: { readonly process: number; readonly untilFs: bigint }[] = [];
      const limiters = times(4, (process) => {
        const noting = intercepted(near, async (proceed, { write }) => {
          const answer = await proceed();
          const { applied, state } = answer as WriteResult;
          const untilFs = state.positions.get('rps')?.fullAtFs ?? 0n;
          if (applied) reserved.push(...times(write?.requests ?? 0, () => ({ process, untilFs })));
          return answer;
        });
        const store = intercepted(noting, async (proceed) => {
          await clock.sleep(1 + 19 * random());
          return proceed();
        });
        return bed.limiter({ store });
      });
      const starts: Start[] = [];
      const callers = times(200, async (caller) => {
        await clock.sleep(500 * random());
        await waiter(limiters[caller % 4]!, clock, { ...on, limits, consume: { rps: 1 }, maxWaitMs: 60_000 }, caller, starts);
      });
      await drive(Promise.all(callers));
      reserved.sort((a, b) => Number(a.untilFs - b.untilFs));
      return { starts, reserved: reserved.map(({ process }) => process) };
    }

    it.each([1, 2, 3])('start in the order in which their places were written (seed %i)', async (seed) => {
      const { starts, reserved } = await queue(seed);

      expect(starts.map(({ caller }) => caller % 4)).toEqual(reserved);
      expect(new Set(starts.map(({ caller }) => caller)).size).toBe(200);
    });

    it.each([1, 2, 3])('start when they were promised, one every 10 ms, none of them early (seed %i)', async (seed) => {
      const { starts } = await queue(seed);

      expect(starts.map(({ promisedMs }) => promisedMs)).toEqual(times(200, (index) => 10 * (index + 1)));
      expect(starts.filter(({ startedMs, promisedMs }) => startedMs < promisedMs)).toEqual([]);
      // The first places are ahead by less than a round trip: their leases come when the answer does.
      expect(starts.filter(({ startedMs, promisedMs }) => promisedMs >= 100 && startedMs > promisedMs)).toEqual([]);
    });

    it('start at the refill rate within 1 %, to the last of them', async () => {
      const { starts } = await queue(4);

      const lastMs = Math.max(...starts.map(({ startedMs }) => startedMs));
      expect(starts).toHaveLength(200);
      expect(lastMs).toBeGreaterThanOrEqual(1_980);
      expect(lastMs).toBeLessThanOrEqual(2_020);
    });
  },
);

describe.each(eachStore)('a queue on the $name store that half of the waiters leave', (under) => {
  it.each([1, 2, 3, 4, 5])(
    'never starts more than the capacity and the rate allow, and starts everybody who stays (seed %i)',
    async (seed) => {
      const { clock, bed, store: near, drive } = await virtualBed(under);
      const random = seeded(seed);
      const limits = [Limit.custom({ name: 'rps', capacity: 1, refillAmount: 1, refillPeriodMs: 1_000 })];
      await bed.limiter().acquire({ ...on, limits, consume: { rps: 1 } });
      const store = distant(near, clock, 5);
      const limiters = times(2, () => bed.limiter({ store }));
      const request = { ...on, limits, consume: { rps: 1 }, maxWaitMs: 200_000 };
      const order = times(100, (caller) => ({ caller, at: random() })).sort((a, b) => a.at - b.at);
      const leaving = new Set(order.slice(0, 50).map(({ caller }) => caller));
      const starts: Start[] = [];

      const outcomes = await drive(
        Promise.allSettled(
          times(100, async (caller) => {
            const controller = new AbortController();
            const waiting = waiter(limiters[caller % 2]!, clock, { ...request, signal: controller.signal }, caller, starts);
            if (leaving.has(caller)) {
              void clock.sleep(50_000 * random()).then(() => controller.abort(new Error(`caller ${caller} left`)));
            }
            await waiting;
          }),
        ),
      );

      const startedMs = starts.map((start) => start.startedMs);
      for (const ms of [0, 1, 999, 1_000, 5_000, 20_000, 60_000]) {
        expect(mostWithin(ms, startedMs)).toBeLessThanOrEqual(1 + Math.floor(ms / 1_000));
      }
      const started = new Set(starts.map(({ caller }) => caller));
      expect(times(100, (caller) => caller).filter((caller) => !leaving.has(caller) && !started.has(caller))).toEqual([]);
      const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.message] : []));
      expect(failures.every((message) => /^caller \d+ left$/.test(message))).toBe(true);
      expect(failures.length + starts.length).toBe(100);
    },
  );
});

describe.each(eachStore)('a queue on two limits on the $name store, one of them in debt for a minute', (under) => {
  it('starts 50 waiters after the minute without bunching beyond either limit', async () => {
    const { clock, bed, store: near, drive } = await virtualBed(under);
    const limits = [
      Limit.custom({ name: 'rps', capacity: 5, refillAmount: 5, refillPeriodMs: 1_000 }),
      Limit.custom({ name: 'tps', capacity: 100, refillAmount: 100, refillPeriodMs: 1_000 }),
    ];
    const store = distant(near, clock, 5);
    const limiters = times(4, () => bed.limiter({ store }));
    const debtor = await bed.limiter().acquire({ ...on, limits, consume: { tps: 100 } });
    await debtor.adjust({ tps: 5_990 });
    const starts: Start[] = [];

    await drive(
      Promise.all(
        times(50, (caller) => {
          const request = { ...on, limits, consume: { rps: 1, tps: 10 }, maxWaitMs: 120_000 };
          return waiter(limiters[caller % 4]!, clock, request, caller, starts);
        }),
      ),
    );

    const startedMs = starts.map((start) => start.startedMs);
    expect(starts).toHaveLength(50);
    expect(Math.min(...startedMs)).toBe(60_000);
    for (const ms of [0, 1, 199, 200, 999, 1_000, 2_000, 5_000, 10_000]) {
      expect(mostWithin(ms, startedMs)).toBeLessThanOrEqual(5 + Math.floor((5 * ms) / 1_000));
      expect(10 * mostWithin(ms, startedMs)).toBeLessThanOrEqual(100 + Math.floor((100 * ms) / 1_000));
    }
    expect(Math.max(...startedMs)).toBeLessThanOrEqual(69_000);
  });
});

describe.each(eachStore)('waiters of many processes at once, on the $name store', (under) => {
  it.each(short([16, 30], [16, 30, 50]))('are each given a place: %i of them', async (processes) => {
    const { clock, bed, store: near, drive } = await virtualBed(under);
    const limits = [Limit.perSecond('rps', 100)];
    await bed.limiter().acquire({ ...on, limits, consume: { rps: 100 } });
    const store = distant(near, clock, 5);

    const outcomes = await drive(
      Promise.all(
        times(processes, async () =>
          bed.limiter({ store }).tryAcquire({ ...on, limits, consume: { rps: 30 }, maxWaitMs: 60_000 }),
        ),
      ),
    );

    expect(outcomes.filter(({ granted }) => granted)).toHaveLength(processes);
  });
});
