import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import type { Scope } from '../../lib/config/config-records.js';
import { appliedOf } from '../../lib/config/inheritance.js';
import { SCOPES } from '../../lib/config/resolution.js';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const hourly = (limits: Readonly<Record<string, number>>) =>
  Object.entries(limits).map(([name, amount]) => Limit.perHour(name, amount));

/** From the strongest to the weakest. */
const LEVELS: readonly { readonly level: string; readonly scope: Scope }[] = [
  { level: 'entity+resource', scope: { entity: 'key-123', resource: 'gpt-4' } },
  { level: 'entity', scope: { entity: 'key-123' } },
  { level: 'tier+resource', scope: { tier: 'pro', resource: 'gpt-4' } },
  { level: 'tier', scope: { tier: 'pro' } },
  { level: 'resource', scope: { resource: 'gpt-4' } },
  { level: 'system', scope: { system: true } },
];
const PAIRS = LEVELS.flatMap((stronger, index) => LEVELS.slice(index + 1).map((weaker) => ({ stronger, weaker })));

/** What one scope says: the capacities of its limits by name, whether it inherits, and its shards. */
interface Word {
  readonly limits: Readonly<Record<string, number>>;
  readonly inherit: boolean;
  readonly shards: number | undefined;
}

/** The rule of inheriting, as it is told: from the most specific scope on. */
function told([first, ...rest]: readonly Word[]): Omit<Word, 'inherit'> {
  if (first === undefined) return { limits: {}, shards: undefined };
  const { limits, inherit, shards } = first;
  if (Object.keys(limits).length === 0 && !inherit) return told(rest);
  if (!inherit) return { limits, shards };
  const next = told(rest);
  return { limits: { ...next.limits, ...limits }, shards: shards ?? next.shards };
}

const anyWord = fc.record({
  limits: fc.dictionary(fc.constantFrom('rpm', 'tpm', 'usd'), fc.integer({ min: 1, max: 99 }), { maxKeys: 3 }),
  inherit: fc.boolean(),
  shards: fc.constantFrom(undefined, 1, 2, 8),
});

it('six scopes amount to what the rule says, whatever each of them says', () => {
  fc.assert(
    fc.property(fc.array(anyWord, { minLength: 6, maxLength: 6 }), (words) => {
      const said = words.map(({ limits, inherit, shards }, index) => ({
        scope: SCOPES[index]!,
        rules: {},
        stored:
          Object.keys(limits).length === 0 && !inherit
            ? undefined
            : { limits: hourly(limits), inherit, shards, priorities: undefined },
      }));
      const applied = appliedOf({ entity: 'e', tier: 't', hasDefaultTier: false, said });
      const wanted = told(words);

      expect(Object.fromEntries((applied?.limits ?? []).map(({ limit }) => [limit.name, limit.capacity]))).toEqual(wanted.limits);
      if (applied !== undefined) expect(applied.shards).toBe(wanted.shards);
    }),
  );
});

