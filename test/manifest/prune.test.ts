import { describe, expect, it } from 'vitest';
import { planLines } from '../../cli/plan-text.js';
import { metaKey } from '../../lib/config/config-records.js';
import { Limit } from '../../lib/core/limit.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { eachStore } from '../support/stores.js';
import { company, manifests, NOTHING } from './companies.js';

const rpm = (amount: number) => [Limit.perMinute('rpm', amount)];
const family: Manifest = {
  ...NOTHING,
  settings: [
    { scope: { system: true }, limits: rpm(60), options: {} },
    { scope: { tier: 'pro' }, limits: rpm(60), options: {} },
    { scope: { entity: 'key' }, limits: rpm(6), options: {} },
  ],
  entities: [
    { entity: 'acme', tier: 'pro' },
    { entity: 'team', parent: 'acme' },
    { entity: 'key', parent: 'team' },
  ],
};
const { settings } = family;
const withoutAcme: Manifest = { ...family, settings: settings.slice(0, 1), entities: [] };

describe.each(eachStore)('what is no longer in the manifest, on $name,', ({ fresh }) => {
  it('stays, unless told to prune', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(family));

    const plan = await door.plan(withoutAcme);

    expect(planLines(plan)).toEqual([
      '  entity acme is no longer in the manifest and stays: --prune removes it',
      '  entity key is no longer in the manifest and stays: --prune removes it',
      '  limits of entity key is no longer in the manifest and stays: --prune removes it',
      '  entity team is no longer in the manifest and stays: --prune removes it',
      '  tier pro is no longer in the manifest and stays: --prune removes it',
      '',
      'Nothing to change: 1 unchanged.',
    ]);
    expect(plan.steps).toEqual([]);
  });

  it('goes with its keys when told to, from the bottom up, and what nobody manages stays', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(family));
    await bed.admin().createKey({ entity: 'key' });
    await bed.admin().setLimits({ entity: 'key', resource: 'gpt-4o' }, rpm(2));
    await bed.admin().createEntity({ entity: 'by-hand' });
    await bed.admin().setLimits({ resource: 'by-hand' }, rpm(2));

    const plan = await door.plan(withoutAcme, { prune: true });

    expect(planLines(plan)).toEqual([
      '- limits of entity key',
      '- tier pro',
      '- entity key, with its keys and limits',
      '- entity team, with its keys and limits',
      '- entity acme, with its keys and limits',
      '',
      'Plan: 0 to create, 0 to change, 5 to remove; 1 unchanged.',
    ]);
    expect(await door.apply(plan)).toEqual({ applied: true, revision: 2 });
    const left = await door.export();
    expect(left.settings.map(({ scope }) => scope)).toEqual([{ resource: 'by-hand' }, { system: true }]);
    expect(left.entities).toEqual([{ entity: 'by-hand' }]);
    expect(await bed.admin().keys('key')).toEqual([]);
    expect(await door.plan(withoutAcme, { prune: true })).toMatchObject({ steps: [], unchanged: 1 });
  });

  it('stays where a child of somebody else hangs on it, and so does what that hangs on', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(family));
    await bed.admin().createEntity({ entity: 'by-hand', parent: 'team' });

    const plan = await door.plan({ ...NOTHING, settings: settings.slice(0, 2) }, { prune: true });

    expect(planLines(plan)).toEqual([
      '- limits of entity key',
      '- entity key, with its keys and limits',
      '  entity team is no longer in the manifest and stays: it has children that no manifest manages',
      '  entity acme is no longer in the manifest and stays: it has children that no manifest manages',
      '',
      'Plan: 0 to create, 0 to change, 2 to remove; 2 unchanged.',
    ]);
    expect(await door.apply(plan)).toMatchObject({ applied: true });
  });

  it('goes when its children move away in the same plan', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(family));
    const flat: Manifest = {
      ...family,
      entities: [
        { entity: 'acme', tier: 'pro' },
        { entity: 'key', parent: 'acme' },
      ],
    };

    await door.apply(await door.plan(flat, { prune: true }));

    expect(await door.plan(flat, { prune: true })).toMatchObject({ steps: [], unchanged: 5, kept: [] });
    expect(await bed.admin().children('acme')).toEqual(['key']);
  });

  it('is refused where the manifest still has limits of an entity that would go with them', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(family));

    await expect(door.plan({ ...family, entities: family.entities.slice(0, 2) }, { prune: true })).rejects.toMatchObject({
      code: 'InvalidArgument',
      value: 'key',
    });
  });

  it('is only managed no longer where somebody deleted it already', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(family));
    await bed.admin().deleteEntity('key');

    const plan = await door.plan(withoutAcme, { prune: true });

    expect(planLines(plan)).toEqual([
      '- limits of entity key (is gone already: no longer managed)',
      '- tier pro',
      '- entity team, with its keys and limits',
      '- entity acme, with its keys and limits',
      '- entity key (is gone already: no longer managed)',
      '',
      'Plan: 0 to create, 0 to change, 5 to remove; 1 unchanged.',
    ]);
    await door.apply(plan);
    expect(await door.drift()).toEqual([]);
  });

  it('is brought to its end where a deletion was interrupted, and made anew where the manifest wants it', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(family));
    await bed.store.transact([
      { kind: 'update', key: metaKey(bed.namespace, 'key'), set: { deleting: true }, add: { version: 1 } },
    ]);

    expect(await door.apply(await door.plan(family))).toMatchObject({ applied: true });
    expect(await bed.admin().getEntity('key')).toMatchObject({ parent: 'team' });
    expect(await bed.admin().children('team')).toEqual(['key']);
    // Its limits went with it, and came back.
    expect(await bed.admin().getLimits({ entity: 'key' })).toEqual(rpm(6));
  });
});

it('prunes hundreds', async () => {
  const bed = await (eachStore[0] as (typeof eachStore)[number]).fresh();
  const door = manifests(bed);
  await door.apply(await door.plan(company(300)));

  await door.apply(await door.plan(NOTHING, { prune: true }));

  expect(await door.export()).toEqual({ namespace: bed.namespace, settings: [], entities: [] });
});
