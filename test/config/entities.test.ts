import { beforeEach, describe, expect, it } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { EntityExists, InvalidArgument } from '../../lib/errors.js';
import { short } from '../support/long.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

describe.each(eachStore)('entities on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;

  /** `org > team > project`, and whatever else is given as [entity, parent]. */
  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await create(['org'], ['team', 'org'], ['project', 'team']);
  });

  async function create(...entities: readonly (readonly [string, string?])[]) {
    for (const [entity, parent] of entities) await admin.createEntity({ entity, parent });
  }
  const ancestors = async (entity: string) => (await admin.getEntity(entity))?.ancestors.join(' < ');

  it('come back as they were created', async () => {
    const created = await admin.createEntity({
      entity: 'key-1',
      parent: 'project',
      cascade: false,
      tier: 'pro',
      name: 'Key one',
      metadata: { seats: 3, tags: ['a'] },
    });

    expect(await admin.getEntity('key-1')).toEqual(created);
    expect(created).toEqual({
      entity: 'key-1',
      parent: 'project',
      cascade: false,
      ancestors: ['project', 'team', 'org'],
      tier: 'pro',
      name: 'Key one',
      metadata: { seats: 3, tags: ['a'] },
      createdAt: '2027-01-15T08:00:00.000Z',
    });
  });

  it('change in what is named, and lose what is set to null', async () => {
    await admin.createEntity({ entity: 'key-1', parent: 'project', tier: 'pro', name: 'One', metadata: { a: 1 } });

    const changed = await admin.updateEntity({ entity: 'key-1', name: 'Two', metadata: { b: [2] } });
    expect(changed).toMatchObject({ name: 'Two', metadata: { b: [2] }, tier: 'pro', parent: 'project', cascade: true });
    expect(await admin.getEntity('key-1')).toEqual(changed);

    const bare = await admin.updateEntity({ entity: 'key-1', name: null, metadata: null, tier: null, parent: null });
    expect(bare).toEqual({ entity: 'key-1', cascade: false, ancestors: [], createdAt: '2027-01-15T08:00:00.000Z' });
    expect(await admin.getEntity('key-1')).toEqual(bare);
    expect(await admin.children('project')).toEqual([]);
  });

  it('move with everything below them', async () => {
    await create(['key-1', 'project'], ['other']);

    await admin.updateEntity({ entity: 'team', parent: 'other' });

    expect(await ancestors('team')).toBe('other');
    expect(await ancestors('project')).toBe('team < other');
    expect(await ancestors('key-1')).toBe('project < team < other');
    expect(await admin.children('org')).toEqual([]);
    expect(await admin.children('other')).toEqual(['team']);
  });

  it.each([
    { to: null, above: '' },
    { to: 'org', above: 'org' },
  ])('move up to $to', async ({ to, above }) => {
    await create(['key-1', 'project']);

    await admin.updateEntity({ entity: 'project', parent: to });

    expect(await ancestors('project')).toBe(above);
    expect(await ancestors('key-1')).toBe(above === '' ? 'project' : `project < ${above}`);
    expect(await admin.children('team')).toEqual([]);
    await admin.deleteEntity('team');
    expect(await admin.children('org')).toEqual(above === '' ? [] : ['project']);
  });

  it('that moved are limited with their new ancestors', async () => {
    await create(['key-1', 'project'], ['other']);
    await admin.setLimits({ system: true }, [Limit.perHour('rph', 100)]);

    await admin.updateEntity({ entity: 'team', parent: 'other' });

    const { limits } = await bed.limiter().status({ entity: 'key-1', resource: 'gpt-4' });
    expect(limits.map(({ entity }) => entity)).toEqual(['key-1', 'project', 'team', 'other']);
  });

  it('do not draw on what stands above an entity that does not cascade', async () => {
    await create(['key-1', 'project']);
    await admin.setLimits({ system: true }, [Limit.perHour('rph', 100)]);
    await admin.updateEntity({ entity: 'team', cascade: false });

    const { limits } = await bed.limiter().status({ entity: 'key-1', resource: 'gpt-4' });

    expect(limits.map(({ entity }) => entity)).toEqual(['key-1', 'project', 'team']);
  });

  it('move with a subtree of more than a hundred, each of which follows', async () => {
    await create(['other'], ['small', 'project']);
    const keys = Array.from({ length: short(115, 230) }, (_, index) => `key-${String(index).padStart(3, '0')}`);
    await Promise.all(
      Array.from({ length: 5 }, (_, at) =>
        create(...keys.slice((at * keys.length) / 5, ((at + 1) * keys.length) / 5).map((key) => [key, 'project'] as const)),
      ),
    );

    await admin.updateEntity({ entity: 'team', parent: 'other' });

    expect(await admin.children('project')).toEqual([...keys, 'small']);
    expect([...new Set(await Promise.all(keys.map(ancestors)))]).toEqual(['project < team < other']);
  }, 60_000);

  it.each([
    { when: 'a parent is the entity itself', change: { entity: 'team', parent: 'team' }, expected: 'another entity than itself' },
    { when: 'a parent is its child', change: { entity: 'org', parent: 'team' }, expected: 'not below org' },
    { when: 'a parent is its grandchild', change: { entity: 'org', parent: 'project' }, expected: 'not below org' },
    { when: 'a parent does not exist', change: { entity: 'team', parent: 'none' }, expected: 'an entity that exists' },
    {
      when: 'there would be five levels with the subtree',
      change: { entity: 'tall', parent: 'team' },
      expected: 'an entity with at most 0 ancestors of its own (the entity has 2 levels below it)',
    },
    {
      when: 'there would be five levels with the new parents',
      change: { entity: 'single', parent: 'key-1' },
      expected: 'an entity with at most 2 ancestors of its own',
    },
  ])('are left as they were when $when', async ({ change, expected }) => {
    await create(['key-1', 'project'], ['single'], ['tall'], ['middle', 'tall'], ['low', 'middle']);
    const all = async () => Promise.all((await admin.entities()).map((entity) => admin.getEntity(entity)));
    const before = await all();

    await expect(admin.updateEntity(change)).rejects.toMatchObject({
      code: 'InvalidArgument',
      field: 'parent',
      expected: expect.stringContaining(expected),
    });

    expect(await all()).toEqual(before);
  });

  it.each([
    { parent: 'key-1', expected: 'an entity with at most 2 ancestors of its own' },
    { parent: 'none', expected: 'an entity that exists (createEntity makes one)' },
    { parent: 'key-9', expected: 'another entity than itself' },
  ])('are not created below $parent', async ({ parent, expected }) => {
    await create(['key-1', 'project']);

    await expect(admin.createEntity({ entity: 'key-9', parent })).rejects.toMatchObject({ field: 'parent', expected });

    expect(await admin.getEntity('key-9')).toBeUndefined();
    expect(await admin.entities()).not.toContain('key-9');
  });

  it('may stand four levels deep, also when they come there with a subtree', async () => {
    await create(['tall'], ['low', 'tall']);

    await admin.updateEntity({ entity: 'tall', parent: 'team' });

    expect(await ancestors('low')).toBe('tall < team < org');
  });

  it('are refused where they exist, and left as they were', async () => {
    await expect(admin.createEntity({ entity: 'team', name: 'Other' })).rejects.toThrow(EntityExists);

    expect(await ancestors('team')).toBe('org');
    expect(await admin.children('org')).toEqual(['team']);
  });

  it('are not changed where there is none', async () => {
    await expect(admin.updateEntity({ entity: 'none', name: 'x' })).rejects.toMatchObject({ field: 'entity', value: 'none' });
  });

  it('are listed in pages, each going on after the last', async () => {
    const keys = Array.from({ length: 25 }, (_, index) => `key-${String(index).padStart(2, '0')}`);
    await create(...keys.map((key) => [key, 'project'] as const));
    const pages = async (page: (after: string | undefined) => Promise<readonly string[]>) => {
      const found: (readonly string[])[] = [];
      do found.push(await page(found.at(-1)?.at(-1)));
      while (found.at(-1)?.length === 10);
      return found;
    };

    expect(await pages((after) => admin.children('project', { after, limit: 10 }))).toEqual([
      keys.slice(0, 10),
      keys.slice(10, 20),
      keys.slice(20),
    ]);
    const all = await pages((after) => admin.entities({ after, limit: 10 }));
    expect(all.map(({ length }) => length)).toEqual([10, 10, 8]);
    expect(all.flat()).toEqual(await admin.entities());
    expect(all.flat().sort()).toEqual([...keys, 'org', 'project', 'team']);
  });

  it.each([
    { page: { limit: 0 }, field: 'page.limit' },
    { page: { limit: 1.5 }, field: 'page.limit' },
    { page: { after: '' }, field: 'page.after' },
    { page: { first: 3 }, field: 'page.first' },
  ])('are not listed by $field of $page', async ({ page, field }) => {
    await expect(admin.children('org', page)).rejects.toMatchObject({ code: 'InvalidArgument', field });
    await expect(admin.entities(page)).rejects.toThrow(InvalidArgument);
  });
});
