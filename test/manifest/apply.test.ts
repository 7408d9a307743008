import { describe, expect, it } from 'vitest';
import { planLines } from '../../cli/plan-text.js';
import { Limit } from '../../lib/core/limit.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { countsOf } from '../../lib/manifest/plan.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { countCalls, createTestTable, testClient } from '../support/dynamodb.js';
import { eachStore, testBed } from '../support/stores.js';
import { company, manifests, NOTHING } from './companies.js';

const rpm = (amount: number) => [Limit.perMinute('rpm', amount)];

describe.each(eachStore)('an apply on $name', ({ fresh }) => {
  it('stores what the manifest says: the next plan is empty, and what is exported says the same', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    const plan = await door.plan(company(40));

    expect(await door.apply(plan)).toEqual({ applied: true, revision: 1 });

    expect(await door.plan(company(40))).toMatchObject({ base: { revision: 1 }, steps: [], unchanged: 83, kept: [] });
    const exported = await door.export();
    expect(exported.entities).toHaveLength(40);
    expect(await door.plan(exported)).toMatchObject({ steps: [], unchanged: 83 });
    expect(await bed.admin().getEntity('key-7')).toMatchObject({ ancestors: ['team-2', 'acme-0'], tier: 'pro', cascade: true });
    expect(await bed.admin().children('acme-0')).toEqual(['team-1', 'team-2', 'team-3']);
    expect(await bed.admin().getLimits({ entity: 'key-7', resource: 'gpt-4o' })).toMatchObject([
      { name: 'rpm' },
      { name: 'tpm' },
    ]);
  });

  it('stores what inherits: limiters have the limits of both scopes, and one shard that stands against eight is a change', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    const inheriting = (options: { readonly shards?: number }): Manifest => ({
      ...NOTHING,
      settings: [
        { scope: { system: true }, limits: [Limit.perHour('rph', 80), Limit.perHour('tph', 800)], options: { shards: 8 } },
        { scope: { entity: 'key-1' }, limits: [Limit.perHour('rph', 160)], options: { inherit: true, ...options } },
      ],
    });
    await door.apply(await door.plan(inheriting({})));
    const on = { entity: 'key-1', resource: 'gpt-4o' };

    expect(await bed.limiter().available(on)).toEqual({ rph: 160, tph: 800 });
    expect((await bed.limiter().status(on)).limits.map(({ shards }) => shards)).toEqual([8, 8]);
    const plan = await door.plan(inheriting({ shards: 1 }));
    expect(planLines(plan)).toContain('    ~ shards: none -> 1');
    await door.apply(plan);
    expect((await bed.limiter().status(on)).limits.map(({ shards }) => shards)).toEqual([undefined, undefined]);
    expect((await door.export()).settings).toEqual(inheriting({ shards: 1 }).settings);
    expect(await door.plan(await door.export())).toMatchObject({ steps: [] });
  });

  it('stores schedules: limiters hold to the form in force, a changed entry is a change, and the export has them', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    // The clock stands at 08:00 UTC.
    const scheduled = (scale: number): Manifest => ({
      ...NOTHING,
      settings: [
        {
          scope: { system: true },
          limits: [Limit.perHour('rph', 10, { schedule: [{ cron: '* 9 * * *', timeZone: 'Europe/Paris', scale }] })],
          options: {},
        },
      ],
    });
    await door.apply(await door.plan(scheduled(3)));
    const on = { entity: 'key-1', resource: 'gpt-4o' };

    expect(await bed.limiter().available(on)).toEqual({ rph: 30 });
    const plan = await door.plan(scheduled(2));
    expect(planLines(plan)).toContain(
      '    ~ rph=10/hour; x3 at * 9 * * * Europe/Paris -> rph=10/hour; x2 at * 9 * * * Europe/Paris',
    );
    await door.apply(plan);
    expect(await bed.limiter().available(on)).toEqual({ rph: 20 });
    expect((await door.export()).settings).toEqual(scheduled(2).settings);
    bed.clock.advance(3_600_000);
    expect(await bed.limiter().available(on)).toEqual({ rph: 10 });
  });

  it('makes a whole tree: what it made can be moved and deleted', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(company(12)));

    await bed.admin().updateEntity({ entity: 'key-4', parent: 'key-5' });
    await bed.admin().deleteEntity('acme-0', { recursive: true });

    expect(await door.export()).toMatchObject({ entities: [] });
  });

  it('leaves one record in the history of each thing that it changed, by who applied', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(company(12)));
    const first = await bed.admin().audit({ limit: 1_000 });
    bed.clock.advance(1_000);

    await door.apply(await door.plan({ ...company(12), settings: company(12, 61).settings.slice(0, 5) }));

    expect(first).toHaveLength(27);
    expect(new Set(first.map(({ target, action }) => `${action} ${JSON.stringify(target)}`)).size).toBe(27);
    expect(first.every(({ actor }) => actor === 'operator')).toBe(true);
    const second = (await bed.admin().audit({ limit: 1_000 })).slice(0, -27);
    expect(second).toHaveLength(5);
    expect(second.at(-1)).toMatchObject({
      action: 'limits.set',
      target: { system: true },
      from: { limits: [{ capacity: 60 }] },
      to: { limits: [{ capacity: 61 }] },
    });
  });

  it('moves, renames and changes entities with everything below them', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    const before: Manifest = {
      ...NOTHING,
      settings: [{ scope: { tier: 'pro' }, limits: rpm(1), options: {} }],
      entities: [
        { entity: 'a' },
        { entity: 'b', parent: 'a', cascade: false },
        { entity: 'c', parent: 'b', name: 'C', metadata: { seats: 1 } },
        { entity: 'd', parent: 'c' },
      ],
    };
    const after: Manifest = {
      ...before,
      entities: [
        { entity: 'a', tier: 'pro' },
        { entity: 'new', parent: 'a' },
        { entity: 'b', parent: 'new', cascade: false },
        { entity: 'c', parent: 'b', name: 'Sea' },
        { entity: 'd' },
      ],
    };
    await door.apply(await door.plan(before));

    expect(await door.apply(await door.plan(after))).toEqual({ applied: true, revision: 2 });

    expect(await door.plan(after)).toMatchObject({ steps: [], unchanged: 6 });
    const get = (entity: string) => bed.admin().getEntity(entity);
    expect(await get('c')).toMatchObject({ name: 'Sea', ancestors: ['b', 'new', 'a'] });
    expect(await get('c')).not.toHaveProperty('metadata');
    expect(await get('b')).toMatchObject({ cascade: false });
    expect(await get('d')).toMatchObject({ ancestors: [], cascade: false });
    expect(await bed.admin().children('a')).toEqual(['new']);
  });

  it('turns a chain of four upside down', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    const chain = (...names: readonly string[]): Manifest => ({
      ...NOTHING,
      entities: names.map((entity, index) => ({ entity, parent: names[index - 1] })),
    });
    await door.apply(await door.plan(chain('a', 'b', 'c', 'd')));

    await door.apply(await door.plan(chain('d', 'c', 'b', 'a')));

    expect(await door.plan(chain('d', 'c', 'b', 'a'))).toMatchObject({ steps: [], unchanged: 4 });
    expect(await bed.admin().getEntity('a')).toMatchObject({ ancestors: ['b', 'c', 'd'] });
  });

  it('manages from then on what others had stored as the manifest says, without a change of it', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await bed.admin().setLimits({ system: true }, rpm(60));
    await bed.admin().createEntity({ entity: 'acme' });
    const manifest: Manifest = {
      ...NOTHING,
      settings: [{ scope: { system: true }, limits: rpm(60), options: {} }],
      entities: [{ entity: 'acme' }],
    };
    await door.apply(await door.plan(manifest));

    expect(await bed.admin().audit()).toHaveLength(2);
    expect(await door.plan(manifest)).toMatchObject({ steps: [], unchanged: 2 });
    expect(countsOf(await door.plan(NOTHING, { prune: true }))).toMatchObject({ remove: 2 });
  });

  it('says how far it has come', async () => {
    const door = manifests(await fresh());
    const told: number[] = [];

    await door.apply(await door.plan(company(12)), {
      onProgress: ({ done, total }) => {
        expect(total).toBe(27);
        told.push(done);
      },
    });

    expect(told.at(-1)).toBe(27);
    expect(told).toEqual([...new Set(told)].sort((a, b) => a - b));
  });

  it('refuses a plan of another namespace', async () => {
    const door = manifests(await fresh());
    const plan = await door.plan(NOTHING);

    await expect(door.apply({ ...plan, namespace: 'other' })).rejects.toMatchObject({ code: 'InvalidArgument' });
    await expect(door.plan({ ...NOTHING, namespace: 'other' })).rejects.toMatchObject({ field: 'manifest.namespace' });
  });

  it('tells what drifted, and who did it; the next apply takes it back', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    await door.apply(await door.plan(company(20)));
    expect(await door.drift()).toEqual([]);
    bed.clock.advance(60_000);
    const alice = bed.admin({ actor: 'alice' });
    await alice.setLimits({ resource: 'gpt-4o' }, rpm(1));
    await alice.deleteLimits({ tier: 'pro' });
    await alice.updateEntity({ entity: 'key-9', name: 'Nine' });

    expect(await door.drift()).toEqual([
      {
        thing: { kind: 'entity', entity: 'key-9' },
        kind: 'changed',
        last: { actor: 'alice', at: '2027-01-15T08:01:00.000Z' },
      },
      {
        thing: { kind: 'setting', scope: { resource: 'gpt-4o' } },
        kind: 'changed',
        last: { actor: 'alice', at: '2027-01-15T08:01:00.000Z' },
      },
      { thing: { kind: 'setting', scope: { tier: 'pro' } }, kind: 'deleted', last: undefined },
    ]);
    const plan = await door.plan(company(20));
    expect(planLines(plan)).toEqual([
      '+ tier pro (changed by somebody else since it was applied)',
      '    rpm=60/minute',
      '    allowedResources: ["gpt-4o*"]',
      '~ resource gpt-4o (changed by somebody else since it was applied)',
      '    ~ rpm=1/minute -> rpm=60/minute',
      '    ~ shards: none -> 2',
      '~ entity key-9 (changed by somebody else since it was applied)',
      '    ~ name: Nine -> Name of key-9',
      '',
      'Plan: 1 to create, 2 to change, 0 to remove; 40 unchanged.',
    ]);
    await door.apply(plan);
    expect(await door.drift()).toEqual([]);
  });
});

it('writes what changed and nothing else: no write for an empty plan, one for one limit of a hundred', async () => {
  const client = testClient();
  const bed = testBed(new DynamoStore({ client, tableName: await createTestTable() }));
  const door = manifests(bed);
  await door.apply(await door.plan(company(50)));
  const calls = countCalls(client);

  await door.apply(await door.plan(company(50)));
  expect(calls.byCommand.TransactWriteItemsCommand).toBeUndefined();

  const [system, ...others] = company(50).settings;
  const changed = { ...company(50), settings: [...others, { ...system!, limits: rpm(61) }] };
  await door.apply(await door.plan(changed));
  // The lease, the limit, the lease back.
  expect(calls.byCommand.TransactWriteItemsCommand).toBe(3);
  expect(await door.plan(changed)).toMatchObject({ base: { revision: 2 }, steps: [] });
});
