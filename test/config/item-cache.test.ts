import { beforeEach, expect, it, vi } from 'vitest';
import { FakeClock, steadyMs } from '../../lib/clock.js';
import { ItemCache } from '../../lib/config/item-cache.js';
import { InvalidArgument } from '../../lib/errors.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { type Item, type ItemKey, StoreFailure } from '../../lib/store/store.js';

const pk = 'default#config';
const a = { pk, sk: 'a' };
const b = { pk, sk: 'b' };

/** A store that notes what is asked of it, and answers when it is let. */
class GatedStore extends MemoryStore {
  readonly asked: string[] = [];
  answer: () => Promise<void> | void = () => {};

  override async getItems(keys: readonly ItemKey[]): Promise<readonly (Item | undefined)[]> {
    this.asked.push(keys.map(({ sk }) => sk).join());
    await this.answer();
    return super.getItems(keys);
  }
}

let store: GatedStore;
let clock: FakeClock;

beforeEach(async () => {
  store = new GatedStore();
  clock = new FakeClock();
  await put(a, 1);
});

async function put(key: ItemKey, value: unknown) {
  await store.transact([{ kind: 'put', item: { ...key, value } }]);
}

/** A cache of the items' values. One that is no number is illegal. */
function cacheOf({ ttlMs = 60_000 } = {}) {
  const parse = (item: Item | undefined) => {
    if (item !== undefined && typeof item.value !== 'number')
      throw new InvalidArgument({ field: 'value', value: item.value, expected: 'a number' });
    return item?.value;
  };
  return new ItemCache({ store, clock, ttlMs, deadlineMs: 1_000, parse });
}

const down = () => {
  throw new StoreFailure('no answer', { ambiguous: false, retryable: true, cause: undefined });
};

/** Lets what is behind an answer come to its end. */
const asked = (...calls: string[]) => vi.waitFor(() => expect(store.asked).toEqual(calls), { interval: 1 });
const settled = (value: unknown, cache: ItemCache<unknown>, key = a) =>
  vi.waitFor(async () => expect((await cache.get([key])).values).toEqual([value]), { interval: 1 });

it.each([
  { ageMs: 0, calls: 1 },
  { ageMs: 29_999, calls: 1 },
  { ageMs: 60_000, calls: 2 },
  { ageMs: 3_600_000, calls: 2 },
])('has asked $calls times when a value is used again at the age of $ageMs ms', async ({ ageMs, calls }) => {
  const cache = cacheOf();
  await cache.get([a]);
  await put(a, 2);
  clock.advance(ageMs);

  expect((await cache.get([a])).values).toEqual([calls]);

  expect(store.asked).toHaveLength(calls);
});

it.each([30_000, 59_999])('serves a value of %i ms at once and fetches it anew behind the answer', async (ageMs) => {
  const cache = cacheOf();
  await cache.get([a]);
  await put(a, 2);
  clock.advance(ageMs);

  expect((await cache.get([a])).values).toEqual([1]);
  expect(store.asked).toEqual(['a', 'a']);

  await settled(2, cache);
  clock.advance(29_999);
  expect((await cache.get([a])).values).toEqual([2]);
  expect(store.asked).toEqual(['a', 'a']);
});

it('fetches a value once behind many answers', async () => {
  const cache = cacheOf();
  await cache.get([a]);
  clock.advance(30_000);
  let let_ = () => {};
  store.answer = () =>
    new Promise((resolve) => {
      let_ = resolve;
    });

  for (let use = 0; use < 5; use += 1) expect((await cache.get([a])).values).toEqual([1]);
  expect(store.asked).toEqual(['a', 'a']);
  let_();
});

it('refreshes only what is ageing', async () => {
  const cache = cacheOf();
  await cache.get([a]);
  clock.advance(20_000);
  await cache.get([b]);
  clock.advance(10_000);

  expect((await cache.get([a, b])).values).toEqual([1, undefined]);

  await asked('a', 'b', 'a');
});

it('calls its values fresh for half their life, and old ones never, whatever came behind the answer meanwhile', async () => {
  const cache = cacheOf();
  const readAtMs = steadyMs(clock);
  expect((await cache.get([a])).freshUntilMs).toBe(readAtMs + 30_000);
  clock.advance(20_000);
  expect((await cache.get([a, b])).freshUntilMs).toBe(readAtMs + 30_000);

  clock.advance(10_000);
  expect((await cache.get([a])).freshUntilMs).toBe(readAtMs + 30_000);
  await vi.waitFor(async () => expect((await cache.get([a])).freshUntilMs).toBe(readAtMs + 60_000));
});