describe.each(eachStore)('a scope that inherits on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  const available = () => bed.limiter().available(on);

  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await admin.createEntity({ entity: 'key-123', tier: 'pro' });
  });

  it('is one of 15 pairs of levels', () => {
    expect(PAIRS).toHaveLength(15);
  });

  it.each(PAIRS)('of $stronger.level has its own limits, and those of $weaker.level beside', async ({ stronger, weaker }) => {
    await admin.setLimits(weaker.scope, hourly({ rph: 10, tph: 20 }));
    await admin.setLimits(stronger.scope, hourly({ rph: 3, files: 4 }), { inherit: true });

    expect(await available()).toEqual({ rph: 3, files: 4, tph: 20 });
    expect((await admin.explain(on)).levels[0]?.limits.map(({ limit, from }) => [limit.name, limit.capacity, from])).toEqual([
      ['rph', 3, stronger.level],
      ['files', 4, stronger.level],
      ['tph', 20, weaker.level],
    ]);
  });

  it.each(PAIRS)('of $weaker.level gives nothing to $stronger.level, which does not inherit', async ({ stronger, weaker }) => {
    await admin.setLimits(weaker.scope, hourly({ tph: 20 }), weaker.level === 'system' ? {} : { inherit: true });
    await admin.setLimits(stronger.scope, hourly({ rph: 3 }));

    expect(await available()).toEqual({ rph: 3 });
  });

  it('takes from the next, which takes from its next, through all six levels', async () => {
    for (const [index, { level, scope }] of LEVELS.entries()) {
      const limits = hourly({ rph: 100 + index, [`own-${index}`]: 200 + index });
      await admin.setLimits(scope, limits, level === 'system' ? {} : { inherit: true });
    }

    expect(await available()).toEqual({
      rph: 100,
      'own-0': 200,
      'own-1': 201,
      'own-2': 202,
      'own-3': 203,
      'own-4': 204,
      'own-5': 205,
    });
  });

  it('ends its chain at the first scope that does not inherit', async () => {
    await admin.setLimits({ system: true }, hourly({ rph: 1, tph: 1, system: 1 }));
    await admin.setLimits({ tier: 'pro' }, hourly({ rph: 2, tph: 2 }));
    await admin.setLimits({ entity: 'key-123' }, hourly({ rph: 3 }), { inherit: true });
    await admin.setLimits(on, [], { inherit: true });

    expect(await available()).toEqual({ rph: 3, tph: 2 });
  });

  it('replaces a limit of the same name by its own, of whatever kind', async () => {
    await admin.setLimits({ system: true }, [Limit.perMinute('tokens', 500), Limit.perHour('rph', 5)]);
    await admin.setLimits(on, [Limit.quota('tokens', 7, { per: 'day' })], { inherit: true });

    expect((await bed.limiter().limits(on))[0]?.limits).toMatchObject([
      { name: 'tokens', kind: 'quota', capacity: 7 },
      { name: 'rph', kind: 'bucket', capacity: 5 },
    ]);
  });

  it('passes over scopes that store rules alone', async () => {
    await admin.setLimits({ system: true }, hourly({ rph: 1, tph: 1 }));
    await admin.setLimits({ tier: 'pro' }, [], { disabled: false });
    await admin.setLimits(on, hourly({ rph: 3 }), { inherit: true });

    expect(await available()).toEqual({ rph: 3, tph: 1 });
  });

  it('with an empty list has the limits of the next, and with nothing to inherit none', async () => {
    await admin.setLimits(on, [], { inherit: true });
    expect(await admin.getLimits(on)).toEqual([]);
    expect(await admin.getOptions(on)).toEqual({ inherit: true });
    await expect(available()).rejects.toMatchObject({ code: 'NoLimitsConfigured' });

    await admin.setLimits({ system: true }, hourly({ rph: 9 }));
    expect(await available()).toEqual({ rph: 9 });
  });

  it('does so at each level of a hierarchy for itself', async () => {
    await admin.setLimits({ system: true }, hourly({ rph: 50 }));
    await admin.createEntity({ entity: 'child', parent: 'key-123' });
    await admin.setLimits({ entity: 'child' }, hourly({ files: 5 }), { inherit: true });
    await admin.setLimits({ entity: 'key-123' }, hourly({ tph: 7 }), { inherit: true });

    expect(
      (await bed.limiter().limits({ ...on, entity: 'child' })).map(({ entity, limits }) => [
        entity,
        limits.map(({ name }) => name),
      ]),
    ).toEqual([
      ['child', ['files', 'rph']],
      ['key-123', ['tph', 'rph']],
    ]);
  });

  it('is no concern of a request that carries its limits', async () => {
    await admin.setLimits({ system: true }, hourly({ rph: 1, tph: 1 }));
    await admin.setLimits(on, hourly({ rph: 2 }), { inherit: true });

    expect(await bed.limiter().available({ ...on, limits: hourly({ rph: 8 }) })).toEqual({ rph: 8 });
  });

  it('charges inherited limits and its own together, and a denial names the inherited one', async () => {
    await admin.setLimits({ tier: 'pro' }, hourly({ tph: 10 }));
    await admin.setLimits(on, hourly({ rph: 100 }), { inherit: true });
    const limiter = bed.limiter();
    await limiter.acquire({ ...on, consume: { rph: 1, tph: 8 } });

    const outcome = await limiter.tryAcquire({ ...on, consume: { rph: 1, tph: 3 } });

    expect(outcome).toMatchObject({ granted: false, denial: { violations: [{ limit: 'tph', available: 2 }] } });
    expect(await limiter.available(on)).toEqual({ rph: 99, tph: 2 });
  });

  it('is set back to replacing the whole set by setting it without', async () => {
    await admin.setLimits({ system: true }, hourly({ tph: 1 }));
    await admin.setLimits(on, hourly({ rph: 2 }), { inherit: true });
    await admin.setLimits(on, hourly({ rph: 2 }), { inherit: false });

    expect(await available()).toEqual({ rph: 2 });
    expect(await admin.getOptions(on)).toEqual({});
  });

  it('has a record in the history of what it was and became', async () => {
    await admin.setLimits(on, hourly({ rph: 2 }), { inherit: true, shards: 1 });

    expect(await admin.audit({ entity: 'key-123', limit: 1 })).toMatchObject([
      { action: 'limits.set', to: { limits: [{ name: 'rph' }], inherit: true, shards: 1 } },
    ]);
  });

  it.each([
    { when: 'it is the system', scope: { system: true }, inherit: true, field: 'inherit' },
    { when: 'it is no flag', scope: on, inherit: 'yes', field: 'inherit' },
  ])('is refused where $when', async ({ scope, inherit, field }) => {
    await expect(admin.setLimits(scope as Scope, hourly({ rph: 1 }), { inherit } as never)).rejects.toMatchObject({
      code: 'InvalidArgument',
      field,
    });
  });

  it('is refused at a request where 33 limits come together, and explained all the same', async () => {
    const many = Array.from({ length: 32 }, (_, index) => Limit.perHour(`l${index}`, 5));
    await admin.setLimits({ system: true }, many);
    await admin.setLimits(on, [Limit.perHour('l0', 6)], { inherit: true });
    expect(Object.keys(await available())).toHaveLength(32);

    await admin.setLimits(on, hourly({ rph: 6 }), { inherit: true });

    await expect(available()).rejects.toMatchObject({ code: 'InvalidArgument', value: 33 });
    expect((await admin.explain(on)).levels[0]?.limits).toHaveLength(33);
  });
});

