import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Item, Operation, Store } from '../../lib/store/store.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

describe.each(eachStore)('conditions on attributes of the $name store', ({ fresh }: StoreUnderTest) => {
  let store: Store;
  let pk: string;
  let key: { pk: string; sk: string };
  const stored = async () => (await store.getItems([key], { consistent: true }))[0];
  const put = (item: Item): Operation => ({ kind: 'put', item });

  beforeAll(async () => {
    ({ store } = await fresh());
  });
  beforeEach(async () => {
    pk = `test#e#${randomUUID()}`;
    key = { pk, sk: 'meta' };
    await store.transact([put({ ...key, version: 3, name: 'Ada', tags: ['a'], old: true })]);
  });

  it('change what is named of an item that is as expected, and leave the rest', async () => {
    const result = await store.transact([
      {
        kind: 'update',
        key,
        set: { name: 'Bob', old: undefined, fresh: { x: [1] } },
        add: { version: 1, n: -2 },
        ifEqual: { version: 3 },
      },
    ]);

    expect(result).toEqual({ applied: true });
    expect(await stored()).toEqual({ ...key, version: 4, n: -2, name: 'Bob', tags: ['a'], fresh: { x: [1] } });
  });

  it.each([
    { when: 'a number differs', ifEqual: { version: 2 } },
    { when: 'a text differs', ifEqual: { name: 'Eve' } },
    { when: 'one of two differs', ifEqual: { version: 3, name: 'Eve' } },
    { when: 'an attribute is absent', ifEqual: { state: 'gone' } },
    { when: 'a number is a text', ifEqual: { version: '3' } },
    { when: 'an attribute is there that must not be', ifEqual: { version: 3, old: undefined } },
  ])('refuse when $when, and show what they met', async ({ ifEqual }) => {
    const before = await stored();
    const refused = { applied: false, failed: [{ index: 0, met: before, state: undefined }] };

    expect(await store.transact([{ kind: 'update', key, set: { name: 'Bob' }, ifEqual }])).toEqual(refused);
    expect(await store.transact([{ kind: 'remove', key, ifEqual }])).toEqual(refused);
    expect(await store.transact([{ kind: 'put', item: { ...key, name: 'Bob' }, ifEqual }])).toEqual(refused);
    expect(await store.transact([{ kind: 'requirePresent', key, ifEqual }, put({ pk, sk: 'more' })])).toEqual(refused);

    expect(await store.queryItems(pk, '')).toEqual([before]);
  });

  it('refuse an item that is not there', async () => {
    const none = { pk, sk: 'none' };

    expect(await store.transact([{ kind: 'update', key: none, add: { version: 1 } }])).toMatchObject({ applied: false });
    expect(await store.transact([{ kind: 'remove', key: none, ifEqual: { version: 1 } }])).toMatchObject({ applied: false });
    expect(await store.transact([{ kind: 'put', item: none, ifEqual: { change: undefined } }])).toMatchObject({ applied: false });

    expect(await store.getItems([none])).toEqual([undefined]);
  });

  it('put in place of what is as expected, which has no attribute that was not named', async () => {
    const item = { ...key, version: 4, gone: undefined };
    expect(await store.transact([{ kind: 'put', item, ifEqual: { version: 3, state: undefined } }])).toEqual({ applied: true });

    expect(await stored()).toEqual({ ...key, version: 4 });
    expect(Object.keys((await stored())!).sort()).toEqual(['pk', 'sk', 'version']);
  });

  it('remove what is as expected', async () => {
    expect(await store.transact([{ kind: 'remove', key, ifEqual: { version: 3, name: 'Ada' } }])).toEqual({ applied: true });

    expect(await stored()).toBeUndefined();
  });

  it('let one of two simultaneous changes of the same version through', async () => {
    const change = (name: string) =>
      store.transact([{ kind: 'update', key, set: { name }, add: { version: 1 }, ifEqual: { version: 3 } }]);

    const results = await Promise.allSettled([change('Bob'), change('Eve')]);

    expect(results.filter((result) => result.status === 'fulfilled' && result.value.applied)).toHaveLength(1);
    expect(await stored()).toMatchObject({ version: 4 });
  });

  it('find a part of a partition: after a sort key, and no more than asked for', async () => {
    await store.transact(['a', 'b', 'c', 'd'].map((name) => put({ pk, sk: `child#${name}` })));
    const found = async (options: { after?: string; most?: number }) =>
      (await store.queryItems(pk, 'child#', options)).map(({ sk }) => sk.slice('child#'.length)).join('');

    expect(await found({ most: 2 })).toBe('ab');
    expect(await found({ after: 'child#b', most: 2 })).toBe('cd');
    expect(await found({ after: 'child#bb' })).toBe('cd');
    expect(await found({ after: 'child#d', most: 2 })).toBe('');
    expect(await found({ most: 9 })).toBe('abcd');
  });
});
