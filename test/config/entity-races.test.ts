import { beforeEach, describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { ChangeConflict, HeadgateError } from '../../lib/errors.js';
import { intercepted } from '../admission/intercepted-store.js';
import { dynamo, memory, type TestBed } from '../support/stores.js';
import { faults } from './tree-faults.js';

/** An admin before whose call number `at` (from 0) something else happens, or whose process ends there. */
function interrupted({ store, clock, namespace }: TestBed, at: number, meanwhile: () => Promise<unknown>) {
  const seen = { calls: 0 };
  const around = async <T>(call: () => Promise<T>): Promise<T> => {
    seen.calls += 1;
    if (seen.calls === at + 1) await meanwhile();
    return call();
  };
  return { admin: new HeadgateAdmin({ store: intercepted(store, around), clock, namespace }), seen };
}

/** What came of something: done, or the code of the error. */
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof HeadgateError ? error.code : String(error)),
  );

let bed: TestBed;
let admin: HeadgateAdmin;
const create = async (...entities: readonly (readonly [string, (string | undefined)?])[]) => {
  for (const [entity, parent] of entities) await admin.createEntity({ entity, parent });
};
beforeEach(async () => {
  bed = await memory.fresh();
  admin = bed.admin();
});

/** Every call of `first` is interrupted by `second` once; what came of both, as a set. */
async function everyInterleaving(
  prepare: () => Promise<unknown>,
  first: (admin: HeadgateAdmin) => Promise<unknown>,
  second: (admin: HeadgateAdmin) => Promise<unknown>,
): Promise<readonly string[]> {
  const outcomes = new Set<string>();
  for (let at = 0; ; at += 1) {
    bed = await memory.fresh();
    admin = bed.admin();
    await prepare();
    let other = 'not asked';
    const { admin: one, seen } = interrupted(bed, at, async () => {
      other = await outcome(second(admin));
    });
    const own = await outcome(first(one));
    expect(await faults(bed)).toEqual([]);
    if (seen.calls <= at) return [...outcomes].sort();
    outcomes.add(`${own}, ${other}`);
  }
}

describe('two changes at the same time leave a whole tree', () => {
  it('when two moves would close a circle together: one is refused', async () => {
    const outcomes = await everyInterleaving(
      () => create(['a'], ['b']),
      (one) => one.updateEntity({ entity: 'a', parent: 'b' }),
      (other) => other.updateEntity({ entity: 'b', parent: 'a' }),
    );

    expect(outcomes).toEqual(['InvalidArgument, done']);
  });

  it('when two moves would close a circle over four entities: one is refused', async () => {
    const outcomes = await everyInterleaving(
      () => create(['a'], ['low-a', 'a'], ['b'], ['low-b', 'b']),
      (one) => one.updateEntity({ entity: 'a', parent: 'low-b' }),
      (other) => other.updateEntity({ entity: 'b', parent: 'low-a' }),
    );

    expect(outcomes).toEqual(['InvalidArgument, done']);
  });

  it('when a child is created while its parent is deleted', async () => {
    const outcomes = await everyInterleaving(
      () => create(['org'], ['team', 'org']),
      (one) => one.deleteEntity('team'),
      (other) => other.createEntity({ entity: 'key', parent: 'team' }),
    );

    expect(outcomes).toEqual(['EntityHasChildren, done', 'done, InvalidArgument']);
  });

  it('when a parent is deleted while a child is created', async () => {
    const outcomes = await everyInterleaving(
      () => create(['org'], ['team', 'org']),
      (one) => one.createEntity({ entity: 'key', parent: 'team' }),
      (other) => other.deleteEntity('team'),
    );

    expect(outcomes).toEqual(['InvalidArgument, done']);
  });

  it('when something is created at the bottom of what moves', async () => {
    const outcomes = await everyInterleaving(
      () => create(['org'], ['tall'], ['low', 'tall']),
      (one) => one.updateEntity({ entity: 'tall', parent: 'org' }),
      (other) => other.createEntity({ entity: 'lower', parent: 'low' }),
    );

    expect(outcomes).toEqual(['done, done']);
  });

  it('when something created at the bottom makes it too tall for where it moves', async () => {
    const outcomes = await everyInterleaving(
      () => create(['org'], ['team', 'org'], ['tall'], ['low', 'tall']),
      (one) => one.updateEntity({ entity: 'tall', parent: 'team' }),
      (other) => other.createEntity({ entity: 'lower', parent: 'low' }),
    );

    expect(outcomes).toEqual(['InvalidArgument, done']);
  });

  it('when an entity moves while its new parent moves', async () => {
    const outcomes = await everyInterleaving(
      () => create(['a'], ['b'], ['c'], ['key', 'a']),
      (one) => one.updateEntity({ entity: 'key', parent: 'b' }),
      (other) => other.updateEntity({ entity: 'b', parent: 'c' }),
    );

    expect(outcomes).toEqual(['done, done']);
  });

  it('when a tier changes above while a large subtree follows a move', async () => {
    const outcomes = await everyInterleaving(
      async () => {
        await create(['org'], ['other'], ['team', 'org']);
        await Promise.all(Array.from({ length: 250 }, (_, key) => create([`key-${key}`, 'team'])));
      },
      (one) => one.updateEntity({ entity: 'team', parent: 'other' }),
      (other) => other.updateEntity({ entity: 'other', tier: 'pro' }),
    );

    expect(outcomes).toEqual(['done, done']);
  });
});

