import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const perHour = { ...on, limits: [Limit.perHour('rph', 100)] };
const perSecond = { ...on, limits: [Limit.perSecond('rps', 100)] };

describe.each(eachStore)('a denial on the $name store', ({ fresh }: StoreUnderTest) => {
  /** A bucket of 100 an hour with `left` tokens, in the view of a limiter that was just denied `left + 1`. */
  async function justDenied(left: number) {
    const bed = await fresh();
    const limiter = bed.limiter();
    const lease = await limiter.acquire({ ...perHour, consume: { rph: 100 - left } });
    expect((await limiter.tryAcquire({ ...perHour, consume: { rph: left + 1 } })).granted).toBe(false);
    const { writes } = limiter.stats();
    return { bed, limiter, lease, writes };
  }

  it('holds a storm of 4,000 retries in two seconds to five writes a second: the others are answered in the process', async () => {
    const { bed, limiter, writes } = await justDenied(0);

    for (let step = 0; step < 400; step += 1) {
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, () => limiter.tryAcquire({ ...perHour, consume: { rph: 1 } })),
      );
      expect(outcomes.some(({ granted }) => granted)).toBe(false);
      bed.clock.advance(5);
    }

    expect(limiter.stats().writes - writes).toBeLessThanOrEqual(10);
    expect(limiter.stats().denied).toBe(4_001);
  });

  it('holds a tight loop of two seconds to five writes a second, answers thousands, and a smaller request that fits is granted', async () => {
    const limiter = (await fresh()).limiter({ clock: new SystemClock() });
    const daily = { ...on, limits: [Limit.perDay('rpd', 100)] };
    await limiter.acquire({ ...daily, consume: { rpd: 95 } });
    const { writes } = limiter.stats();
    const untilMs = performance.now() + 2_000;

    for (let tries = 0; performance.now() < untilMs; tries += 1) {
      expect((await limiter.tryAcquire({ ...daily, consume: { rpd: 10 } })).granted).toBe(false);
      // A loop that never ends its turn would keep the answers of the database from coming.
      if (tries % 100 === 0) await turn();
    }

    expect(limiter.stats().writes - writes).toBeLessThanOrEqual(10);
    expect(limiter.stats().denied).toBeGreaterThan(2_000);
    expect((await limiter.tryAcquire({ ...daily, consume: { rpd: 5 } })).granted).toBe(true);
  });

  it('is repeated with the wait that is left, without a write', async () => {
    const { bed, limiter, writes } = await justDenied(0);
    bed.clock.advance(249);

    const outcome = await limiter.tryAcquire({ ...perHour, consume: { rph: 1 } });

    expect(outcome).toMatchObject({ granted: false, denial: { retryAfterMs: 35_751 } });
    expect(limiter.stats().writes).toBe(writes);
  });

  it.each([
    { cost: 21, granted: false, written: 0 },
    { cost: 22, granted: false, written: 0 },
    { cost: 100, granted: false, written: 0 },
    { cost: 20, granted: true, written: 1 },
    { cost: 1, granted: true, written: 1 },
  ])('of 21 tokens with 20 left answers a request for $cost with $written writes', async ({ cost, granted, written }) => {
    const { limiter, writes } = await justDenied(20);

    expect((await limiter.tryAcquire({ ...perHour, consume: { rph: cost } })).granted).toBe(granted);
    expect(limiter.stats().writes).toBe(writes + written);
  });

  it.each([
    { when: 'a release', refund: 'release' as const },
    { when: 'a settlement below the charge', refund: 'settle' as const },
  ])('is forgotten at $when in the same process', async ({ refund }) => {
    const { limiter, lease } = await justDenied(0);

    await (refund === 'release' ? lease.release() : lease.settle({ rph: 99 }));

    expect((await limiter.tryAcquire({ ...perHour, consume: { rph: 1 } })).granted).toBe(true);
  });

  it('hides what another process gives back for 250 ms, and no longer', async () => {
    const { bed, limiter, lease, writes } = await justDenied(0);
    const { id, grants } = lease;
    await bed
      .limiter()
      .reopen({ id, ...on, grants })
      .release();

    bed.clock.advance(249);
    expect((await limiter.tryAcquire({ ...perHour, consume: { rph: 1 } })).granted).toBe(false);
    expect(limiter.stats().writes).toBe(writes);
    bed.clock.advance(1);
    expect((await limiter.tryAcquire({ ...perHour, consume: { rph: 1 } })).granted).toBe(true);
  });

  it('states the wait of a debt that its own process has posted since', async () => {
    const { limiter, lease, writes } = await justDenied(0);
    await lease.settle({ rph: 150 });

    const outcome = await limiter.tryAcquire({ ...perHour, consume: { rph: 1 } });

    // 51 tokens at 100 an hour.
    expect(outcome).toMatchObject({ granted: false, denial: { retryAfterMs: 1_836_000, violations: [{ available: -50 }] } });
    expect(limiter.stats().writes).toBe(writes + 1);
  });

  it('ends at the wait it stated, where that is shorter than 250 ms', async () => {
    const bed = await fresh();
    const limiter = bed.limiter();
    await limiter.acquire({ ...perSecond, consume: { rps: 100 } });
    const request = { ...perSecond, consume: { rps: 3 } };
    expect(await limiter.tryAcquire(request)).toMatchObject({ granted: false, denial: { retryAfterMs: 30 } });
    const { writes } = limiter.stats();

    bed.clock.advance(29);
    expect(await limiter.tryAcquire(request)).toMatchObject({ granted: false, denial: { retryAfterMs: 1 } });
    expect(limiter.stats().writes).toBe(writes);
    bed.clock.advance(1);
    expect((await limiter.tryAcquire(request)).granted).toBe(true);
  });

  it('is of its own bucket: the same request of another entity is granted', async () => {
    const { limiter } = await justDenied(0);

    expect((await limiter.tryAcquire({ ...perHour, entity: 'key-124', consume: { rph: 100 } })).granted).toBe(true);
  });

  it('by a parent is remembered: its child writes nothing to be denied again', async () => {
    const bed = await fresh();
    const admin = bed.admin();
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'org' });
    await admin.setLimits({ entity: 'org' }, [Limit.perHour('rph', 1)]);
    await admin.setLimits({ entity: 'key-123' }, [Limit.perHour('rph', 100)]);
    const limiter = bed.limiter();
    const request = { ...on, consume: { rph: 1 } };
    await limiter.acquire(request);
    expect((await limiter.tryAcquire(request)).granted).toBe(false);
    const { writes } = limiter.stats();

    for (let retry = 0; retry < 1_000; retry += 1) expect((await limiter.tryAcquire(request)).granted).toBe(false);

    expect(limiter.stats().writes).toBe(writes);
  });
});
