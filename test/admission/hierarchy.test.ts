import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { RateLimiter } from '../../lib/limiter.js';
import type { AcquireRequest } from '../../lib/request.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { eachStore, type StoreUnderTest, type TestBed, testBed } from '../support/stores.js';
import { VirtualClock } from '../support/virtual-time.js';
import { distant, recorded } from './intercepted-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const MINUTE_MS = 60_000;
const times = <T>(count: number, one: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => one(index));

/** A key of a project of an organisation: 10, 100 and 1,000 an hour, where no other limits are given. */
async function family(bed: TestBed, { org = 1_000, project = 100, key = 10 } = {}) {
  const admin = bed.admin();
  await admin.createEntity({ entity: 'org' });
  await admin.createEntity({ entity: 'project', parent: 'org' });
  await admin.createEntity({ entity: 'key-123', parent: 'project' });
  await admin.setLimits({ entity: 'org' }, [Limit.perHour('rph', org)]);
  await admin.setLimits({ entity: 'project' }, [Limit.perHour('rph', project)]);
  await admin.setLimits({ entity: 'key-123' }, [Limit.perHour('rph', key)]);
}

const standing = async (limiter: RateLimiter) =>
  Object.fromEntries((await limiter.status(on)).limits.map(({ entity, available }) => [entity, available]));

describe('the first acquire of three levels whose limits are cached', () => {
  async function cached() {
    const clock = new VirtualClock();
    const bed = testBed(new MemoryStore(), clock);
    await family(bed);
    const { store, calls } = recorded(distant(bed.store, clock, 20));
    const limiter = bed.limiter({ store });
    await clock.drive(limiter.limits(on));
    return { clock, limiter, calls, before: calls.length, atMs: clock.elapsedMs };
  }

  it('is three writes at once: it takes one round trip', async () => {
    const { clock, limiter, calls, before, atMs } = await cached();

    const lease = await clock.drive(limiter.acquire({ ...on, consume: { rph: 4 } }));

    expect(clock.elapsedMs - atMs).toBe(20);
    expect(calls.slice(before).map(({ method, write }) => [method, write?.key.entity])).toEqual([
      ['write', 'key-123'],
      ['write', 'project'],
      ['write', 'org'],
    ]);
    expect(lease.limits.map(({ entity, available }) => [entity, available])).toEqual([
      ['key-123', 6],
      ['project', 96],
      ['org', 996],
    ]);
  });

  it('settles on all three at once: one more round trip, three more writes', async () => {
    const { clock, limiter, calls, before, atMs } = await cached();
    const lease = await clock.drive(limiter.acquire({ ...on, consume: { rph: 4 } }));

    await clock.drive(lease.settle({ rph: 5 }));

    expect(clock.elapsedMs - atMs).toBe(40);
    expect(calls.slice(before).map(({ method }) => method)).toEqual(times(6, () => 'write'));
  });
});

