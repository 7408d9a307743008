import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { conflictText } from '../../lib/manifest/conflict.js';
import type { Store } from '../../lib/store/store.js';
import { eachStore, START_MS, type TestBed } from '../support/stores.js';
import { company, manifests, NOTHING } from './companies.js';

/** Entities of a company that takes more than one transaction. */
const SIZE = 12;
const rpm = (amount: number) => [Limit.perMinute('rpm', amount)];

/** The bed's store, which calls `before` with the number of each transaction, from 1, before it is sent. */
function watched({ store }: TestBed, before: (transaction: number) => Promise<unknown>): Store {
  let transactions = 0;
  return {
    write: (write, options) => store.write(write, options),
    read: (key, options) => store.read(key, options),
    getItems: (keys, options) => store.getItems(keys, options),
    queryItems: (pk, prefix, options) => store.queryItems(pk, prefix, options),
    async transact(operations, options) {
      transactions += 1;
      await before(transactions);
      return store.transact(operations, options);
    },
  };
}

describe.each(eachStore)('of two applies on $name', ({ fresh }) => {
  it('at the same time one wins whole, and the other reports it and has changed nothing', async () => {
    const bed = await fresh();
    const [alice, bob] = [manifests(bed, { actor: 'alice' }), manifests(bed, { actor: 'bob' })];
    const [hers, his] = [await alice.plan(company(SIZE, 100)), await bob.plan(company(SIZE, 200))];

    const results = await Promise.all([alice.apply(hers), bob.apply(his)]);

    const won = results[0].applied ? 0 : 1;
    expect(results[won]).toEqual({ applied: true, revision: 1 });
    const winner = won === 0 ? 'alice' : 'bob';
    expect(results[1 - won]).toMatchObject({
      applied: false,
      written: 0,
      conflicts: [{ reason: 'applying', by: winner, sinceMs: START_MS, untilMs: START_MS + 15_000 }],
    });
    expect(await alice.plan(company(SIZE, won === 0 ? 100 : 200))).toMatchObject({ steps: [], unchanged: 27 });
    const history = await bed.admin().audit({ limit: 1_000 });
    expect(history).toHaveLength(27);
    expect(history.every(({ actor }) => actor === winner)).toBe(true);
  });

  it('after each other the later one names the revision that came in between, though it is about other things', async () => {
    const bed = await fresh();
    const [alice, bob] = [manifests(bed, { actor: 'alice' }), manifests(bed, { actor: 'bob' })];
    const hers = await alice.plan({ ...NOTHING, settings: [{ scope: { system: true }, limits: rpm(1), options: {} }] });
    const his = await bob.plan({ ...NOTHING, settings: [{ scope: { tier: 'pro' }, limits: rpm(2), options: {} }] });
    await alice.apply(hers);

    const result = await bob.apply(his);

    expect(result).toEqual({
      applied: false,
      written: 0,
      conflicts: [{ reason: 'applied', revision: 1, by: 'alice', atMs: START_MS }],
    });
    expect(result.applied ? [] : result.conflicts.map(conflictText)).toEqual([
      'revision 1 was applied by alice at 2027-01-15T08:00:00.000Z, after this was planned',
    ]);
    expect(await bed.admin().getLimits({ tier: 'pro' })).toBeUndefined();
  });

  it('the one that slept past its lease is refused its next write by the one that took over, which finishes the work', async () => {
    const bed = await fresh();
    const bob = manifests(bed, { actor: 'bob' });
    let taken: unknown;
    // The lease, a chunk; and before the second chunk it sleeps.
    const store = watched(bed, async (transaction) => {
      if (transaction !== 3) return;
      bed.clock.advance(15_000);
      taken = await bob.apply(await bob.plan(company(SIZE, 200)));
    });
    const alice = manifests(bed, { actor: 'alice', store });

    const result = await alice.apply(await alice.plan(company(SIZE, 100)));

    expect(taken).toEqual({ applied: true, revision: 1 });
    expect(result).toEqual({ applied: false, written: 15, conflicts: [{ reason: 'overtaken', by: 'bob' }] });
    expect(await bob.plan(company(SIZE, 200))).toMatchObject({ steps: [], unchanged: 27, base: { revision: 1 } });
  });

  it('the one that was interrupted is in the way until its lease ends; what was planned before it wrote is planned anew', async () => {
    const bed = await fresh();
    const bob = manifests(bed, { actor: 'bob' });
    const before = await bob.plan(company(SIZE, 200));
    const store = watched(bed, async (transaction) => {
      if (transaction >= 3) throw new Error('killed');
    });
    const alice = manifests(bed, { actor: 'alice', store });
    await expect(alice.apply(await alice.plan(company(SIZE, 100)))).rejects.toThrow('killed');

    expect(await bob.apply(await bob.plan(company(SIZE, 200)))).toMatchObject({
      conflicts: [{ reason: 'applying', by: 'alice' }],
    });
    bed.clock.advance(14_999);
    expect(await bob.apply(await bob.plan(company(SIZE, 200)))).toMatchObject({
      conflicts: [{ reason: 'applying', by: 'alice' }],
    });
    bed.clock.advance(1);
    expect(await bob.apply(before)).toMatchObject({ written: 0, conflicts: [{ reason: 'interrupted', revision: 0 }] });
    expect(await bob.apply(await bob.plan(company(SIZE, 200)))).toEqual({ applied: true, revision: 1 });
    expect(await bob.plan(company(SIZE, 200))).toMatchObject({ steps: [], unchanged: 27 });
  });
});

