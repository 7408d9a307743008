import { beforeEach, describe, expect, it } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { type CreatedKey, credentialKey } from '../../lib/config/api-keys.js';
import { Limit } from '../../lib/core/limit.js';
import { EntityHasChildren } from '../../lib/errors.js';
import { entityPk } from '../../lib/store/schema.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const rph = [Limit.perHour('rph', 10)];

describe.each(eachStore)('deleting an entity on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  const left = (entity: string) => bed.store.queryItems(entityPk(bed.namespace, entity), '');
  const credential = async (secret: string) => (await bed.store.getItems([credentialKey(bed.namespace, secret)]))[0];

  /** A key below an organisation, with all that can hang on it. */
  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'org' });
    await admin.setLimits({ entity: 'key-123' }, rph);
    await admin.setLimits({ entity: 'key-123', resource: 'gpt-4' }, rph);
  });

  it('takes its keys, its limits, its record, and its places in its parent and the directory', async () => {
    const keys = [await admin.createKey({ entity: 'key-123' }), await admin.createKey({ entity: 'key-123' })];
    await admin.revokeKey({ entity: 'key-123', keyId: keys[0]!.keyId });

    await admin.deleteEntity('key-123');

    expect(await left('key-123')).toEqual([]);
    expect(await Promise.all(keys.map(({ secret }) => credential(secret)))).toEqual([undefined, undefined]);
    expect(await admin.children('org')).toEqual([]);
    expect(await admin.entities()).toEqual(['org']);
    expect(await admin.getEntity('key-123')).toBeUndefined();
    await admin.deleteEntity('org');
    expect(await admin.entities()).toEqual([]);
  });

  it('takes more keys than fit in one transaction', async () => {
    const keys: CreatedKey[] = [];
    // Not all at once: they are of one entity, and DynamoDB Local waits for a lock no longer than it likes.
    while (keys.length < 70)
      keys.push(...(await Promise.all(Array.from({ length: 10 }, () => admin.createKey({ entity: 'key-123' })))));

    await admin.deleteEntity('key-123');

    expect(await left('key-123')).toEqual([]);
    expect(await credential(keys[69]!.secret)).toBeUndefined();
  });

  it('leaves its bucket: made anew under the same name, it owes what it owed', async () => {
    const request = { entity: 'key-123', resource: 'gpt-4', consume: { rph: 7 } };
    await bed.limiter().acquire(request);

    await admin.deleteEntity('key-123');
    await admin.createEntity({ entity: 'key-123' });
    await admin.setLimits({ entity: 'key-123' }, rph);

    expect((await bed.limiter().tryAcquire(request)).granted).toBe(false);
  });

  it('is refused while it has children, and nothing is changed', async () => {
    const { secret } = await admin.createKey({ entity: 'org' });
    const before = await left('org');

    await expect(admin.deleteEntity('org')).rejects.toThrow(EntityHasChildren);
    await expect(admin.deleteEntity('org', { recursive: false })).rejects.toMatchObject({ entity: 'org', children: 1 });

    expect(await left('org')).toEqual(before);
    expect(await credential(secret)).toBeDefined();
  });

  it('takes everything below it when told to', async () => {
    await admin.createEntity({ entity: 'project', parent: 'org' });
    for (let key = 0; key < 20; key += 1) await admin.createEntity({ entity: `low-${key}`, parent: 'project' });
    const { secret } = await admin.createKey({ entity: 'low-7' });

    await admin.deleteEntity('org', { recursive: true });

    expect(await admin.entities()).toEqual([]);
    expect((await Promise.all(['org', 'project', 'key-123', 'low-0', 'low-19'].map(left))).flat()).toEqual([]);
    expect(await credential(secret)).toBeUndefined();
  });

  it('is the same twice, also at the same time, and where there never was one', async () => {
    await Promise.all([admin.deleteEntity('key-123'), admin.deleteEntity('key-123'), admin.deleteEntity('key-123')]);
    await admin.deleteEntity('key-123');
    await admin.deleteEntity('never');

    expect(await admin.entities()).toEqual(['org']);
    await admin.deleteEntity('org');
  });

  it('takes limits and keys of an entity without a record', async () => {
    await admin.setLimits({ entity: 'unrecorded' }, rph);
    const { secret } = await admin.createKey({ entity: 'unrecorded' });

    await admin.deleteEntity('unrecorded');

    expect(await left('unrecorded')).toEqual([]);
    expect(await credential(secret)).toBeUndefined();
  });

  it('refuses options it does not know', async () => {
    await expect(admin.deleteEntity('org', { recursive: 'yes' as never })).rejects.toMatchObject({ field: 'options.recursive' });
    await expect(admin.deleteEntity('org', { force: true } as never)).rejects.toMatchObject({ field: 'options.force' });
  });
});
