import { beforeEach, describe, expect, it } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const rph = (amount: number) => [Limit.perHour('rph', amount)];

describe.each(eachStore)('an explanation on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;

  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
  });

  it('says which level wins, why, and what every other one says', async () => {
    await admin.createEntity({ entity: 'org', tier: 'enterprise' });
    await admin.createEntity({ entity: 'key-123', parent: 'org', tier: 'pro' });
    await admin.setLimits({ system: true }, rph(1));
    await admin.setLimits({ resource: 'gpt-4' }, rph(2), { bypass: false });
    await admin.setLimits({ tier: 'pro' }, rph(3), { priorities: true, maxContextTokens: 8_000 });
    await admin.setLimits({ entity: 'org' }, rph(4));

    const explanation = await admin.explain(on);

    expect(explanation).toMatchObject({ entity: 'key-123', resource: 'gpt-4', outcome: 'limited', refusal: undefined });
    expect(explanation.levels).toMatchObject([
      {
        entity: 'key-123',
        tier: 'pro',
        wins: 'tier',
        why:
          'The limits of its tier apply to key-123: none are stored for the entity on this resource, the entity or ' +
          'its tier on this resource; its tier is pro.',
        disabled: false,
        bypass: false,
        scopes: [
          { scope: 'entity+resource', wins: false, limits: undefined, rules: {} },
          { scope: 'entity', wins: false, limits: undefined },
          { scope: 'tier+resource', wins: false, limits: undefined },
          {
            scope: 'tier',
            wins: true,
            limits: [{ name: 'rph', capacity: 3 }],
            options: { priorities: { low: 0.5 } },
            rules: { maxContextTokens: 8_000 },
          },
          { scope: 'resource', wins: false, limits: [{ capacity: 2 }], rules: { bypass: false } },
          { scope: 'system', wins: false, limits: [{ capacity: 1 }] },
        ],
      },
      {
        entity: 'org',
        tier: 'enterprise',
        wins: 'entity',
        why: 'The limits of the entity apply to org: none are stored for the entity on this resource; its tier is enterprise.',
      },
    ]);
    expect((await bed.limiter().limits(on)).map(({ entity, limits }) => [entity, limits[0]?.capacity])).toEqual([
      ['key-123', 3],
      ['org', 4],
    ]);
  });

  it.each([
    {
      when: 'the pair has limits',
      scope: on,
      why: 'The limits of the entity on this resource apply to key-123: nothing is more specific.',
    },
    {
      when: 'the system has, and there is no tier',
      scope: { system: true } as const,
      why:
        'The limits of the system apply to key-123: none are stored for the entity on this resource, the entity or ' +
        'the resource, and it has no tier.',
    },
  ])('has a sentence for a person when $when', async ({ scope, why }) => {
    await admin.setLimits(scope, rph(1));

    expect((await admin.explain(on)).levels).toMatchObject([{ why }]);
  });

  it('says so when nothing is stored', async () => {
    const { outcome, levels } = await admin.explain(on);

    expect(outcome).toBe('unconfigured');
    expect(levels).toMatchObject([
      {
        wins: undefined,
        why:
          'No limits apply to key-123: none are stored for the entity on this resource, the entity, the resource or the system, ' +
          'and it has no tier.',
      },
    ]);
  });

  it('names the tier of entities without a record', async () => {
    await admin.setLimits({ system: true }, rph(1), { defaultTier: 'free' });
    await admin.setLimits({ tier: 'free' }, rph(2));

    const [own] = (await admin.explain(on)).levels;

    expect(own).toMatchObject({ tier: 'free', wins: 'tier' });
    expect(own?.why).toContain('its tier is free, that of entities without a record.');
  });

  it('says why nothing is admitted, as a request is told', async () => {
    await admin.setLimits({ resource: 'gpt-4' }, rph(1), { disabled: true });

    const { outcome, refusal, levels } = await admin.explain(on);

    expect(outcome).toBe('refused');
    expect(levels).toMatchObject([{ disabled: true, wins: 'resource' }]);
    const error = await bed
      .limiter()
      .acquire({ ...on, consume: { rph: 1 } })
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ ...refusal, code: 'ResourceDisabled' });
  });

  it('is of what is stored now, whatever limiters remember', async () => {
    await admin.setLimits(on, rph(1));
    await bed.limiter().limits(on);
    await admin.setLimits(on, rph(2));

    expect((await admin.explain(on)).levels[0]?.scopes[0]?.limits).toMatchObject([{ capacity: 2 }]);
  });

  it('refuses what is no name', async () => {
    await expect(admin.explain({ entity: '', resource: 'gpt-4' })).rejects.toMatchObject({ field: 'entity' });
    await expect(admin.explain({ entity: 'a', resource: 'a#b' })).rejects.toMatchObject({ field: 'resource' });
  });
});
