import { describe, expect, it } from 'vitest';
import { planLines } from '../../cli/plan-text.js';
import { Limit } from '../../lib/core/limit.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { countsOf, planManifest } from '../../lib/manifest/plan.js';
import type { Store } from '../../lib/store/store.js';
import { eachStore, memory } from '../support/stores.js';

const company: Manifest = {
  namespace: undefined,
  settings: [
    { scope: { system: true }, limits: [Limit.perMinute('rpm', 60)], options: {} },
    { scope: { tier: 'pro' }, limits: [Limit.perMinute('rpm', 600)], options: { allowedResources: ['gpt-4o*'] } },
    { scope: { tier: 'pro', resource: 'gpt-4o' }, limits: [Limit.perMinute('tpm', 10_000, { burst: 20_000 })], options: {} },
    { scope: { entity: 'team/a', resource: 'gpt-4o' }, limits: [Limit.perHour('rph', 5)], options: { shards: 2 } },
  ],
  entities: [
    { entity: 'acme', tier: 'pro' },
    { entity: 'team/a', parent: 'acme', name: 'Team A', metadata: { seats: [1, null] } },
  ],
};
const refuse = async (): Promise<never> => {
  throw new Error('a plan only reads items');
};
const refusing: Store = { write: refuse, read: refuse, getItems: refuse, queryItems: refuse, transact: refuse };
const nothing: Manifest = { namespace: undefined, settings: [], entities: [] };

describe.each(eachStore)('a plan on $name', ({ fresh }) => {
  it('creates everything where nothing is stored, settings first, parents before children', async () => {
    const { store, namespace } = await fresh();

    const plan = await planManifest(store, company, { namespace });

    expect(plan).toMatchObject({ namespace, base: { revision: 0, writes: 0 }, prune: false, unchanged: 0, kept: [] });
    expect(planLines(plan)).toEqual([
      '+ the system',
      '    rpm=60/minute',
      '+ tier pro',
      '    rpm=600/minute',
      '    allowedResources: ["gpt-4o*"]',
      '+ tier pro on gpt-4o',
      '    tpm=10000/minute,burst=20000',
      '+ limits of entity team/a on gpt-4o',
      '    rph=5/hour',
      '    shards: 2',
      '+ entity acme',
      '    tier: pro',
      '+ entity team/a',
      '    parent: acme',
      '    name: Team A',
      '    metadata: {"seats":[1,null]}',
      '    cascade: true',
      '',
      'Plan: 6 to create, 0 to change, 0 to remove; 0 unchanged.',
    ]);
  });

  it('comes back from a file as it was', async () => {
    const { store, namespace } = await fresh();

    const plan = await planManifest(store, company, { namespace });

    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  it('changes nothing that others have stored as the manifest says, and names what differs', async () => {
    const { store, namespace, admin } = await fresh();
    await admin().setLimits({ system: true }, [Limit.perMinute('rpm', 60)]);
    await admin().setLimits({ tier: 'pro' }, [Limit.perMinute('rpm', 500), Limit.perDay('rpd', 9)], {
      allowedResources: ['gpt-4o*'],
      shards: 4,
    });
    await admin().setLimits({ tier: 'pro', resource: 'gpt-4o' }, [Limit.perMinute('tpm', 10_000, { burst: 20_000 })], {
      shards: 1,
    });
    await admin().createEntity({ entity: 'other' });
    await admin().createEntity({ entity: 'acme', tier: 'pro' });
    await admin().createEntity({
      entity: 'team/a',
      parent: 'other',
      cascade: false,
      tier: 'free',
      metadata: { seats: [1, null] },
    });

    const plan = await planManifest(store, company, { namespace });

    expect(countsOf(plan)).toEqual({ create: 1, change: 2, adopt: 3, remove: 0, changes: 3 });
    expect(planLines(plan)).toEqual([
      '+ limits of entity team/a on gpt-4o',
      '    rph=5/hour',
      '    shards: 2',
      '~ tier pro',
      '    ~ rpm=500/minute -> rpm=600/minute',
      '    - rpd=9/day',
      '    ~ shards: 4 -> none',
      '~ entity team/a',
      '    ~ parent: other -> acme',
      '    ~ tier: free -> none',
      '    ~ cascade: false -> true',
      '    ~ name: none -> Team A',
      '= the system',
      '= tier pro on gpt-4o',
      '= entity acme',
      '',
      'Plan: 1 to create, 2 to change, 0 to remove; 0 unchanged, 3 as they should be and managed from now on.',
    ]);
  });

  it('leaves alone what no manifest manages, also when it prunes', async () => {
    const { store, namespace, admin } = await fresh();
    await admin().setLimits({ resource: 'gpt-4o' }, [Limit.perMinute('rpm', 1)]);
    await admin().createEntity({ entity: 'by-hand' });

    const plan = await planManifest(store, nothing, { namespace, prune: true });

    expect(planLines(plan)).toEqual(['Nothing to change: 0 unchanged.']);
  });

  it('refuses a parent that is neither in the manifest nor stored', async () => {
    const { store, namespace, admin } = await fresh();
    const orphan: Manifest = { ...nothing, entities: [{ entity: 'key', parent: 'stored' }] };
    await expect(planManifest(store, orphan, { namespace })).rejects.toMatchObject({
      code: 'InvalidArgument',
      field: 'parent',
      value: 'stored',
      expected: 'an entity of the manifest, or one that is stored',
    });
    await admin().createEntity({ entity: 'stored' });

    const plan = await planManifest(store, orphan, { namespace });

    expect(planLines(plan)[0]).toBe('+ entity key');
  });

  it('writes nothing', async () => {
    const { store, namespace } = await fresh();
    const reading: Store = {
      ...refusing,
      getItems: (keys, options) => store.getItems(keys, options),
      queryItems: (pk, prefix, options) => store.queryItems(pk, prefix, options),
    };

    expect(await planManifest(reading, company, { namespace, prune: true })).toMatchObject({ unchanged: 0 });
  });
});

it('shows the first twenty steps of a kind, and how many more there are, unless told to show all', async () => {
  const { store, namespace } = await memory.fresh();
  const many: Manifest = {
    ...nothing,
    entities: Array.from({ length: 1_025 }, (_, index) => ({ entity: `key-${String(index).padStart(4, '0')}` })),
  };
  const plan = await planManifest(store, many, { namespace });

  expect(planLines(plan).slice(18)).toEqual([
    '+ entity key-0018',
    '+ entity key-0019',
    '+ … and 1,005 more to create',
    '',
    'Plan: 1,025 to create, 0 to change, 0 to remove; 0 unchanged.',
  ]);
  expect(planLines(plan, { all: true })).toHaveLength(1_027);
});
