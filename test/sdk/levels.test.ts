import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const rph = (amount: number) => [Limit.perHour('rph', amount)];

/** An organisation, a project of it, a key of the project; each with the limits given for it. */
async function family(
  bed: TestBed,
  limits: { readonly org?: readonly Limit[]; readonly project?: readonly Limit[]; readonly key?: readonly Limit[] },
) {
  const admin = bed.admin();
  await admin.createEntity({ entity: 'org' });
  await admin.createEntity({ entity: 'project', parent: 'org' });
  await admin.createEntity({ entity: 'key-123', parent: 'project' });
  if (limits.org !== undefined) await admin.setLimits({ entity: 'org' }, limits.org);
  if (limits.project !== undefined) await admin.setLimits({ entity: 'project' }, limits.project);
  if (limits.key !== undefined) await admin.setLimits({ entity: 'key-123' }, limits.key);
}

/** A parent with 5 an hour, a child of it with 100. */
async function parentAndChild(bed: TestBed, cascade?: boolean) {
  const admin = bed.admin();
  await admin.createEntity({ entity: 'org' });
  await admin.createEntity({ entity: 'key-123', parent: 'org', cascade });
  await admin.setLimits({ entity: 'org' }, rph(5));
  await admin.setLimits({ entity: 'key-123' }, rph(100));
}

describe.each(eachStore)('an entity with a parent on the $name store', ({ fresh }: StoreUnderTest) => {
  it('is denied by its parent, and then has consumed nothing itself', async () => {
    const bed = await fresh();
    await parentAndChild(bed);
    const limiter = bed.limiter();
    for (let granted = 0; granted < 5; granted += 1) await limiter.acquire({ ...on, consume: { rph: 1 } });

    const outcome = await limiter.tryAcquire({ ...on, consume: { rph: 1 } });

    expect(outcome).toMatchObject({
      granted: false,
      denial: {
        retryAfterMs: 720_000,
        violations: [
          { entity: 'org', resource: 'gpt-4', limit: 'rph', capacity: 5, available: 0, requested: 1, retryAfterMs: 720_000 },
        ],
        passed: [
          {
            entity: 'key-123',
            resource: 'gpt-4',
            limit: 'rph',
            capacity: 100,
            available: 95,
            requested: 1,
            retryAfterMs: 0,
            resetMs: 180_000,
          },
        ],
      },
    });
    expect((await limiter.status(on)).limits).toMatchObject([
      { entity: 'key-123', available: 95 },
      { entity: 'org', available: 0 },
    ]);
  });

  it('leaves its parent untouched without cascade', async () => {
    const bed = await fresh();
    await parentAndChild(bed, false);
    const limiter = bed.limiter();
    for (let granted = 0; granted < 6; granted += 1) await limiter.acquire({ ...on, consume: { rph: 1 } });

    expect(await limiter.available(on)).toEqual({ rph: 94 });
    expect(await bed.store.read(bed.bucket('org'))).toBeUndefined();
  });

  it('has available the smaller of both levels, and waits for the longer of both', async () => {
    const bed = await fresh();
    await parentAndChild(bed);
    const limiter = bed.limiter();
    await limiter.acquire({ entity: 'org', resource: 'gpt-4', consume: { rph: 5 } });

    expect(await limiter.available(on)).toEqual({ rph: 0 });
    expect(await limiter.timeUntilAvailable({ ...on, needed: { rph: 2 } })).toBe(1_440_000);
  });

  it('draws on every level above it, and settles and releases at every level', async () => {
    const bed = await fresh();
    await family(bed, { org: rph(1_000), project: rph(100), key: rph(10) });
    const limiter = bed.limiter();
    const levels = async () => (await limiter.status(on)).limits.map(({ entity, available }) => [entity, available]);

    const lease = await limiter.acquire({ ...on, consume: { rph: 4 } });
    expect(await levels()).toEqual([
      ['key-123', 6],
      ['project', 96],
      ['org', 996],
    ]);
    await lease.settle({ rph: 7 });
    expect(await levels()).toEqual([
      ['key-123', 3],
      ['project', 93],
      ['org', 993],
    ]);
    await lease.release();
    expect(await levels()).toEqual([
      ['key-123', 10],
      ['project', 100],
      ['org', 1_000],
    ]);
  });

  it('applies to each ancestor the limits stored for it, those of the system included', async () => {
    const bed = await fresh();
    await family(bed, { project: rph(100) });
    await bed.admin().setLimits({ system: true }, rph(20));
    const limiter = bed.limiter();

    expect((await limiter.status(on)).limits).toMatchObject([
      { entity: 'key-123', capacity: 20 },
      { entity: 'project', capacity: 100 },
      { entity: 'org', capacity: 20 },
    ]);
    await expect(limiter.acquire({ ...on, consume: { rph: 30 } })).rejects.toMatchObject({
      code: 'CostExceedsCapacity',
      entity: 'key-123',
      capacity: 20,
    });
  });

  it('consumes of each level the limits that the level has', async () => {
    const bed = await fresh();
    await family(bed, { org: [Limit.perMinute('tpm', 1_000)], key: [Limit.perMinute('rpm', 10)] });
    const limiter = bed.limiter();

    await limiter.acquire({ ...on, consume: { rpm: 1, tpm: 300 } });

    expect(await limiter.available(on)).toEqual({ rpm: 9, tpm: 700 });
    await expect(limiter.acquire({ ...on, consume: { usd: 1 } })).rejects.toMatchObject({
      code: 'UnknownLimit',
      known: ['rpm', 'tpm'],
    });
  });
});

