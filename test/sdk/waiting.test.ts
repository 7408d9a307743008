import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { eachStore, START_MS, type StoreUnderTest } from '../support/stores.js';

const limits = [Limit.perMinute('rpm', 100)];
const on = { entity: 'key-123', resource: 'gpt-4', limits };
const one = { ...on, consume: { rpm: 1 } };
const patient = { ...one, maxWaitMs: 60_000 };

/** A fake clock that tells who lies down: a test advances it once its waiters sleep. */
class WatchedClock extends FakeClock {
  asleep = 0;

  constructor() {
    super(START_MS);
  }

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.asleep += 1;
    try {
      await super.sleep(ms, signal);
    } finally {
      this.asleep -= 1;
    }
  }

  /** Resolves when so many sleep. */
  async sleeping(sleepers: number): Promise<void> {
    await vi.waitFor(() => expect(this.asleep).toBe(sleepers), { interval: 1, timeout: 10_000 });
  }

  /** Advances in steps of `stepMs`, and lets those that it woke come to their end before the next. */
  async pass(ms: number, stepMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      this.advance(stepMs);
      await turn();
    }
  }
}

describe.each(eachStore)('waiting on the $name store', ({ fresh }: StoreUnderTest) => {
  /** A bucket of 100 a minute that is empty: a token comes back every 600 ms. */
  async function drainedBucket() {
    const clock = new WatchedClock();
    const bed = await fresh(clock);
    const limiter = bed.limiter();
    await limiter.acquire({ ...on, consume: { rpm: 100 } });
    return { bed, clock, limiter };
  }

  /** A waiter of one token, asleep in the queue behind those before it. What it comes to stands in `granted`, by its name. */
  async function enqueue(clock: WatchedClock, limiter: RateLimiter, name: string, granted: string[], signal?: AbortSignal) {
    const before = clock.asleep;
    const waiter = limiter.acquire({ ...patient, signal }).then(({ waitedMs }) => granted.push(`${name} after ${waitedMs}`));
    await clock.sleeping(before + 1);
    return waiter;
  }

  it('ends with a lease at the stated time, not a millisecond earlier', async () => {
    const { limiter, clock } = await drainedBucket();
    let ended = false;

    const waiter = limiter.acquire({ ...one, maxWaitMs: 600 }).finally(() => {
      ended = true;
    });
    await clock.sleeping(1);
    clock.advance(599);
    await turn();
    expect([ended, clock.asleep]).toEqual([false, 1]);
    clock.advance(1);

    expect(await waiter).toMatchObject({
      waitedMs: 600,
      queuedAheadMs: 600,
      startsAt: new Date(START_MS + 600),
      charged: { rpm: 1 },
    });
    expect(await limiter.available(on)).toEqual({ rpm: 0 });
  });

  it('takes one write, and none when its time has come', async () => {
    const { limiter, clock } = await drainedBucket();
    const { writes } = limiter.stats();

    const waiter = limiter.acquire(patient);
    await clock.sleeping(1);
    clock.advance(600);
    await waiter;

    expect(limiter.stats().writes).toBe(writes + 1);
  });

  it('does not begin when the queue is longer than allowed: the denial states its length, and nothing is consumed', async () => {
    const { limiter, clock } = await drainedBucket();

    const outcome = await limiter.tryAcquire({ ...one, maxWaitMs: 599 });

    expect(outcome).toMatchObject({ granted: false, denial: { retryAfterMs: 600 } });
    expect(clock.asleep).toBe(0);
    clock.advance(600);
    expect(await limiter.available(on)).toEqual({ rpm: 1 });
  });

  it('does not happen for a request that fits', async () => {
    const limiter = (await fresh(new WatchedClock())).limiter();

    const lease = await limiter.acquire({ ...one, maxWaitMs: 86_400_000 });

    expect(lease).toMatchObject({ waitedMs: 0, queuedAheadMs: 0 });
  });

  it('is first come, first served over all processes, at the rate of the limit', async () => {
    const { bed, limiter, clock } = await drainedBucket();
    const other = bed.limiter();
    const granted: string[] = [];

    const waiters = [];
    for (const [index, of] of [limiter, other, other, limiter].entries()) {
      waiters.push(enqueue(clock, of, `waiter ${index + 1}`, granted));
      await clock.sleeping(index + 1);
    }
    await clock.pass(2_400, 200);
    await Promise.all(waiters);

    expect(granted).toEqual(['waiter 1 after 600', 'waiter 2 after 1200', 'waiter 3 after 1800', 'waiter 4 after 2400']);
    expect(await limiter.available(on)).toEqual({ rpm: 0 });
  });

  it('is behind the queue for whoever comes later and does not wait', async () => {
    const { bed, limiter, clock } = await drainedBucket();
    const waiter = limiter.acquire(patient);
    await clock.sleeping(1);

    expect(await bed.limiter().tryAcquire(one)).toMatchObject({ granted: false, denial: { retryAfterMs: 1_200 } });

    clock.advance(600);
    await waiter;
  });

  it.each([{ reason: new Error('the client hung up') }, { reason: 'a reason of any type' }])(
    'rejects with the reason when its signal aborts, and gives its place back: $reason',
    async ({ reason }) => {
      const { limiter, clock } = await drainedBucket();
      const controller = new AbortController();
      const waiter = limiter.acquire({ ...patient, signal: controller.signal });
      const rejected = expect(waiter).rejects.toBe(reason);
      await clock.sleeping(1);

      controller.abort(reason);

      await rejected;
      expect(clock.asleep).toBe(0);
      expect(await limiter.tryAcquire(one)).toMatchObject({ granted: false, denial: { retryAfterMs: 600 } });
      clock.advance(600);
      expect((await limiter.tryAcquire(one)).granted).toBe(true);
    },
  );

  it('moves the waiters of a process forward when one before them gives up', async () => {
    const { limiter, clock } = await drainedBucket();
    const controller = new AbortController();
    const granted: string[] = [];
    const first = enqueue(clock, limiter, 'first', granted);
    await clock.sleeping(1);
    const second = enqueue(clock, limiter, 'second', granted, controller.signal);
    await clock.sleeping(2);
    const third = enqueue(clock, limiter, 'third', granted);
    await clock.sleeping(3);

    controller.abort(new Error('the client hung up'));
    await expect(second).rejects.toThrow('the client hung up');
    await clock.sleeping(2);
    await clock.pass(1_200, 600);
    await Promise.all([first, third]);

    expect(granted).toEqual(['first after 600', 'third after 1200']);
    expect(await limiter.available(on)).toEqual({ rpm: 0 });
    clock.advance(600);
    expect(await limiter.available(on)).toEqual({ rpm: 1 });
  });

  it('keeps the promise to another process when one before it gives up: the place lapses', async () => {
    const { bed, limiter, clock } = await drainedBucket();
    const controller = new AbortController();
    const granted: string[] = [];
    const first = enqueue(clock, limiter, 'first', granted, controller.signal);
    await clock.sleeping(1);
    const second = enqueue(clock, bed.limiter(), 'second', granted);
    await clock.sleeping(2);

    controller.abort(new Error('the client hung up'));
    await expect(first).rejects.toThrow('the client hung up');
    await clock.pass(1_200, 600);
    await second;

    expect(granted).toEqual(['second after 1200']);
    expect(await limiter.available(on)).toEqual({ rpm: 0 });
  });

  it('starts on every level together, at the later start, and draws on each once', async () => {
    const clock = new WatchedClock();
    const bed = await fresh(clock);
    const admin = bed.admin();
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'org' });
    await admin.setLimits({ entity: 'key-123' }, [Limit.perMinute('rpm', 60)]);
    await admin.setLimits({ entity: 'org' }, [Limit.perMinute('rpm', 30)]);
    const limiter = bed.limiter();
    const request = { entity: 'key-123', resource: 'gpt-4', consume: { rpm: 30 } };
    await limiter.acquire(request);

    const waiter = limiter.acquire({ ...request, consume: { rpm: 5 }, maxWaitMs: 10_000 });
    await clock.sleeping(1);
    clock.advance(10_000);

    expect((await waiter).waitedMs).toBe(10_000);
    const { limits: standing } = await limiter.status({ entity: 'key-123', resource: 'gpt-4' });
    expect(standing).toMatchObject([
      { entity: 'key-123', available: 35 },
      { entity: 'org', available: 0 },
    ]);
  });

  it('does not even begin to decide when its signal is aborted already', async () => {
    const { limiter } = await drainedBucket();
    const { writes } = limiter.stats();
    const signal = AbortSignal.abort(new Error('too late'));

    await expect(limiter.acquire({ ...patient, signal })).rejects.toThrow('too late');

    expect(limiter.stats().writes).toBe(writes);
  });

  it('gives back what was granted while its signal aborted', async () => {
    const limiter = (await fresh()).limiter();
    const controller = new AbortController();

    const acquired = limiter.acquire({ ...one, signal: controller.signal });
    controller.abort(new Error('the client hung up'));

    await expect(acquired).rejects.toThrow('the client hung up');
    expect(await limiter.available(on)).toEqual({ rpm: 100 });
  });
});
