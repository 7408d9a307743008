import { beforeEach, describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import type { AuditRecord } from '../../lib/config/audit.js';
import { Limit } from '../../lib/core/limit.js';
import { auditPk } from '../../lib/store/schema.js';
import { eachStore, START_MS, type StoreUnderTest, type TestBed } from '../support/stores.js';

const DAY_MS = 86_400_000;
const ten = Limit.perHour('rph', 10);
const twenty = Limit.perHour('rph', 20);

describe.each(eachStore)('the history on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let alice: HeadgateAdmin;
  let bob: HeadgateAdmin;
  const by = (actor: string, options = {}) =>
    new HeadgateAdmin({ store: bed.store, clock: bed.clock, namespace: bed.namespace, actor, ...options });
  const told = (records: readonly AuditRecord[]) => records.map(({ actor, action, target }) => [actor, action, target]);

  beforeEach(async () => {
    bed = await fresh();
    alice = by('alice');
    bob = by('bob');
  });

  it('tells who changed which limits, when, from what and to what, the latest first', async () => {
    await alice.setLimits({ tier: 'pro', resource: 'gpt-4o' }, [ten], { shards: 2 });
    bed.clock.advance(1_000);
    await bob.setLimits({ tier: 'pro', resource: 'gpt-4o' }, [twenty], { disabled: true });
    await bob.deleteLimits({ tier: 'pro', resource: 'gpt-4o' });

    const target = { tier: 'pro', resource: 'gpt-4o' };
    const raised = { limits: [{ ...twenty }], disabled: true };
    const [removal, change, creation, ...more] = await alice.audit();
    expect(more).toEqual([]);
    expect(removal).toMatchObject({
      at: '2027-01-15T08:00:01.000Z',
      actor: 'bob',
      action: 'limits.delete',
      target,
      from: raised,
    });
    expect(change).toMatchObject({ at: '2027-01-15T08:00:01.000Z', actor: 'bob', action: 'limits.set', target, to: raised });
    expect(change!.from).toEqual({ limits: [{ ...ten }], shards: 2 });
    expect(creation).toMatchObject({ at: '2027-01-15T08:00:00.000Z', actor: 'alice', action: 'limits.set' });
    expect([Object.keys(removal!).includes('to'), Object.keys(creation!).includes('from')]).toEqual([false, false]);
  });

  it('has nothing of what changed nothing', async () => {
    await alice.setLimits({ system: true }, [ten]);
    await alice.createEntity({ entity: 'acme', name: 'Acme' });
    await bob.setLimits({ system: true }, [ten]);
    await bob.deleteLimits({ resource: 'gpt-4o' });
    await bob.updateEntity({ entity: 'acme', name: 'Acme' });
    await bob.deleteEntity('nobody');

    expect((await alice.audit()).map(({ actor }) => actor)).toEqual(['alice', 'alice']);
  });

  it('tells of an entity and its keys, without a secret, and is kept when the entity is deleted', async () => {
    await alice.createEntity({ entity: 'acme', metadata: { contract: 17 } });
    await alice.setLimits({ entity: 'acme' }, [ten]);
    const { keyId, secret, ...shown } = await bob.createKey({ entity: 'acme' });
    await alice.updateEntity({ entity: 'acme', tier: 'pro' });
    await bob.revokeKey({ entity: 'acme', keyId });
    await bob.revokeKey({ entity: 'acme', keyId });
    await alice.setLimits({ entity: 'other' }, [ten]);
    await alice.deleteEntity('acme');

    const records = await alice.audit({ entity: 'acme' });
    const key = { entity: 'acme', keyId };
    expect(told(records)).toEqual([
      ['alice', 'entity.delete', { entity: 'acme' }],
      ['alice', 'limits.delete', { entity: 'acme' }],
      ['alice', 'key.delete', key],
      ['bob', 'key.revoke', key],
      ['alice', 'entity.update', { entity: 'acme' }],
      ['bob', 'key.create', key],
      ['alice', 'limits.set', { entity: 'acme' }],
      ['alice', 'entity.create', { entity: 'acme' }],
    ]);
    expect(records[0]!.from).toMatchObject({ entity: 'acme', tier: 'pro', metadata: { contract: 17 } });
    expect(records[4]).toMatchObject({ from: { entity: 'acme' }, to: { entity: 'acme', tier: 'pro' } });
    expect(records[5]!.to).toEqual({ ...shown, keyId });
    expect(JSON.stringify(await alice.audit())).not.toContain(secret);
  });

  it('tells of everything that a recursive deletion took', async () => {
    await alice.createEntity({ entity: 'org' });
    await alice.createEntity({ entity: 'key', parent: 'org' });
    await alice.setLimits({ entity: 'key', resource: 'gpt-4o' }, [ten]);
    await bob.deleteEntity('org', { recursive: true });

    expect(told(await alice.audit({ actor: 'bob' }))).toEqual([
      ['bob', 'entity.delete', { entity: 'org' }],
      ['bob', 'entity.delete', { entity: 'key' }],
      ['bob', 'limits.delete', { entity: 'key', resource: 'gpt-4o' }],
    ]);
  });

  it('tells what operators did to a bucket, whether or not it was full', async () => {
    const on = { entity: 'acme', resource: 'gpt-4o' };
    await alice.setLimits({ system: true }, [Limit.perHour('rph', 60), Limit.quota('usd', 90, { per: 'day' })]);
    await bob.topUp({ ...on, tokens: { rph: 7 } });
    await bed.limiter().acquire({ ...on, consume: { rph: 60, usd: 60 } });
    await bob.topUp({ ...on, tokens: { rph: 30, usd: 9 } });
    expect(await bed.limiter().available(on)).toEqual({ rph: 30, usd: 39 });
    await bob.reset(on);
    expect(await bed.limiter().available(on)).toEqual({ rph: 60, usd: 90 });

    const records = await alice.audit({ entity: 'acme' });
    expect(told(records)).toEqual([
      ['bob', 'bucket.reset', on],
      ['bob', 'bucket.topUp', on],
      ['bob', 'bucket.topUp', on],
    ]);
    expect(records.map(({ from, to }) => [from, to])).toEqual([
      [undefined, undefined],
      [undefined, { tokens: { rph: 30, usd: 9 } }],
      [undefined, { tokens: { rph: 7 } }],
    ]);
  });

  it('has nothing of an act that was refused', async () => {
    await alice.setLimits({ system: true }, [ten]);
    await expect(bob.topUp({ entity: 'acme', resource: 'gpt-4o', tokens: { usd: 1 } })).rejects.toThrow('usd');
    await expect(bob.topUp({ entity: 'acme', resource: 'gpt-4o', tokens: { rph: -1 } })).rejects.toThrow('rph');
    await expect(bob.reset({ entity: 'a#b', resource: 'gpt-4o' })).rejects.toThrow('entity');

    expect(await alice.audit({ actor: 'bob' })).toEqual([]);
  });

  it('is asked by time, by actor and in pages, over the months', async () => {
    for (let day = 0; day < 40; day += 1) {
      await (day % 2 === 0 ? alice : bob).setLimits({ system: true }, [Limit.perHour('rph', 1 + day)]);
      bed.clock.advance(DAY_MS);
    }
    const days = (records: readonly AuditRecord[]) => records.map(({ at }) => at.slice(5, 10));

    expect(days(await alice.audit({ limit: 3 }))).toEqual(['02-23', '02-22', '02-21']);
    // The last 30 days: the 40th change was a day ago, and the 11th 30 days.
    expect((await alice.audit()).length).toBe(29);
    expect(days(await alice.audit({ from: '2027-01-30', to: '2027-02-03' }))).toEqual(['02-02', '02-01', '01-31', '01-30']);
    expect(days(await alice.audit({ from: new Date(START_MS), actor: 'bob', limit: 2 }))).toEqual(['02-23', '02-21']);
    const pages: string[][] = [];
    for (let after: string | undefined; ; ) {
      const page = await alice.audit({ from: new Date(START_MS), limit: 15, after });
      pages.push(days(page));
      after = page.at(-1)?.id;
      if (page.length < 15) break;
    }
    expect(pages.map(({ length }) => length)).toEqual([15, 15, 10]);
    expect(new Set(pages.flat()).size).toBe(40);
    expect(pages[2]!.at(-1)).toBe('01-15');
  });

  it('is kept as long as whoever made the change said', async () => {
    await by('brief', { auditRetentionDays: 1 }).setLimits({ system: true }, [ten]);
    await alice.setLimits({ resource: 'gpt-4o' }, [ten]);
    const items = await bed.store.queryItems(auditPk(bed.namespace, '2027-01'), '');
    expect(items.map(({ ttl }) => ttl)).toEqual([START_MS / 1_000 + 86_400, START_MS / 1_000 + 400 * 86_400]);

    bed.clock.advance(DAY_MS);
    expect(told(await alice.audit())).toEqual([['alice', 'limits.set', { resource: 'gpt-4o' }]]);
  });

  it('of changes at the same time is one chain: each starts where the one before it ended', async () => {
    const capacities = Array.from({ length: 8 }, (_, index) => 100 + index);
    const done = await Promise.allSettled(
      capacities.map((capacity) => by(`admin-${capacity}`).setLimits({ system: true }, [Limit.perHour('rph', capacity)])),
    );

    const records = await alice.audit();
    expect(records.length).toBe(done.filter(({ status }) => status === 'fulfilled').length);
    const steps = new Map(records.map(({ from, to }) => [JSON.stringify(from), JSON.stringify(to)]));
    let [state, length] = [steps.get(undefined as unknown as string), 1];
    for (let next = steps.get(state!); next !== undefined; next = steps.get(state!)) [state, length] = [next, length + 1];
    expect(length).toBe(records.length);
    expect(JSON.parse(state!)).toEqual({ limits: await alice.getLimits({ system: true }) });
  });

  it('names what is wrong with a question, and with an author', async () => {
    await expect(alice.audit({ from: 'yesterday' })).rejects.toThrow('from');
    await expect(alice.audit({ limit: 0 })).rejects.toThrow('an integer from 1 to 10000');
    await expect(alice.audit({ from: '2027-02-01', to: '2027-01-01' })).rejects.toThrow('before');
    await expect(alice.audit({ entity: 'a#b' })).rejects.toThrow('entity');
    await expect(alice.audit({ after: 'x' })).rejects.toThrow('the id of a record');
    await expect(alice.audit({ who: 'x' } as never)).rejects.toThrow('who');
    expect(() => by('')).toThrow('actor');
    expect(() => by('x', { auditRetentionDays: 0 })).toThrow('from 1 to 3660');
  });
});

describe.each(eachStore)('what lists entities on the $name store', ({ fresh }: StoreUnderTest) => {
  it('names those that have limits without a record, until they are deleted', async () => {
    const admin = (await fresh()).admin();
    await admin.setLimits({ entity: 'free', resource: 'gpt-4o' }, [ten]);
    expect(await admin.entities()).toEqual(['free']);

    await admin.deleteEntity('free');
    expect([await admin.entities(), await admin.getLimits({ entity: 'free', resource: 'gpt-4o' })]).toEqual([[], undefined]);
  });
});
