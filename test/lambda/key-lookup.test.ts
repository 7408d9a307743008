import { createHash, randomBytes } from 'node:crypto';
import { afterEach, expect, it, vi } from 'vitest';
import { KeyLookup, type KeyLookupParts } from '../../lambda/key-lookup.js';
import { FakeClock } from '../../lib/clock.js';
import { type ItemKey, type Store, StoreFailure } from '../../lib/store/store.js';

const START_MS = Date.UTC(2026, 0, 1);

afterEach(() => {
  vi.restoreAllMocks();
});

/** What `createKey` makes, and what a guess at it looks like. */
const guess = (): string => `hg_${randomBytes(32).toString('base64url')}`;

/** A lookup over a table that holds these secrets, and the keys that it read, in order. */
function lookup(secrets: Record<string, { entity: string; expiresAt?: string }>, more: Partial<KeyLookupParts> = {}) {
  const clock = new FakeClock(START_MS);
  const items = new Map(
    Object.entries(secrets).map(([secret, key]) => [
      `tenant#key#${createHash('sha256').update(secret).digest('hex')}`,
      { keyId: '1', state: 'active', prefix: 'hg_', createdAt: '2026-01-01T00:00:00.000Z', ...key },
    ]),
  );
  const reads: string[] = [];
  const table = { silent: false, items, held: undefined as Promise<void> | undefined };
  const store = {
    async getItems(keys: readonly ItemKey[]) {
      if (table.silent) throw new StoreFailure('no answer', { ambiguous: false, retryable: true, cause: undefined });
      reads.push(...keys.map(({ pk }) => pk));
      const answer = keys.map((key) => items.get(key.pk) && { ...key, ...items.get(key.pk) });
      await table.held;
      return answer;
    },
  } as unknown as Store;
  const parts = { store, clock, namespace: 'tenant', deadlineMs: 1_000, format: 'any', unknownPerSecond: 10, ...more } as const;
  return { keys: new KeyLookup(parts), reads, clock, table };
}

it.each([
  { when: 'is empty', secret: '' },
  { when: 'has 11 characters', secret: 'k'.repeat(11) },
  { when: 'has 257 characters', secret: 'k'.repeat(257) },
  { when: 'has a space', secret: `hg_${'a'.repeat(40)} b` },
  { when: 'is not ASCII', secret: `hg_${'é'.repeat(43)}` },
  { when: 'has a line break', secret: `${'k'.repeat(20)}\n` },
])('a secret that $when is refused without a read', async ({ secret }) => {
  const { keys, reads } = lookup({});
  expect([await keys.entityOf(secret), reads]).toEqual([undefined, []]);
});