it('asks once for simultaneous uses of the same keys', async () => {
  const cache = cacheOf();

  const answers = await Promise.all([cache.get([a, b]), cache.get([a, b]), cache.get([a, b])]);

  expect(answers.map(({ values }) => values)).toEqual([
    [1, undefined],
    [1, undefined],
    [1, undefined],
  ]);
  expect(store.asked).toEqual(['a,b']);
});

it('remembers that there is none, for as long as a value', async () => {
  const cache = cacheOf();
  expect((await cache.get([b])).values).toEqual([undefined]);
  await put(b, 5);
  clock.advance(29_999);

  expect((await cache.get([b])).values).toEqual([undefined]);
  expect(store.asked).toEqual(['b']);
  clock.advance(30_001);

  expect((await cache.get([b])).values).toEqual([5]);
});

it('asks in one call for keys of which one is missing', async () => {
  const cache = cacheOf();
  await cache.get([a]);

  expect((await cache.get([b, a])).values).toEqual([undefined, 1]);

  expect(store.asked).toHaveLength(2);
  expect((await cache.get([a, b])).values).toEqual([1, undefined]);
  expect(store.asked).toHaveLength(2);
});

it('serves what was known last while the store gives no answer, and the truth once it does', async () => {
  const cache = cacheOf();
  await cache.get([a, b]);
  await put(a, 2);
  clock.advance(86_400_000);
  store.answer = down;

  expect((await cache.get([a, b])).values).toEqual([1, undefined]);
  expect((await cache.get([a])).values).toEqual([1]);
  store.answer = () => {};

  expect((await cache.get([a, b])).values).toEqual([2, undefined]);
});

it('passes the failure on where nothing is known of one of the keys, and asks again next time', async () => {
  const cache = cacheOf();
  await cache.get([a]);
  store.answer = down;

  await expect(cache.get([a, b])).rejects.toThrow(StoreFailure);
  store.answer = () => {};

  expect((await cache.get([a, b])).values).toEqual([1, undefined]);
});

it('goes on serving when a fetch behind the answer fails, and tries again with the next use', async () => {
  const cache = cacheOf();
  await cache.get([a]);
  await put(a, 2);
  clock.advance(30_000);
  store.answer = down;
  expect((await cache.get([a])).values).toEqual([1]);
  await vi.waitFor(
    async () => {
      await cache.get([a]);
      expect(store.asked.length).toBeGreaterThan(2);
    },
    { interval: 1 },
  );
  store.answer = () => {};

  await settled(2, cache);
});

it('refuses an item that was made illegal once the last legal one is too old', async () => {
  const cache = cacheOf();
  await cache.get([a]);
  await put(a, 'five');
  clock.advance(59_999);
  expect((await cache.get([a])).values).toEqual([1]);
  await asked('a', 'a');

  clock.advance(1);

  await expect(cache.get([a])).rejects.toThrow(InvalidArgument);
});

it('asks each time without a time to live, once for simultaneous uses, and remembers nothing', async () => {
  const cache = cacheOf({ ttlMs: 0 });

  expect((await cache.get([a])).values).toEqual([1]);
  await put(a, 2);
  const answers = await Promise.all([cache.get([a]), cache.get([a])]);
  expect(answers.map(({ values }) => values)).toEqual([[2], [2]]);
  expect(store.asked).toEqual(['a', 'a']);
  store.answer = down;

  await expect(cache.get([a])).rejects.toThrow(StoreFailure);
});

it('counts what it answered from memory, what was waited for, and what it fetched behind an answer', async () => {
  const cache = cacheOf();
  await Promise.all([cache.get([a, b]), cache.get([a, b])]);
  expect(cache.stats).toEqual({ hits: 0, misses: 4, refreshes: 0, calls: 1, size: 2 });

  clock.advance(30_000);
  await cache.get([a]);
  await cache.get([a]);

  expect(cache.stats).toEqual({ hits: 2, misses: 4, refreshes: 1, calls: 2, size: 2 });
});

it('forgets the keys used longest ago beyond fifty thousand', async () => {
  const cache = cacheOf();
  await cache.get([a]);
  for (let from = 0; from < 50_000; from += 100) {
    await cache.get(Array.from({ length: 100 }, (_, index) => ({ pk, sk: `other-${from + index}` })));
  }
  const before = store.asked.length;

  await cache.get([{ pk, sk: 'other-0' }]);
  expect(store.asked).toHaveLength(before);
  await cache.get([a]);

  expect(store.asked).toHaveLength(before + 1);
});
