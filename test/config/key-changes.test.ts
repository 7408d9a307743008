import { beforeEach, describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { type CreatedKey, credentialKey } from '../../lib/config/api-keys.js';
import { KeyNotActive } from '../../lib/errors.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const HOUR_MS = 3_600_000;

describe.each(eachStore)('a key on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  let old: CreatedKey;
  const name = () => ({ entity: 'acme', keyId: old.keyId });
  /** What an authorizer finds under a secret. */
  const credential = async (secret: string) => {
    const [item] = await bed.store.getItems([credentialKey(bed.namespace, secret)], { consistent: true });
    const { pk: _, sk: _sk, ...key } = item ?? { pk: '', sk: '' };
    return key;
  };
  const listed = async (keyId: string) => (await admin.keys('acme')).find((key) => key.keyId === keyId);

  beforeEach(async () => {
    bed = await fresh();
    admin = new HeadgateAdmin({ store: bed.store, clock: bed.clock, namespace: bed.namespace, actor: 'alice' });
    old = await admin.createKey({ entity: 'acme' });
  });

  it('that is rotated works on for a day, and both say what came in the place of what', async () => {
    const { replaced, secret, ...created } = await admin.rotateKey(name());

    const was = { ...name(), state: 'active', prefix: old.prefix, createdAt: '2027-01-15T08:00:00.000Z' };
    expect(replaced).toEqual({ ...was, expiresAt: '2027-01-16T08:00:00.000Z', replacedBy: created.keyId });
    expect(created).toEqual({
      entity: 'acme',
      keyId: expect.stringMatching(/^[0-9a-f]{18}$/),
      state: 'active',
      prefix: secret.slice(0, 7),
      createdAt: '2027-01-15T08:00:00.000Z',
      replaces: old.keyId,
    });
    expect(await credential(old.secret)).toEqual(replaced);
    expect(await credential(secret)).toEqual(created);
    expect([await listed(old.keyId), await listed(created.keyId)]).toEqual([replaced, created]);
    expect((await admin.keys('acme')).length).toBe(2);
  });

  it.each([
    { when: 'it expires later', expiresAt: '2027-01-15T10:00:00.001Z', ends: '2027-01-15T10:00:00.000Z' },
    { when: 'it expires sooner', expiresAt: '2027-01-15T09:59:59.999Z', ends: '2027-01-15T09:59:59.999Z' },
  ])('that is rotated ends with the overlap or as it would anyway, whichever is sooner: $when', async ({ expiresAt, ends }) => {
    await admin.expireKey({ ...name(), expiresAt });
    const { replaced, expiresAt: newEnd } = await admin.rotateKey({
      ...name(),
      overlapMs: 2 * HOUR_MS,
      expiresAt: '2027-04-01',
    });
    expect([replaced.expiresAt, newEnd]).toEqual([ends, '2027-04-01T00:00:00.000Z']);
  });

  it('that is rotated without an overlap is revoked', async () => {
    const { replaced, keyId } = await admin.rotateKey({ ...name(), overlapMs: 0 });
    expect(replaced).toMatchObject({ state: 'revoked', replacedBy: keyId });
    expect(replaced).not.toHaveProperty('expiresAt');
    expect((await credential(old.secret)).state).toBe('revoked');
  });

  it('rotated ten times at once is rotated once: the others are told what replaced it', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => bed.admin().rotateKey(name())));

    const won = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const lost = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as KeyNotActive] : []));
    expect([won.length, lost.length]).toEqual([1, 9]);
    for (const error of lost) {
      expect(error).toBeInstanceOf(KeyNotActive);
      expect(error.message).toContain(`key ${won[0]!.keyId} replaces it. Nothing was changed`);
    }
    expect((await admin.keys('acme')).map(({ keyId }) => keyId).sort()).toEqual([old.keyId, won[0]!.keyId].sort());
  });

  it.each([
    { how: 'revoked', end: () => admin.revokeKey(name()), told: 'it was revoked' },
    {
      how: 'expired',
      end: async () => {
        await admin.expireKey({ ...name(), expiresAt: '2027-01-15T09:00:00Z' });
        bed.clock.advance(HOUR_MS);
      },
      told: 'it expired at 2027-01-15T09:00:00.000Z',
    },
    { how: 'replaced', end: () => admin.rotateKey(name()), told: 'replaces it' },
  ])('that was $how is not rotated, and the error says so', async ({ end, told }) => {
    await end();
    const before = await admin.keys('acme');
    const error = await admin.rotateKey(name()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(KeyNotActive);
    expect((error as Error).message).toContain(told);
    expect(await admin.keys('acme')).toEqual(before);
  });

  it('whose replacement was rotated in its turn is a chain of three', async () => {
    const second = await admin.rotateKey(name());
    const third = await admin.rotateKey({ entity: 'acme', keyId: second.keyId });
    expect(await listed(second.keyId)).toMatchObject({ replaces: old.keyId, replacedBy: third.keyId });
    expect(third.replaces).toBe(second.keyId);
  });

  it('revoked while it is rotated is revoked, whoever comes first', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { keyId, secret } = await admin.createKey({ entity: 'acme' });
      const target = { entity: 'acme', keyId };
      const [rotation, revocation] = await Promise.allSettled([bed.admin().rotateKey(target), bed.admin().revokeKey(target)]);

      expect(revocation.status).toBe('fulfilled');
      if (rotation.status === 'rejected') expect(rotation.reason).toBeInstanceOf(KeyNotActive);
      expect((await credential(secret)).state).toBe('revoked');
      expect(await listed(keyId)).toEqual(await credential(secret));
    }
  });

  it('given several ends at once has the earliest', async () => {
    const hours = [5, 2, 9, 4, 7];
    await Promise.allSettled(hours.map((hour) => bed.admin().expireKey({ ...name(), expiresAt: `2027-01-15T1${hour}:00:00Z` })));
    expect((await credential(old.secret)).expiresAt).toBe('2027-01-15T12:00:00.000Z');
    expect(await listed(old.keyId)).toEqual(await credential(old.secret));
  });

  it('expires when it is told to, and never later than it would', async () => {
    const expiring = { ...name(), expiresAt: '2027-02-01' };
    expect((await admin.expireKey(expiring)).expiresAt).toBe('2027-02-01T00:00:00.000Z');
    await admin.expireKey(expiring);
    await expect(admin.expireKey({ ...name(), expiresAt: '2027-02-02' })).rejects.toMatchObject({
      code: 'InvalidArgument',
      message: expect.stringContaining('at most 2027-02-01T00:00:00.000Z'),
    });
    await expect(admin.expireKey({ ...name(), expiresAt: new Date(bed.clock.advance(0) ?? 0) })).rejects.toThrow('in the future');
    await admin.revokeKey(name());
    await expect(admin.expireKey({ ...name(), expiresAt: '2027-01-20' })).rejects.toThrow('it was revoked');
  });

  it('leaves a record of each change, and of none that changed nothing', async () => {
    await admin.expireKey({ ...name(), expiresAt: '2027-02-01' });
    await admin.expireKey({ ...name(), expiresAt: '2027-02-01' });
    const { keyId, secret } = await admin.rotateKey(name());

    const records = await admin.audit({ entity: 'acme' });
    expect(records.map(({ action, target }) => [action, target])).toEqual([
      ['key.rotate', name()],
      ['key.create', { entity: 'acme', keyId }],
      ['key.expire', name()],
      ['key.create', name()],
    ]);
    expect(records[0]).toMatchObject({
      actor: 'alice',
      from: { expiresAt: '2027-02-01T00:00:00.000Z' },
      to: { expiresAt: '2027-01-16T08:00:00.000Z', replacedBy: keyId },
    });
    expect(JSON.stringify(records)).not.toContain(secret);
  });

  it('goes with its entity, the replaced one and its replacement', async () => {
    const { secret } = await admin.rotateKey(name());
    await admin.deleteEntity('acme');
    expect([await credential(old.secret), await credential(secret)]).toEqual([{}, {}]);
  });

  it('is asked for by its entity and its id, and by nothing else', async () => {
    await expect(admin.rotateKey({ entity: 'acme', keyId: 'none' })).rejects.toMatchObject({ field: 'keyId' });
    await expect(admin.rotateKey({ entity: 'other', keyId: old.keyId })).rejects.toMatchObject({ field: 'keyId' });
    await expect(admin.expireKey({ entity: 'acme', keyId: 'none', expiresAt: '2028-01-01' })).rejects.toMatchObject({
      field: 'keyId',
    });
    await expect(admin.rotateKey({ ...name(), overlapMs: -1 })).rejects.toThrow('an integer from 0 to 31622400000');
    await expect(admin.rotateKey({ ...name(), overlapMs: 1.5 })).rejects.toThrow('overlapMs');
    await expect(admin.rotateKey({ ...name(), expiresAt: '1999-01-01' })).rejects.toThrow('in the future');
    await expect(admin.rotateKey({ ...name(), secret: 'x' } as never)).rejects.toThrow('rotation.secret');
    expect((await admin.keys('acme')).length).toBe(1);
  });
});
