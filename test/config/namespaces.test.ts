import { inspect } from 'node:util';
import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { beforeEach, describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { FakeClock } from '../../lib/clock.js';
import type { PurgeProgress } from '../../lib/config/namespace-registry.js';
import { Limit } from '../../lib/core/limit.js';
import { NamespaceExists } from '../../lib/errors.js';
import { RateLimiter } from '../../lib/limiter.js';
import { HeadgateNamespaces } from '../../lib/namespaces.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { leasePk, usageSk } from '../../lib/store/schema.js';
import type { Item, ItemKey, Store, WholeTable } from '../../lib/store/store.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { START_MS } from '../support/stores.js';

interface Table {
  readonly store: Store & WholeTable;
  /** Every item there is, buckets too, as text in the order of their keys. */
  readonly items: () => Promise<readonly string[]>;
}

const keyOf = ({ pk, sk }: ItemKey) => `${pk} ${sk}`;

const each = [
  {
    name: 'memory',
    fresh: async (): Promise<Table> => {
      const store = new MemoryStore();
      const items = async () => {
        const { keys } = await store.scanKeys({ pkPrefix: '', most: 100_000 });
        const full = await Promise.all(
          keys.map(async (key) => {
            const [, , resource = '', entity = '', shard] = key.pk.split('#');
            const bucket = { namespace: key.pk.split('#')[0] ?? '', resource, entity, shard: Number(shard) };
            const [item] = await store.getItems([key]);
            return item ?? { ...key, bucket: inspect(await store.read(bucket)) };
          }),
        );
        return full.map((item) => `${keyOf(item)} ${JSON.stringify(item)}`).sort();
      };
      return { store, items };
    },
  },
  {
    name: 'DynamoDB',
    fresh: async (): Promise<Table> => {
      const tableName = await createTestTable();
      const client = testClient();
      const items = async () => {
        const { Items = [], LastEvaluatedKey } = await client.send(
          new ScanCommand({ TableName: tableName, ConsistentRead: true }),
        );
        expect(LastEvaluatedKey).toBeUndefined();
        return Items.map((item) => `${item.pk?.S} ${item.sk?.S} ${JSON.stringify(item)}`).sort();
      };
      return { store: new DynamoStore({ client, tableName }), items };
    },
  },
];

const NAMES = ['acme', 'acme-2', 'acm', 'ACME', 'acme ', 'é*'];
const call = { entity: 'key-1', resource: 'gpt-4' };

describe.each(each)('namespaces of the $name store', ({ fresh }) => {
  let table: Table;
  let clock: FakeClock;
  let namespaces: HeadgateNamespaces;
  const admin = (namespace: string) => new HeadgateAdmin({ store: table.store, clock, namespace, actor: 'ada' });
  const limiter = (namespace: string) => new RateLimiter({ store: table.store, clock, namespace, deadlineMs: 30_000 });
  const by = (actor: string) => new HeadgateNamespaces({ store: table.store, clock, actor });
  const itemsOf = async (namespace: string) => (await table.items()).filter((item) => item.startsWith(`${namespace}#`));
  /** Those whose partition begins with `{ns}#{kind}#`. */
  const kindsOf = async (namespace: string) =>
    [...new Set((await itemsOf(namespace)).map((item) => item.split(/[# ]/)[namespace.split(/[# ]/).length] ?? ''))].sort(
      (a, b) => a.localeCompare(b),
    );

  /** One of everything that a namespace can hold; the same names in each, another capacity. */
  async function furnish(namespace: string, capacity: number): Promise<void> {
    const of = admin(namespace);
    await of.setLimits({ system: true }, [Limit.perHour('rph', capacity)]);
    await of.setLimits({ resource: 'gpt-4' }, [Limit.perHour('rph', capacity)], { shards: 2 });
    await of.setLimits({ tier: 'pro' }, [Limit.perHour('rph', capacity)]);
    await of.createEntity({ entity: 'org' });
    await of.createEntity({ entity: 'key-1', parent: 'org', cascade: false });
    await of.setLimits({ entity: 'key-1' }, [Limit.perHour('rph', capacity)]);
    await of.createKey({ entity: 'key-1' });
    await limiter(namespace).acquire({ ...call, consume: { rph: 3 } });
    await limiter(namespace).acquire({ ...call, entity: 'stranger', consume: { rph: 1 } });
    const bucket = { namespace, resource: 'gpt-4', entity: 'key-1', shard: 0 };
    const usage = (pk: string): Item => ({ pk, sk: usageSk('day', '2027-01-15T00:00:00Z', bucket), c_rph: 3 });
    const more: Item[] = [
      usage(`${namespace}#e#key-1`),
      usage(`${namespace}#r#gpt-4#3`),
      usage(`${namespace}#ns#15`),
      { pk: leasePk(namespace, 'lease-1'), sk: 'lease', settled: 1 },
    ];
    await table.store.transact(more.map((item) => ({ kind: 'put', item })));
  }

  beforeEach(async () => {
    table = await fresh();
    clock = new FakeClock(START_MS);
    namespaces = by('ada');
  });

  it('never meet: the same entities, resources and keys in each have limits, levels and histories of their own', async () => {
    const [one, other] = [admin('acme'), admin('acme-2')];
    await furnish('acme', 10);
    await furnish('acme-2', 20);

    expect(await limiter('acme').available(call)).toEqual({ rph: 7 });
    expect(await limiter('acme-2').available(call)).toEqual({ rph: 17 });
    expect(await limiter('acm').available({ ...call, limits: [Limit.perHour('rph', 5)] })).toEqual({ rph: 5 });
    expect([await one.entities(), await other.entities(), await admin('acm').entities()].map((names) => names.length)).toEqual([
      2, 2, 0,
    ]);
    const [key] = await one.keys('key-1');
    expect((await other.keys('key-1')).map(({ keyId }) => keyId)).not.toContain(key!.keyId);
    await expect(other.revokeKey({ entity: 'key-1', keyId: key!.keyId })).rejects.toMatchObject({ field: 'keyId' });
    await expect(other.rotateKey({ entity: 'key-1', keyId: key!.keyId })).rejects.toMatchObject({ field: 'keyId' });
    expect((await one.audit()).length).toBe(7);

    await one.deleteEntity('org', { recursive: true });
    await one.reset(call);
    expect([(await one.entities()).length, (await other.entities()).length]).toEqual([0, 2]);
    expect(await limiter('acme-2').available(call)).toEqual({ rph: 17 });
    expect((await one.audit({ limit: 2 })).map(({ action }) => action)).toEqual(['bucket.reset', 'entity.delete']);
    expect((await other.audit()).length).toBe(7);
  });

  it('are each purged to the last item, and every item of every other stays as it was', async () => {
    for (const [index, name] of NAMES.entries()) await furnish(name, 10 + index);
    await namespaces.register({ namespace: 'acme' });
    await namespaces.register({ namespace: 'acme-2' });
    const before = await table.items();
    expect(await kindsOf('acme')).toEqual(['audit', 'b', 'config', 'dir', 'e', 'key', 'lease', 'ns', 'r']);

    const { deleted, examined } = await namespaces.purge('acme', { includeAudit: true });

    const own = (item: string) => item.startsWith('acme#') || item.startsWith('#');
    expect((await table.items()).filter((item) => !own(item))).toEqual(before.filter((item) => !own(item)));
    expect(await itemsOf('acme')).toEqual([]);
    const was = before.filter((item) => item.startsWith('acme#')).length;
    // What was configured for all is deleted without being looked for.
    expect([deleted, was - deleted]).toEqual([was - 3, 3]);
    expect(examined).toBeGreaterThan(before.length);
    expect((await namespaces.list()).map(({ namespace }) => namespace)).toEqual(['acme-2']);
    await expect(limiter('acme').acquire({ ...call, consume: { rph: 1 } })).rejects.toMatchObject({ code: 'NoLimitsConfigured' });
    expect(await limiter('acme-2').available(call)).toEqual({ rph: 8 });
  });

  it('keep their history when they are purged, unless told otherwise', async () => {
    await furnish('acme', 10);
    const history = await admin('acme').audit();
    expect(history.length).toBe(7);

    await namespaces.purge('acme');

    expect(await kindsOf('acme')).toEqual(['audit']);
    expect(await admin('acme').audit()).toEqual(history);
    await namespaces.purge('acme', { includeAudit: true });
    expect(await itemsOf('acme')).toEqual([]);
  });

  it('are registered once, listed in order and in pages, and forgotten when they are purged', async () => {
    const record = await by('eve').register({ namespace: 'b', title: 'Bee', metadata: { plan: ['x', 1.5, null] } });
    expect(record).toEqual({
      namespace: 'b',
      title: 'Bee',
      metadata: { plan: ['x', 1.5, null] },
      registeredAt: '2027-01-15T08:00:00.000Z',
      registeredBy: 'eve',
    });
    for (const namespace of ['c', 'a', 'é']) await namespaces.register({ namespace });
    expect(await namespaces.get('b')).toEqual(record);
    expect(await namespaces.get('d')).toBeUndefined();
    const names = async (page = {}) => (await namespaces.list(page)).map(({ namespace }) => namespace);
    expect(await names()).toEqual(['a', 'b', 'c', 'é']);
    expect([await names({ limit: 3 }), await names({ after: 'c', limit: 3 })]).toEqual([['a', 'b', 'c'], ['é']]);
    await expect(namespaces.register({ namespace: 'b' })).rejects.toThrow(NamespaceExists);
    expect(await namespaces.get('b')).toEqual(record);

    await namespaces.purge('b');
    expect(await names()).toEqual(['a', 'c', 'é']);
    await namespaces.register({ namespace: 'b' });
  });

  it('registered ten times at once are registered once', async () => {
    const done = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => by(`admin-${n}`).register({ namespace: 'acme' })));
    expect(done.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    expect((await namespaces.audit()).length).toBe(1);
  });

  it('tell who registered and who purged them, after they are gone', async () => {
    await furnish('acme', 10);
    await by('eve').register({ namespace: 'acme', title: 'Acme' });
    const { deleted } = await by('bob').purge('acme');

    const records = await namespaces.audit();
    expect(records.map(({ actor, action, target }) => [actor, action, target])).toEqual([
      ['bob', 'namespace.purged', { namespace: 'acme' }],
      ['bob', 'namespace.purge', { namespace: 'acme' }],
      ['eve', 'namespace.register', { namespace: 'acme' }],
    ]);
    expect(records[0]!.from).toMatchObject({ title: 'Acme', registeredBy: 'eve', purge: { startedBy: 'bob', deleted } });
    expect(deleted).toBeGreaterThan(10);
  });

  it('are refused under names that are none', async () => {
    await expect(namespaces.register({ namespace: 'a#b' })).rejects.toMatchObject({ field: 'namespace' });
    await expect(namespaces.register({ namespace: 'a', title: 7 } as never)).rejects.toMatchObject({ field: 'title' });
    await expect(namespaces.register({ namespace: 'a', metadata: { at: new Date(0) } })).rejects.toMatchObject({
      field: 'metadata',
    });
    await expect(namespaces.purge('')).rejects.toMatchObject({ field: 'namespace' });
    await expect(namespaces.purge('a', { includeAudit: 'yes' } as never)).rejects.toMatchObject({
      field: 'options.includeAudit',
    });
    await expect(namespaces.purge('a', { pageSize: 0 })).rejects.toMatchObject({ field: 'options.pageSize' });
    await expect(namespaces.get('')).rejects.toMatchObject({ field: 'namespace' });
    expect(await table.items()).toEqual([]);
  });

  describe('being purged', () => {
    /** A purge that stops after its n-th page, as a process does that is killed there. */
    const cutOff = (after: number, options = {}) => {
      let pages = 0;
      const onProgress = () => {
        pages += 1;
        if (pages === after) throw new Error('killed');
      };
      return by('bob').purge('acme', { pageSize: 40, ...options, onProgress });
    };

    beforeEach(async () => {
      await furnish('acme', 10);
      // More than a page of 40 holds, and not more than two.
      const many = Array.from({ length: 30 }, (_, index): Item => ({ pk: `acme#e#many-${index % 5}`, sk: `limits#${index}` }));
      await table.store.transact(many.map((item) => ({ kind: 'put', item })));
    });

    it('say so, are not registered anew, and lose what lets requests in before any bucket', async () => {
      await expect(cutOff(1)).rejects.toThrow('killed');

      expect(await namespaces.get('acme')).toEqual({
        namespace: 'acme',
        purge: {
          startedAt: '2027-01-15T08:00:00.000Z',
          startedBy: 'bob',
          includeAudit: false,
          pass: 1,
          examined: 40,
          deleted: expect.any(Number),
        },
      });
      await expect(namespaces.register({ namespace: 'acme' })).rejects.toMatchObject({ code: 'NamespaceExists', purging: true });
      expect(await kindsOf('acme')).toContain('b');
      await expect(cutOff(1)).rejects.toThrow('killed');
      expect(await kindsOf('acme')).toEqual(['audit', 'b', 'dir', 'lease', 'ns', 'r']);
      expect((await namespaces.get('acme'))!.purge!.pass).toBe(2);
      await expect(cutOff(1)).rejects.toThrow('killed');
      expect(await kindsOf('acme')).toEqual(['audit']);
      expect(await namespaces.get('acme')).toBeUndefined();
    });

    it('go on where they were cut off, and count what all of it took', async () => {
      await expect(cutOff(1)).rejects.toThrow('killed');
      const told: PurgeProgress[] = [];
      const done = await namespaces.purge('acme', { pageSize: 40, onProgress: (progress) => told.push(progress) });

      expect(await kindsOf('acme')).toEqual(['audit']);
      expect(told[0]!.examined).toBeGreaterThan(40);
      expect(done).toEqual(told.at(-1));
      expect(done.startedBy).toBe('bob');
      expect(done.deleted).toBeGreaterThanOrEqual(30);
      expect((await namespaces.audit()).map(({ actor, action }) => [actor, action])).toEqual([
        ['ada', 'namespace.purged'],
        ['bob', 'namespace.purge'],
      ]);
    });

    it('start over when the history is to go as well', async () => {
      await expect(cutOff(2)).rejects.toThrow('killed');
      expect((await namespaces.purge('acme', { includeAudit: true })).startedBy).toBe('ada');
      expect(await itemsOf('acme')).toEqual([]);
    });

    it('by five at once are purged whole, and all five come to an end', async () => {
      const done = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((actor) => by(actor).purge('acme', { pageSize: 10 })));
      expect(done.length).toBe(5);
      expect(await kindsOf('acme')).toEqual(['audit']);
      expect(await namespaces.list()).toEqual([]);
      // One that comes after another has ended is one more; each that began has ended.
      const actions = (await namespaces.audit()).map(({ action }) => action);
      const count = (action: string) => actions.filter((each) => each === action).length;
      expect(count('namespace.purge')).toBeGreaterThanOrEqual(1);
      expect(count('namespace.purged')).toBe(count('namespace.purge'));
    });

    it('end with an error where somebody else started over', async () => {
      let pages = 0;
      const meanwhile: Promise<unknown>[] = [];
      const onProgress = () => {
        pages += 1;
        if (pages === 1)
          meanwhile.push(
            namespaces
              .purge('acme', {
                includeAudit: true,
                onProgress: () => {
                  throw new Error('killed');
                },
              })
              .catch(() => {}),
          );
      };
      await expect(by('bob').purge('acme', { pageSize: 10, onProgress })).rejects.toMatchObject({ code: 'ChangeConflict' });
      await Promise.all(meanwhile);
      await namespaces.purge('acme', { includeAudit: true });
      expect(await itemsOf('acme')).toEqual([]);
    });
  });
});