describe.each(eachStore)('an apply on $name that meets a change through another door', ({ fresh }) => {
  it('since it was planned changes nothing, names the thing, and is not in the way of the next', async () => {
    const bed = await fresh();
    const door = manifests(bed);
    const plan = await door.plan(company(SIZE));
    await bed.admin().setLimits({ tier: 'pro' }, rpm(7));
    await bed.admin().createEntity({ entity: 'key-9' });

    expect(await door.apply(plan)).toEqual({
      applied: false,
      written: 0,
      conflicts: [
        { reason: 'changed', thing: { kind: 'setting', scope: { tier: 'pro' } } },
        { reason: 'changed', thing: { kind: 'entity', entity: 'key-9' } },
      ],
    });
    expect(await bed.admin().audit()).toHaveLength(2);
    expect(await door.apply(await door.plan(company(SIZE)))).toEqual({ applied: true, revision: 1 });
  });

  it.each([
    { what: 'limits', planned: 'resource gpt-4o', door: 1 },
    { what: 'a plain change of an entity', planned: 'entity acme-0', door: 2 },
    { what: 'a move of an entity', planned: 'entity team-1', door: 3 },
    { what: 'a removal of an entity', planned: 'entity key-11', door: 4 },
  ])('while it writes does not overwrite $what', async ({ planned, door: which }) => {
    const bed = await fresh();
    const plain = manifests(bed);
    await plain.apply(await plain.plan(company(SIZE)));
    const full = company(SIZE);
    const after = {
      ...full,
      settings: full.settings
        .filter(({ scope }) => !('entity' in scope && scope.entity === 'key-11'))
        .map((one) => ('resource' in one.scope && !('entity' in one.scope) ? { ...one, limits: rpm(9) } : one)),
      entities: full.entities
        .filter(({ entity }) => entity !== 'key-11')
        .map((one) => (one.entity === 'acme-0' ? { ...one, name: 'Other' } : one))
        .map((one) => (one.entity === 'team-1' ? { ...one, parent: undefined } : one)),
    };
    let meddled = false;
    const admin = bed.admin({ actor: 'alice' });
    // Right before the first write after the lease.
    const store = watched(bed, async (transaction) => {
      if (transaction !== 2 || meddled) return;
      meddled = true;
      if (which === 1) await admin.setLimits({ resource: 'gpt-4o' }, rpm(3));
      if (which === 2) await admin.updateEntity({ entity: 'acme-0', name: 'Alice’s' });
      if (which === 3) await admin.updateEntity({ entity: 'team-1', name: 'Alice’s' });
      if (which === 4) await admin.updateEntity({ entity: 'key-11', name: 'Alice’s' });
    });
    const door = manifests(bed, { store });

    const result = await door.apply(await door.plan(after, { prune: true }));

    expect(result.applied ? [] : result.conflicts.map(conflictText)).toEqual([
      `${planned} was changed by somebody else after this was planned`,
    ]);
    const last = (await bed.admin().audit({ actor: 'alice' }))[0];
    const met = await bed.admin().audit({ limit: 1_000 });
    const sameThing = met.filter(({ target }) => JSON.stringify(target) === JSON.stringify(last?.target));
    expect(sameThing[0]).toEqual(last);
    expect(await plain.apply(await plain.plan(after, { prune: true }))).toMatchObject({ applied: true });
    expect(await plain.plan(after, { prune: true })).toMatchObject({ steps: [] });
  });
});