describe.each(eachStore)('options of a scope that inherits on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  const options = async () => (await admin.explain(on)).levels[0]?.options;
  const ALL = { low: 1, normal: 1, high: 1, critical: 1 };

  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await admin.createEntity({ entity: 'key-123', tier: 'pro' });
    await admin.setLimits({ tier: 'pro' }, hourly({ rph: 80 }), { shards: 8, priorities: { low: 0.25 } });
  });

  it.each([
    { given: {}, inForce: { shards: 8, priorities: { low: 0.25, normal: 0.9, high: 1, critical: 1 } } },
    { given: { shards: 2 }, inForce: { shards: 2, priorities: { low: 0.25, normal: 0.9, high: 1, critical: 1 } } },
    { given: { shards: 1, priorities: ALL }, inForce: { priorities: ALL } },
  ])('with $given are $inForce', async ({ given, inForce }) => {
    await admin.setLimits(on, hourly({ tph: 8 }), { ...given, inherit: true });

    expect(await options()).toEqual(inForce);
    expect((await bed.limiter().status(on)).limits.map(({ limit, shards }) => [limit, shards])).toEqual([
      ['tph', inForce.shards],
      ['rph', inForce.shards],
    ]);
  });

  it('hold a low priority to the inherited share, of its own limits as well', async () => {
    await admin.setLimits(on, hourly({ tph: 80 }), { inherit: true, shards: 1 });
    const limiter = bed.limiter();

    await limiter.acquire({ ...on, consume: { tph: 20 }, priority: 'low' });
    await expect(limiter.acquire({ ...on, consume: { tph: 21 }, priority: 'low' })).rejects.toMatchObject({
      code: 'CostExceedsCapacity',
      share: 0.25,
    });
  });

  it('are those of the scope alone where it does not inherit', async () => {
    await admin.setLimits(on, hourly({ tph: 8 }));

    expect(await options()).toEqual({});
  });

  it('are all of an entity that only has more shards than its tier', async () => {
    await admin.setLimits({ entity: 'key-123' }, [], { inherit: true, shards: 16 });

    expect((await bed.limiter().status(on)).limits).toMatchObject([{ limit: 'rph', capacity: 80, shards: 16 }]);
  });

  it.each([
    { when: 'the tier is bypassed', own: {}, bypassed: true },
    { when: 'it says that it is not', own: { bypass: false }, bypassed: false },
  ])('bypass it or not where $when: $bypassed', async ({ own, bypassed }) => {
    await admin.setLimits({ tier: 'pro' }, hourly({ rph: 1 }), { bypass: true });
    await admin.setLimits(on, hourly({ tph: 1 }), { ...own, inherit: true });
    const limiter = bed.limiter();
    await limiter.acquire({ ...on, consume: { tph: 1 } });

    expect((await limiter.tryAcquire({ ...on, consume: { tph: 1 } })).granted).toBe(bypassed);
    expect((await admin.explain(on)).levels[0]?.bypass).toBe(bypassed);
  });

  it('disable it where the scope that it inherits from is disabled', async () => {
    await admin.setLimits({ tier: 'pro' }, hourly({ rph: 1 }), { disabled: true });
    await admin.setLimits(on, hourly({ tph: 1 }), { inherit: true });

    await expect(bed.limiter().acquire({ ...on, consume: { tph: 1 } })).rejects.toMatchObject({
      code: 'ResourceDisabled',
      scope: 'tier',
    });
  });
});