describe.each(eachStore)('three levels on the $name store', ({ fresh }: StoreUnderTest) => {
  it.each([
    { denies: ['key-123'], passes: ['project', 'org'], used: { key: 5 } },
    { denies: ['project'], passes: ['key-123', 'org'], used: { project: 95 } },
    { denies: ['org'], passes: ['key-123', 'project'], used: { org: 995 } },
    { denies: ['key-123', 'org'], passes: ['project'], used: { key: 5, org: 995 } },
    { denies: ['key-123', 'project', 'org'], passes: [], used: { key: 5, project: 95, org: 995 } },
  ])('of which $denies deny list every level, and give back what the others granted', async ({ denies, passes, used }) => {
    const bed = await fresh();
    await family(bed);
    const operator = bed.limiter();
    const amounts = { key: 0, project: 0, org: 0, ...used };
    const bucket = async (entity: string, limit: number, rph: number) => {
      if (rph > 0) await operator.acquire({ entity, resource: 'gpt-4', limits: [Limit.perHour('rph', limit)], consume: { rph } });
    };
    await bucket('key-123', 10, amounts.key);
    await bucket('project', 100, amounts.project);
    await bucket('org', 1_000, amounts.org);
    const limiter = bed.limiter();
    const before = await standing(operator);

    const outcome = await limiter.tryAcquire({ ...on, consume: { rph: 6 } });

    if (outcome.granted) throw new Error('a level was expected to deny');
    expect(outcome.denial.violations.map(({ entity }) => entity)).toEqual(denies);
    expect(outcome.denial.passed.map(({ entity }) => entity)).toEqual(passes);
    expect(await standing(operator)).toEqual(before);
    expect(before).toEqual({ 'key-123': 10 - amounts.key, project: 100 - amounts.project, org: 1_000 - amounts.org });
  });

  it('and another resource are all or nothing: one that denies leaves every bucket as it was', async () => {
    const bed = await fresh();
    await family(bed);
    await bed.admin().setLimits({ resource: 'search' }, [Limit.perHour('rph', 3)]);
    await bed.admin().setLimits({ entity: 'key-123', resource: 'search' }, [Limit.perHour('rph', 3)]);
    const limiter = bed.limiter();
    const request = { ...on, consume: { rph: 1 }, also: [{ resource: 'search', consume: { rph: 2 } }] };
    await limiter.acquire(request);

    expect(await limiter.tryAcquire(request)).toMatchObject({
      granted: false,
      denial: { violations: [{ entity: 'key-123', resource: 'search', available: 1, requested: 2 }] },
    });

    expect(await standing(limiter)).toEqual({ 'key-123': 9, project: 99, org: 999 });
    expect(await limiter.available({ ...on, resource: 'search' })).toEqual({ rph: 1 });
  });

  it('allow 16 buckets in one request: 17 are refused before anything is written', async () => {
    const bed = await fresh();
    const limiter = bed.limiter();
    const limits = [Limit.perHour('rph', 10)];
    const also = (count: number) => times(count, (index) => ({ resource: `tool-${index}`, consume: { rph: 1 } }));

    await expect(limiter.acquire({ ...on, limits, consume: { rph: 1 }, also: also(16) })).rejects.toMatchObject({
      code: 'InvalidArgument',
      field: 'also',
    });
    expect(limiter.stats().writes).toBe(0);

    await limiter.acquire({ ...on, limits, consume: { rph: 1 }, also: also(15) });
    expect(limiter.stats().writes).toBe(16);
    expect(await limiter.available({ entity: 'key-123', resource: 'tool-14', limits })).toEqual({ rph: 9 });
  });
});

describe('two equal levels of 100 a second, 5 ms away', () => {
  /** A client until the minute is over, which comes back when its denial said. The tokens it was granted. */
  async function client(limiter: RateLimiter, clock: VirtualClock, request: AcquireRequest): Promise<number> {
    for (let tokens = 0; ; ) {
      const outcome = await limiter.tryAcquire(request);
      if (clock.elapsedMs >= MINUTE_MS) return tokens;
      if (outcome.granted) tokens += request.consume.rps ?? 0;
      else await clock.sleep(outcome.denial.retryAfterMs);
    }
  }

  it.each([
    { clients: 50, cost: 30, maxWaitMs: 0, least: 5_700 },
    { clients: 10, cost: 30, maxWaitMs: 20_000, least: 5_700 },
    { clients: 1, cost: 1, maxWaitMs: 0, least: 5_940 },
  ])(
    'give $clients clients that ask for $cost, waiting up to $maxWaitMs ms, at least $least of the 6,000 tokens of a minute',
    async ({ clients, cost, maxWaitMs, least }) => {
      const clock = new VirtualClock();
      const bed = testBed(new MemoryStore(), clock);
      const admin = bed.admin();
      await admin.createEntity({ entity: 'org' });
      await admin.createEntity({ entity: 'key-123', parent: 'org' });
      await admin.setLimits({ system: true }, [Limit.perSecond('rps', 100)]);
      await bed.limiter().acquire({ ...on, consume: { rps: 100 } });
      const store = distant(bed.store, clock, 5);
      const request = { ...on, consume: { rps: cost }, maxWaitMs };

      const tokens = await clock.drive(
        Promise.all(times(clients, () => client(bed.limiter({ store, cacheTtlMs: 86_400_000 }), clock, request))),
      );

      const total = tokens.reduce((sum, one) => sum + one, 0);
      expect(total).toBeGreaterThanOrEqual(least);
      expect(total).toBeLessThanOrEqual(6_000);
    },
  );
});