it.each([
  { when: 'without the prefix', secret: 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEF' },
  { when: 'a character short', secret: `hg_${'a'.repeat(42)}` },
  { when: 'a character long', secret: `hg_${'a'.repeat(44)}` },
  { when: 'with a character that is not base64url', secret: `hg_${'a'.repeat(42)}+` },
])(
  'where only generated keys are known, a secret $when is refused without a read, though a record is stored',
  async ({ secret }) => {
    const { keys, reads } = lookup({ [secret]: { entity: 'acme' } }, { format: 'generated' });
    expect([await keys.entityOf(secret), reads]).toEqual([undefined, []]);
  },
);

it('only the hash of a secret is asked for', async () => {
  const secret = 'hg_0123456789012345678901234567890123456789012';
  const { keys, reads } = lookup({ [secret]: { entity: 'acme' } }, { format: 'generated' });
  expect(await keys.entityOf(secret)).toBe('acme');
  expect(reads).toEqual(['tenant#key#b215221e36ba7a9e6ebce527001d496683cb1e9d5c348ef9d29a3daecf79f4b1']);
});

it('a key and an unknown secret are each read once a minute, however often they come', async () => {
  const [known, unknown] = [guess(), guess()];
  const { keys, reads, clock } = lookup({ [known]: { entity: 'acme' } });
  for (let time = 0; time < 20; time += 1)
    expect([await keys.entityOf(known), await keys.entityOf(unknown)]).toEqual(['acme', undefined]);
  expect(reads).toHaveLength(2);
  clock.advance(59_999);
  expect(await keys.entityOf(unknown)).toBeUndefined();
  expect(reads).toHaveLength(2);
  clock.advance(1);
  expect(await keys.entityOf(unknown)).toBeUndefined();
  expect(reads).toHaveLength(3);
});

it('a key in use is read anew behind the answer from half a minute on, an unknown secret never is', async () => {
  const [known, unknown] = [guess(), guess()];
  const { keys, reads, clock, table } = lookup({ [known]: { entity: 'acme' } });
  await Promise.all([keys.entityOf(known), keys.entityOf(unknown)]);
  clock.advance(30_000);
  table.items.clear();
  expect([await keys.entityOf(known), await keys.entityOf(unknown)]).toEqual(['acme', undefined]);
  await vi.waitFor(() => expect(reads).toHaveLength(3));
  expect(await keys.entityOf(known)).toBeUndefined();
});

it('a read behind the answer that hangs, as of a process that was frozen, is waited for by nobody and overwrites nothing newer', async () => {
  const secret = guess();
  const { keys, reads, clock, table } = lookup({ [secret]: { entity: 'acme' } });
  await keys.entityOf(secret);
  clock.advance(30_000);
  let thaw = () => {};
  table.held = new Promise((resolve) => {
    thaw = resolve;
  });
  expect(await keys.entityOf(secret)).toBe('acme');
  table.held = undefined;
  for (const [pk, item] of table.items) table.items.set(pk, { ...item, state: 'revoked' });
  clock.advance(30_000);
  expect(await keys.entityOf(secret)).toBeUndefined();
  thaw();
  await new Promise((resolve) => setImmediate(resolve));
  expect(await keys.entityOf(secret)).toBeUndefined();
  expect(reads).toHaveLength(3);
});

it('a key whose time is over opens nothing, though it is remembered', async () => {
  const secret = guess();
  const { keys, reads, clock } = lookup({ [secret]: { entity: 'acme', expiresAt: '2026-01-01T00:00:10.000Z' } });
  clock.advance(9_999);
  expect(await keys.entityOf(secret)).toBe('acme');
  clock.advance(1);
  expect([await keys.entityOf(secret), reads.length]).toEqual([undefined, 1]);
});

it('a flood of guesses costs at most 50 reads at once and 10 a second, and the rest is refused unread', async () => {
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
  const { keys, reads, clock } = lookup({});
  for (let time = 0; time < 1_000; time += 1) expect(await keys.entityOf(guess())).toBeUndefined();
  expect(reads).toHaveLength(50);
  for (let tenth = 0; tenth < 100; tenth += 1) {
    clock.advance(100);
    for (let time = 0; time < 10; time += 1) await keys.entityOf(guess());
  }
  expect(reads).toHaveLength(150);
  expect(warned).toHaveBeenCalledTimes(1);
});

it('keys that are live spend nothing of what guesses may cost', async () => {
  const secrets = Array.from({ length: 200 }, guess);
  const { keys } = lookup(Object.fromEntries(secrets.map((secret) => [secret, { entity: 'acme' }])));
  const entities = await Promise.all(secrets.map((secret) => keys.entityOf(secret)));
  expect(entities.filter((entity) => entity !== 'acme')).toEqual([]);
});

it('while guesses are refused unread, a key that was read goes on, and one that never was waits for its second', async () => {
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  const [known, fresh] = [guess(), guess()];
  const { keys, clock } = lookup({ [known]: { entity: 'acme' }, [fresh]: { entity: 'new' } });
  await keys.entityOf(known);
  for (let time = 0; time < 60; time += 1) await keys.entityOf(guess());
  expect([await keys.entityOf(known), await keys.entityOf(fresh)]).toEqual(['acme', undefined]);
  clock.advance(100);
  expect(await keys.entityOf(fresh)).toBe('new');
});

it('twenty thousand guesses push out no key', async () => {
  const secret = guess();
  const { keys, reads } = lookup({ [secret]: { entity: 'acme' } }, { unknownPerSecond: 1_000_000 });
  await keys.entityOf(secret);
  for (let time = 0; time < 20_000; time += 1) await keys.entityOf(guess());
  expect(reads).toHaveLength(20_001);
  expect(await keys.entityOf(secret)).toBe('acme');
  expect(reads).toHaveLength(20_001);
});

it('simultaneous calls with one secret share a read', async () => {
  const secret = guess();
  const { keys, reads } = lookup({ [secret]: { entity: 'acme' } });
  expect(await Promise.all([1, 2, 3].map(() => keys.entityOf(secret)))).toEqual(['acme', 'acme', 'acme']);
  expect(reads).toHaveLength(1);
});

it('while the table is silent a key that was read goes on being known, and of another nothing can be told', async () => {
  const secret = guess();
  const { keys, clock, table } = lookup({ [secret]: { entity: 'acme' } });
  await keys.entityOf(secret);
  table.silent = true;
  clock.advance(600_000);
  expect(await keys.entityOf(secret)).toBe('acme');
  await expect(keys.entityOf(guess())).rejects.toThrow(StoreFailure);
});
