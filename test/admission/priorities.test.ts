import { describe, expect, it } from 'vitest';
import type { PriorityShares } from '../../lib/config/priorities.js';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, memory, type StoreUnderTest } from '../support/stores.js';
import { VirtualClock } from '../support/virtual-time.js';

const on = { entity: 'key-123', resource: 'gpt-4' };

describe.each(eachStore)('priorities on the $name store', ({ fresh }: StoreUnderTest) => {
  /** 100 a minute for everybody, shared as given: a token comes back every 600 ms. */
  async function shared(priorities: Partial<PriorityShares> | true | undefined, clock?: VirtualClock) {
    const bed = await fresh(clock);
    await bed.admin().setLimits({ system: true }, [Limit.perMinute('rpm', 100)], { priorities });
    return { bed, limiter: bed.limiter() };
  }

  it.each([
    { stored: 'by default', priorities: true as const, shares: { low: 50, normal: 90, high: 100, critical: 100 } },
    { stored: 'one of them', priorities: { low: 0.25 }, shares: { low: 25, normal: 90, high: 100, critical: 100 } },
    {
      stored: 'all of them',
      priorities: { low: 0.1, normal: 0.2, high: 0.3, critical: 0.999 },
      shares: { low: 10, normal: 20, high: 30, critical: 99 },
    },
    { stored: 'not at all', priorities: undefined, shares: { low: 100, normal: 100, high: 100, critical: 100 } },
  ])('stored $stored admit $shares.low, $shares.normal, $shares.high and $shares.critical of 100', async (row) => {
    const { limiter } = await shared(row.priorities);

    for (const priority of ['low', 'normal', 'high', 'critical'] as const) {
      const entity = `asks-${priority}`;
      const most = row.shares[priority];
      await limiter.acquire({ ...on, entity, consume: { rpm: most - 1 }, priority });
      await limiter.acquire({ ...on, entity, consume: { rpm: 1 }, priority });
      expect((await limiter.tryAcquire({ ...on, entity, consume: { rpm: 1 }, priority })).granted).toBe(false);
      expect(await limiter.available({ ...on, entity })).toEqual({ rpm: 100 - most });
    }
  });

  it('are normal for a request that names none', async () => {
    const { limiter } = await shared(true);
    await limiter.acquire({ ...on, consume: { rpm: 90 } });

    expect((await limiter.tryAcquire({ ...on, consume: { rpm: 1 } })).granted).toBe(false);
    expect((await limiter.tryAcquire({ ...on, consume: { rpm: 10 }, priority: 'high' })).granted).toBe(true);
  });

  it('never let a low request have 60 of 100 when its share is half: the error names the share, and nothing is written', async () => {
    const { limiter } = await shared(true);

    await expect(limiter.acquire({ ...on, consume: { rpm: 60 }, priority: 'low', maxWaitMs: 60_000 })).rejects.toMatchObject({
      code: 'CostExceedsCapacity',
      limit: 'rpm',
      capacity: 100,
      requested: 60,
      share: 0.5,
    });

    expect(limiter.stats()).toMatchObject({ writes: 0, denied: 0 });
    expect((await limiter.tryAcquire({ ...on, consume: { rpm: 50 }, priority: 'low' })).granted).toBe(true);
  });

  it('deny a low request until its share is free again, and grant a normal one meanwhile', async () => {
    const { bed, limiter } = await shared(true);
    await limiter.acquire({ ...on, consume: { rpm: 50 }, priority: 'low' });
    const low = { ...on, consume: { rpm: 1 }, priority: 'low' as const };

    expect(await limiter.tryAcquire(low)).toMatchObject({ granted: false, denial: { retryAfterMs: 600 } });
    expect((await limiter.tryAcquire({ ...on, consume: { rpm: 1 }, priority: 'normal' })).granted).toBe(true);
    bed.clock.advance(1_199);
    expect((await limiter.tryAcquire(low)).granted).toBe(false);
    bed.clock.advance(1);
    expect((await limiter.tryAcquire(low)).granted).toBe(true);
  });

  it('make a low request wait without a place in the queue: a normal one that comes later is granted at once', async () => {
    const clock = new VirtualClock();
    const { limiter } = await shared(true, clock);
    await limiter.acquire({ ...on, consume: { rpm: 50 }, priority: 'low' });

    const low = limiter.acquire({ ...on, consume: { rpm: 10 }, priority: 'low', maxWaitMs: 60_000 });
    await expect.poll(() => clock.asleep, { interval: 1 }).toBe(1);
    expect((await limiter.tryAcquire({ ...on, consume: { rpm: 40 }, priority: 'normal' })).granted).toBe(true);

    expect(await clock.drive(low)).toMatchObject({ waitedMs: 30_000, queuedAheadMs: 0, charged: { rpm: 10 } });
    expect(await limiter.available(on)).toEqual({ rpm: 50 });
  });

  it('deny a low request at once that would have to wait longer than it may', async () => {
    const clock = new VirtualClock();
    const { limiter } = await shared(true, clock);
    await limiter.acquire({ ...on, consume: { rpm: 50 }, priority: 'low' });

    const outcome = await limiter.tryAcquire({ ...on, consume: { rpm: 10 }, priority: 'low', maxWaitMs: 5_999 });

    expect(outcome).toMatchObject({ granted: false, denial: { retryAfterMs: 6_000 } });
    expect(clock.asleep).toBe(0);
  });

  it('give only those with the whole capacity a place in the queue', async () => {
    const clock = new VirtualClock();
    const { limiter } = await shared(true, clock);
    await limiter.acquire({ ...on, consume: { rpm: 100 }, priority: 'critical' });

    const high = limiter.acquire({ ...on, consume: { rpm: 5 }, priority: 'high', maxWaitMs: 60_000 });

    expect(await clock.drive(high)).toMatchObject({ waitedMs: 3_000, queuedAheadMs: 3_000 });
  });

  it('hold on every level, each by its own shares', async () => {
    const { bed, limiter } = await shared(undefined);
    const admin = bed.admin();
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'org' });
    await admin.setLimits({ entity: 'org' }, [Limit.perMinute('rpm', 200)], { priorities: { low: 0.1 } });

    await limiter.acquire({ ...on, consume: { rpm: 20 }, priority: 'low' });

    expect(await limiter.tryAcquire({ ...on, consume: { rpm: 1 }, priority: 'low' })).toMatchObject({
      granted: false,
      denial: { violations: [{ entity: 'org', limit: 'rpm' }], passed: [{ entity: 'key-123', limit: 'rpm', available: 80 }] },
    });
  });
});