describe('a change that is interrupted is finished by the same call', () => {
  async function everyCrash(prepare: () => Promise<unknown>, change: (admin: HeadgateAdmin) => Promise<unknown>) {
    for (let at = 0; ; at += 1) {
      bed = await memory.fresh();
      admin = bed.admin();
      await prepare();
      const { admin: killed, seen } = interrupted(bed, at, () => Promise.reject(new Error('killed')));
      const own = await outcome(change(killed));
      if (seen.calls <= at) return at;
      expect(own).toBe('Error: killed');
      await change(admin);
      expect(await faults(bed)).toEqual([]);
    }
  }

  it('when a large subtree moves', async () => {
    const points = await everyCrash(
      async () => {
        await create(['org'], ['other'], ['team', 'org']);
        await Promise.all(Array.from({ length: 250 }, (_, key) => create([`key-${key}`, 'team'])));
        await create(['low', 'key-7']);
      },
      (one) => one.updateEntity({ entity: 'team', parent: 'other' }),
    );

    expect(points).toBeGreaterThan(10);
    expect((await admin.getEntity('low'))?.ancestors).toEqual(['key-7', 'team', 'other']);
  });

  it('when a tree is deleted', async () => {
    await everyCrash(
      () => create(['org'], ['team', 'org'], ['key', 'team']),
      (one) => one.deleteEntity('org', { recursive: true }),
    );

    expect(await admin.entities()).toEqual([]);
  });
});

it('an entity that others change all the time is a conflict after eight attempts, and not changed', async () => {
  await create(['org'], ['team', 'org']);
  let changes = 0;
  const store = intercepted(bed.store, async (proceed, { method }) => {
    if (method === 'transact') {
      changes += 1;
      await admin.updateEntity({ entity: 'team', name: `Name ${changes}` });
    }
    return proceed();
  });
  const contended = new HeadgateAdmin({ store, clock: bed.clock, namespace: bed.namespace });

  await expect(contended.updateEntity({ entity: 'team', tier: 'pro' })).rejects.toThrow(ChangeConflict);

  expect(changes).toBe(8);
  expect(await admin.getEntity('team')).not.toHaveProperty('tier');
});

it('a storm of creations, moves and deletions on DynamoDB leaves a whole tree', async () => {
  bed = await dynamo.fresh();
  admin = bed.admin();
  const name = (index: number) => `e-${index % 12}`;
  for (let index = 0; index < 6; index += 1) await create([name(index), index > 1 ? name(index - 2) : undefined]);
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const outcomes: string[] = [];
  for (let round = 0; round < 12; round += 1) {
    const work = Array.from({ length: 8 }, () => {
      const [entity, parent, kind] = [name(random(12)), name(random(12)), random(4)];
      if (kind === 0) return admin.deleteEntity(entity);
      if (kind === 1) return admin.createEntity({ entity, parent: random(3) === 0 ? undefined : parent });
      return admin.updateEntity({ entity, parent: random(4) === 0 ? null : parent });
    });
    outcomes.push(...(await Promise.all(work.map(outcome))));
    expect(await faults(bed)).toEqual([]);
  }

  expect(outcomes.filter((one) => one === 'done').length).toBeGreaterThan(20);
  expect(
    [...new Set(outcomes)].filter(
      (one) => !['done', 'InvalidArgument', 'EntityExists', 'EntityHasChildren', 'ChangeConflict'].includes(one),
    ),
  ).toEqual([]);
}, 120_000);
