import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bucketPk } from '../../lib/store/schema.js';
import type { BucketWrite, Item, Operation, QueryOptions, Store } from '../../lib/store/store.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const Z = 1_800_000_000_000_000_000_000_001n;
const W = 60_000_000_000_000_001n;

describe.each(eachStore)('items of the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let store: Store;
  let pk: string;

  beforeAll(async () => {
    bed = await fresh();
    store = bed.store;
  });
  beforeEach(() => {
    pk = `${bed.namespace}#e#${randomUUID()}`;
  });

  const put = (item: Item, ifAbsent = false): Operation => ({ kind: 'put', item, ifAbsent });
  const putAll = async (...items: Item[]) => {
    expect(await store.transact(items.map((item) => put(item)))).toEqual({ applied: true });
  };
  const there = async (...sks: string[]) =>
    (await store.getItems(sks.map((sk) => ({ pk, sk })))).map((item) => item !== undefined);

  /** A bucket write that only an absent z admits. */
  const bucketWrite = (entity: string): BucketWrite => ({
    key: bed.bucket(entity),
    limits: [{ name: 'tpm', windowFs: W, branch: { kind: 'idle', fullAtFs: Z, belowFs: Z }, consumed: 5n }],
    requests: 1,
    denials: 0,
    ttl: { seconds: 4_000_000_000, ifAbsent: true },
  });
  const bucketState = {
    positions: new Map([['tpm', { fullAtFs: Z, windowFs: W }]]),
    uses: new Map(),
    slots: new Map(),
    ttlSeconds: 4_000_000_000,
  };

  it('gives items in the order of their keys, undefined where there is none, and one asked for twice twice', async () => {
    await putAll({ pk, sk: 'a', n: 1 }, { pk, sk: 'b', n: 2 });

    expect(await store.getItems(['b', 'none', 'a', 'b'].map((sk) => ({ pk, sk })))).toEqual([
      { pk, sk: 'b', n: 2 },
      undefined,
      { pk, sk: 'a', n: 1 },
      { pk, sk: 'b', n: 2 },
    ]);
    expect(await store.getItems([])).toEqual([]);
  });

  it('gives a hundred items at once', async () => {
    const sks = Array.from({ length: 100 }, (_, index) => `item-${index}`);
    await putAll(...sks.map((sk) => ({ pk, sk })));

    expect(await store.getItems(sks.map((sk) => ({ pk, sk })))).toEqual(sks.map((sk) => ({ pk, sk })));
  });

  it('gives back every plain value as it was put', async () => {
    const item = {
      pk,
      sk: 'values',
      text: 'Grüße 👋',
      empty: '',
      no: false,
      none: null,
      fraction: 0.1,
      most: 9_007_199_254_740_991,
      list: [1, 'two', [], { three: 3 }],
      map: { nested: { deep: [true] }, empty: {} },
    };
    await putAll(item);

    expect(await store.getItems([{ pk, sk: 'values' }])).toEqual([item]);
  });

  it('keeps what was put when the caller changes its object afterwards, or the one it was given', async () => {
    const tags = ['a'];
    await putAll({ pk, sk: 'tags', tags });
    tags.push('b');
    const [given] = await store.getItems([{ pk, sk: 'tags' }]);
    (given!.tags as string[]).push('c');

    expect(await store.getItems([{ pk, sk: 'tags' }])).toEqual([{ pk, sk: 'tags', tags: ['a'] }]);
  });

  it('replaces a whole item by a put: attributes of the former one are gone', async () => {
    await putAll({ pk, sk: 'a', former: 1 });
    await putAll({ pk, sk: 'a', present: 2 });

    expect(await store.getItems([{ pk, sk: 'a' }])).toEqual([{ pk, sk: 'a', present: 2 }]);
  });

  it('finds the items of one partition whose sort key has the prefix, in the order of its UTF-8 bytes', async () => {
    const sks = ['child#b', 'child#B', 'child#～', 'child#😀', 'child#a', 'child#', 'childish', 'Child#c', 'key#a'];
    await putAll(...sks.map((sk) => ({ pk, sk })), { pk: `${pk}-other`, sk: 'child#other' });

    const found = (await store.queryItems(pk, 'child#')).map(({ sk }) => sk);

    expect(found).toEqual(['child#', 'child#B', 'child#a', 'child#b', 'child#～', 'child#😀']);
    expect(await store.queryItems(pk, 'none#')).toEqual([]);
    expect(await store.queryItems(`${pk}-none`, 'child#')).toEqual([]);
  });

  it('finds them backwards, after one that need not be there, and no more than asked for', async () => {
    await putAll(...['a#1', 'a#3', 'a#5', 'b#1'].map((sk) => ({ pk, sk })));
    const found = async (options: QueryOptions) => (await store.queryItems(pk, 'a#', options)).map(({ sk }) => sk);

    expect(await found({ backwards: true })).toEqual(['a#5', 'a#3', 'a#1']);
    expect(await found({ backwards: true, after: 'a#4' })).toEqual(['a#3', 'a#1']);
    expect(await found({ backwards: true, after: 'a#5', most: 1 })).toEqual(['a#3']);
    expect(await found({ after: 'a#2' })).toEqual(['a#3', 'a#5']);
  });

  it('finds all items of a partition that is larger than one answer of the database', async () => {
    const items = [4, 2, 5, 1, 3].map((n) => ({ pk, sk: `large#${n}`, text: String(n).repeat(380_000) }));
    await putAll(...items.slice(0, 3));
    await putAll(...items.slice(3));

    const found = await store.queryItems(pk, 'large#');

    expect(found.map(({ sk, text }) => [sk, (text as string).length])).toEqual([
      ['large#1', 380_000],
      ['large#2', 380_000],
      ['large#3', 380_000],
      ['large#4', 380_000],
      ['large#5', 380_000],
    ]);
  });

  it.each([
    {
      when: 'an item to be new is there',
      operation: (): Operation => put({ pk, sk: 'taken', mine: true }, true),
      failed: () => ({ index: 1, met: { pk, sk: 'taken', theirs: true }, state: undefined }),
    },
    {
      when: 'an item to be present is not',
      operation: (): Operation => ({ kind: 'requirePresent', key: { pk, sk: 'none' } }),
      failed: () => ({ index: 1, met: undefined, state: undefined }),
    },
    {
      when: 'an item to be removed if present is not',
      operation: (): Operation => ({ kind: 'remove', key: { pk, sk: 'none' }, ifPresent: true }),
      failed: () => ({ index: 1, met: undefined, state: undefined }),
    },
    {
      when: 'a bucket refuses',
      operation: (): Operation => ({ kind: 'bucket', write: bucketWrite(pk) }),
      failed: () => ({ index: 1, met: undefined, state: bucketState }),
    },
  ])('does nothing of a transaction when $when, and says which part it was', async ({ operation, failed }) => {
    await putAll({ pk, sk: 'taken', theirs: true }, { pk, sk: 'old' });
    await store.write(bucketWrite(pk));

    const result = await store.transact([
      put({ pk, sk: 'new' }, true),
      operation(),
      { kind: 'remove', key: { pk, sk: 'old' } },
      { kind: 'bucket', write: bucketWrite(`${pk} untouched`) },
    ]);

    expect(result).toEqual({ applied: false, failed: [failed()] });
    expect(await there('new', 'taken', 'old')).toEqual([false, true, true]);
    expect(await store.getItems([{ pk, sk: 'taken' }])).toEqual([{ pk, sk: 'taken', theirs: true }]);
    expect(await store.read(bed.bucket(`${pk} untouched`))).toBeUndefined();
    expect(await store.read(bed.bucket(pk))).toEqual(bucketState);
  });

  it('names every part that failed, a bucket that is not there as an empty one', async () => {
    await putAll({ pk, sk: 'taken' });
    const refused: BucketWrite = {
      ...bucketWrite(pk),
      limits: [{ name: 'tpm', windowFs: W, branch: { kind: 'busy', addFs: 1n, minFs: 0n, maxFs: Z }, consumed: 1n }],
    };

    const result = await store.transact([
      put({ pk, sk: 'taken' }, true),
      put({ pk, sk: 'new' }),
      { kind: 'requirePresent', key: { pk, sk: 'none' } },
      { kind: 'bucket', write: refused },
    ]);

    expect(result).toEqual({
      applied: false,
      failed: [
        { index: 0, met: { pk, sk: 'taken' }, state: undefined },
        { index: 2, met: undefined, state: undefined },
        { index: 3, met: undefined, state: { positions: new Map(), uses: new Map(), slots: new Map(), ttlSeconds: undefined } },
      ],
    });
  });

  it('does every part of a transaction whose conditions all hold', async () => {
    await putAll({ pk, sk: 'parent' }, { pk, sk: 'old' }, { pk, sk: 'older' });

    const result = await store.transact([
      put({ pk, sk: 'new', n: 1 }, true),
      { kind: 'requirePresent', key: { pk, sk: 'parent' } },
      { kind: 'remove', key: { pk, sk: 'old' } },
      { kind: 'remove', key: { pk, sk: 'older' }, ifPresent: true },
      { kind: 'remove', key: { pk, sk: 'never was' } },
      { kind: 'bucket', write: bucketWrite(pk) },
    ]);

    expect(result).toEqual({ applied: true });
    expect(await there('new', 'parent', 'old', 'older')).toEqual([true, true, false, false]);
    expect(await store.read(bed.bucket(pk))).toEqual(bucketState);
  });

  it('removes a bucket by the key of its item', async () => {
    await store.write(bucketWrite(pk));

    await store.transact([{ kind: 'remove', key: { pk: bucketPk(bed.bucket(pk)), sk: 'b' } }]);

    expect(await store.read(bed.bucket(pk))).toBeUndefined();
    expect(await store.write(bucketWrite(pk))).toMatchObject({
      applied: true,
      state: bucketState,
      met: { positions: new Map() },
    });
  });

  it('gives one of several simultaneous transactions the name they all want', async () => {
    const results = await Promise.allSettled(
      ['a', 'b', 'c'].map((owner) => store.transact([put({ pk, sk: 'name', owner }, true), put({ pk, sk: `of#${owner}` })])),
    );

    const applied = results.filter((result) => result.status === 'fulfilled' && result.value.applied);
    expect(applied).toHaveLength(1);
    const [name] = await store.getItems([{ pk, sk: 'name' }]);
    expect((await store.queryItems(pk, 'of#')).map(({ sk }) => sk)).toEqual([`of#${String(name?.owner)}`]);
  });
});