describe('shares of priorities', () => {
  it.each([
    { priorities: { low: 0.95 }, field: 'priorities.normal', least: 0.95 },
    { priorities: { low: 0.5, normal: 0.4 }, field: 'priorities.normal', least: 0.5 },
    { priorities: { high: 0.8 }, field: 'priorities.high', least: 0.9 },
    { priorities: { critical: 0.99 }, field: 'priorities.critical', least: 1 },
    { priorities: { low: 0 }, field: 'priorities.low', least: 0 },
    { priorities: { low: -0.1 }, field: 'priorities.low', least: 0 },
    { priorities: { critical: 1.01 }, field: 'priorities.critical', least: 1 },
    { priorities: { low: Number.NaN }, field: 'priorities.low', least: 0 },
  ])('$priorities are refused at $field, which must be at least $least', async ({ priorities, field, least }) => {
    const { admin } = await memory.fresh();
    const limits = [Limit.perMinute('rpm', 100)];

    await expect(admin().setLimits({ system: true }, limits, { priorities })).rejects.toMatchObject({
      code: 'InvalidArgument',
      field,
      expected: `a share above 0, at most 1, and at least the ${least} of the priority before it`,
    });
    expect(await admin().getLimits({ system: true })).toBeUndefined();
  });

  it('of a priority that does not exist are refused', async () => {
    const { admin } = await memory.fresh();

    await expect(
      admin().setLimits({ system: true }, [Limit.perMinute('rpm', 100)], { priorities: { urgent: 1 } as never }),
    ).rejects.toMatchObject({ code: 'InvalidArgument', field: 'priorities.urgent' });
  });
});