describe.each(eachStore)('stored limits on the $name store', ({ fresh }: StoreUnderTest) => {
  const system = { scope: { system: true } as const, limits: rph(10) };
  const resource = { scope: { resource: 'gpt-4' }, limits: rph(50) };
  const entity = { scope: { entity: 'key-123' }, limits: rph(100) };
  const pair = { scope: { entity: 'key-123', resource: 'gpt-4' }, limits: rph(200) };

  it.each([
    { stored: [system], wins: 10 },
    { stored: [system, resource], wins: 50 },
    { stored: [system, resource, entity], wins: 100 },
    { stored: [system, resource, entity, pair], wins: 200 },
    { stored: [pair, system], wins: 200 },
    { stored: [entity, resource], wins: 100 },
  ])('apply with the most specific of $stored.length scopes: $wins', async ({ stored, wins }) => {
    const { limiter, admin } = await fresh();
    for (const { scope, limits } of stored) await admin().setLimits(scope, limits);

    expect(await limiter().available(on)).toEqual({ rph: wins });
  });

  it('apply as a whole set: a limit that only a wider scope has does not', async () => {
    const { limiter, admin } = await fresh();
    await admin().setLimits({ system: true }, [Limit.perHour('rph', 10), Limit.perMinute('tpm', 1_000)]);
    await admin().setLimits({ entity: 'key-123' }, rph(100));

    expect(await limiter().available(on)).toEqual({ rph: 100 });
  });

  it('apply from the next scope when a scope loses its own', async () => {
    const { limiter, admin } = await fresh();
    await admin().setLimits({ system: true }, rph(10));
    await admin().setLimits(pair.scope, pair.limits);
    await admin().deleteLimits(pair.scope);

    expect(await limiter().available(on)).toEqual({ rph: 10 });
    expect(await admin().getLimits(pair.scope)).toBeUndefined();
  });

  it('with priorities never admit what is above the share of a priority, and write nothing for it', async () => {
    const { limiter: newLimiter, admin } = await fresh();
    const limiter = newLimiter();
    await admin().setLimits({ system: true }, rph(100), { priorities: { low: 0.5 } });

    await expect(limiter.acquire({ ...on, consume: { rph: 60 }, priority: 'low' })).rejects.toMatchObject({
      code: 'CostExceedsCapacity',
      share: 0.5,
      message: expect.stringContaining('at most 50, the share 0.5 of the capacity 100 for priority low'),
    });
    expect(limiter.stats().writes).toBe(0);
    await limiter.acquire({ ...on, consume: { rph: 30 }, priority: 'low' });
    expect((await limiter.tryAcquire({ ...on, consume: { rph: 21 }, priority: 'low' })).granted).toBe(false);
    expect((await limiter.tryAcquire({ ...on, consume: { rph: 70 }, priority: 'critical' })).granted).toBe(true);
  });

  it('are not those of another resource or entity', async () => {
    const { limiter, admin } = await fresh();
    await admin().setLimits({ resource: 'gpt-5' }, rph(1));
    await admin().setLimits({ entity: 'key-124' }, rph(2));
    await admin().setLimits({ entity: 'key-123', resource: 'gpt-5' }, rph(3));

    await expect(limiter().available(on)).rejects.toMatchObject({
      code: 'NoLimitsConfigured',
      entity: 'key-123',
      resource: 'gpt-4',
    });
  });
});
