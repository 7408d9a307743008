import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { BucketKey } from '../../lib/store/schema.js';
import { bucketPk } from '../../lib/store/schema.js';
import type { ItemKey, Store, WholeTable } from '../../lib/store/store.js';
import { createTestTable, testClient } from '../support/dynamodb.js';

const each = [
  { name: 'memory', fresh: async (): Promise<Store & WholeTable> => new MemoryStore() },
  {
    name: 'DynamoDB',
    fresh: async (): Promise<Store & WholeTable> => new DynamoStore({ client: testClient(), tableName: await createTestTable() }),
  },
];

const text = ({ pk, sk }: ItemKey) => `${pk} ${sk}`;

async function put(store: Store, ...keys: readonly ItemKey[]): Promise<void> {
  for (let from = 0; from < keys.length; from += 100)
    await store.transact(keys.slice(from, from + 100).map((key) => ({ kind: 'put', item: { ...key, n: 1 } })));
}

const bucket = (store: Store, key: BucketKey) =>
  store.write({ key, limits: [], requests: 1, denials: 0, ttl: { seconds: 4_000_000_000, ifAbsent: true } });

/** All pages of a scan. */
async function scanned(store: WholeTable, pkPrefix: string, most: number) {
  const keys: string[] = [];
  const examined: number[] = [];
  for (let after: ItemKey | undefined; ; ) {
    const page = await store.scanKeys({ pkPrefix, after, most });
    keys.push(...page.keys.map(text));
    examined.push(page.examined);
    if (page.next === undefined) return { keys: keys.sort(), examined };
    after = page.next;
  }
}

describe.each(each)('the whole table of the $name store', ({ fresh }) => {
  it('is scanned in pages of what is looked at, and gives each key with the prefix once, buckets too', async () => {
    const store = await fresh();
    const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((entity) => ({ pk: `acme#e#${entity}`, sk: 'meta' }));
    await put(store, ...keys, { pk: 'acme#e#a', sk: 'limits' }, { pk: 'acme-2#e#a', sk: 'meta' }, { pk: 'acm#e#a', sk: 'meta' });
    await put(store, { pk: '#namespaces', sk: 'acme#' }, { pk: 'x#acme#', sk: 'acme#' });
    const sharded = { namespace: 'acme', resource: 'gpt-4', entity: 'a', shard: 3 };
    await bucket(store, sharded);
    await bucket(store, { ...sharded, namespace: 'acme-2' });

    const wanted = [...keys.map(text), 'acme#e#a limits', `${bucketPk(sharded)} b`].sort();
    for (const most of [1, 4, 14, 1_000]) {
      const { keys: found, examined } = await scanned(store, 'acme#', most);
      expect(found).toEqual(wanted);
      expect(examined.reduce((a, b) => a + b)).toBe(14);
      expect(Math.max(...examined)).toBe(Math.min(most, 14));
    }
  });

  it('goes on after a key that is there no more', async () => {
    const store = await fresh();
    await put(store, ...Array.from({ length: 30 }, (_, index) => ({ pk: `acme#e#${index}`, sk: 'meta' })));
    const found = new Set<string>();
    for (let after: ItemKey | undefined; ; ) {
      const page = await store.scanKeys({ pkPrefix: 'acme#', after, most: 7 });
      for (const key of page.keys) found.add(text(key));
      await store.removeItems(page.keys);
      if (page.next === undefined) break;
      after = page.next;
    }
    expect(found.size).toBe(30);
    expect(await scanned(store, '', 100)).toEqual({ keys: [], examined: [0] });
  });

  it('is empty where nothing was stored', async () => {
    expect(await (await fresh()).scanKeys({ pkPrefix: 'acme#', most: 10 })).toEqual({ keys: [], examined: 0, next: undefined });
  });

  it('loses the items that are removed, more than fit in one call, and no other; what is not there is no fault', async () => {
    const store = await fresh();
    const keys = Array.from({ length: 260 }, (_, index) => ({ pk: `acme#e#${index % 3}`, sk: `limits#${index}` }));
    await put(store, ...keys);
    const full = { namespace: 'acme', resource: 'gpt-4', entity: 'a', shard: 0 };
    await bucket(store, full);

    await store.removeItems([...keys.slice(1), { pk: bucketPk(full), sk: 'b' }, { pk: 'acme#e#none', sk: 'meta' }]);
    await store.removeItems([]);

    expect((await scanned(store, '', 1_000)).keys).toEqual([text(keys[0]!)]);
    expect(await store.read(full)).toBeUndefined();
    expect((await bucket(store, full)).applied).toBe(true);
  });
});

interface Batch {
  readonly input: { readonly RequestItems: Record<string, readonly unknown[]> };
}

/** A client that performs `processed` writes of a batch at a time and leaves the others unprocessed. */
function processing(tableName: string, processed: number): DynamoDBClient {
  const client = testClient();
  const leave = (next: (args: Batch) => Promise<{ readonly output: object }>) => async (args: Batch) => {
    const requests = args.input.RequestItems[tableName] ?? [];
    const left = requests.slice(processed);
    const UnprocessedItems = left.length > 0 ? { [tableName]: left } : {};
    if (processed === 0) return { response: {}, output: { $metadata: {}, UnprocessedItems } };
    const result = await next({ ...args, input: { RequestItems: { [tableName]: requests.slice(0, processed) } } });
    return { ...result, output: { ...result.output, UnprocessedItems } };
  };
  client.middlewareStack.add(leave as never, { step: 'initialize', name: 'leaveUnprocessed' });
  return client;
}

describe('a batch of removals that DynamoDB leaves in part', () => {
  const keys = ['a', 'b', 'c', 'd', 'e'].map((sk) => ({ pk: 'acme#e#x', sk }));

  it('is sent again for what is left', async () => {
    const tableName = await createTestTable();
    const store = new DynamoStore({ client: testClient(), tableName });
    await put(store, ...keys);
    await new DynamoStore({ client: processing(tableName, 2), tableName }).removeItems(keys);
    expect((await scanned(store, '', 100)).keys).toEqual([]);
  });

  it('is given up where nothing of it is ever done, and says how many there are', async () => {
    const tableName = await createTestTable();
    const stuck = new DynamoStore({ client: processing(tableName, 0), tableName });
    await expect(stuck.removeItems(keys)).rejects.toMatchObject({
      name: 'StoreFailure',
      message: 'DynamoDB left 5 keys unprocessed 8 times',
      retryable: true,
    });
  });
});
