import { expect, it } from 'vitest';
import { bookUsage, type UsageRowStore } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { MemoryUsageRows } from './memory-usage-rows.js';
import { bucketKey, RecordedBuckets, sequenceNumber } from './recorded-buckets.js';

const at = '2026-11-22T13:00:00Z';

/** `rows`, except that additions to the named rows (`pk sk`) are refused with an error. */
function failingFor(rows: UsageRowStore, fails: (id: string) => boolean): UsageRowStore {
  return {
    add: async (addition) =>
      fails(`${addition.pk} ${addition.sk}`) ? Promise.reject(new Error('throttled')) : rows.add(addition),
  };
}

it('names the first record of a row that could not be written and books the other rows', async () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at: '2026-11-22T12:59:59Z', consumed: { tpm: 1 } });
  const failing = buckets.write(bucketKey(), { at, consumed: { tpm: 10 } });
  buckets.write(bucketKey({ entity: 'key-2' }), { at, consumed: { tpm: 100 } });
  const rows = new MemoryUsageRows();
  const store = failingFor(rows, (id) => id === 'default#e#key-1 usage#hour#2026-11-22T13:00:00Z#gpt-4#key-1#0');

  const failures = await bookUsage(store, readBucketChanges(buckets.records).buckets);

  expect(failures.map((failure) => failure.sequenceNumber)).toEqual([sequenceNumber(failing)]);
  expect(String(failures[0]!.cause)).toContain('throttled');
  expect(Object.fromEntries([...rows.content()].map(([id, row]) => [id.split('#gpt-4#key')[0], row.consumed.tpm]))).toEqual({
    'default#e#key-1 usage#hour#2026-11-22T12:00:00Z': 1n,
    'default#e#key-1 usage#day#2026-11-22T00:00:00Z': 11n,
    'default#e#key-1 usage#month#2026-11-01T00:00:00Z': 11n,
    'default#e#key-2 usage#hour#2026-11-22T13:00:00Z': 100n,
    'default#e#key-2 usage#day#2026-11-22T00:00:00Z': 100n,
    'default#e#key-2 usage#month#2026-11-01T00:00:00Z': 100n,
    'default#r#gpt-4#14 usage#hour#2026-11-22T12:00:00Z': 1n,
    'default#r#gpt-4#14 usage#hour#2026-11-22T13:00:00Z': 10n,
    'default#r#gpt-4#14 usage#day#2026-11-22T00:00:00Z': 11n,
    'default#r#gpt-4#14 usage#month#2026-11-01T00:00:00Z': 11n,
    'default#r#gpt-4#12 usage#hour#2026-11-22T13:00:00Z': 100n,
    'default#r#gpt-4#12 usage#day#2026-11-22T00:00:00Z': 100n,
    'default#r#gpt-4#12 usage#month#2026-11-01T00:00:00Z': 100n,
    'default#ns#14 usage#hour#2026-11-22T12:00:00Z': 1n,
    'default#ns#14 usage#hour#2026-11-22T13:00:00Z': 10n,
    'default#ns#14 usage#day#2026-11-22T00:00:00Z': 11n,
    'default#ns#14 usage#month#2026-11-01T00:00:00Z': 11n,
    'default#ns#12 usage#hour#2026-11-22T13:00:00Z': 100n,
    'default#ns#12 usage#day#2026-11-22T00:00:00Z': 100n,
    'default#ns#12 usage#month#2026-11-01T00:00:00Z': 100n,
  });
});

it('names the first record that is not counted when a row fails after it refused the ones in front', async () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at, consumed: { tpm: 1 } });
  const rows = new MemoryUsageRows();
  await bookUsage(rows, readBucketChanges(buckets.records).buckets);
  const uncounted = buckets.write(bucketKey(), { at, consumed: { tpm: 10 } });
  let calls = 0;
  const store: UsageRowStore = {
    add: async (addition) => (++calls > 9 ? Promise.reject(new Error('gone')) : rows.add(addition)),
  };

  const failures = await bookUsage(store, readBucketChanges(buckets.records).buckets);

  expect(failures.map((failure) => failure.sequenceNumber)).toEqual(Array(9).fill(sequenceNumber(uncounted)));
});

it('gives up on a row that refuses records which it says it has not counted', async () => {
  const buckets = new RecordedBuckets();
  const record = buckets.write(bucketKey(), { at, consumed: { tpm: 1 } });

  const failures = await bookUsage(
    { add: async () => ({ counted: false, lastPosition: '' }) },
    readBucketChanges(buckets.records).buckets,
  );

  expect(failures.map((failure) => failure.sequenceNumber)).toEqual(Array(9).fill(sequenceNumber(record)));
});

it('needs three writes a view for a batch of any length', async () => {
  const buckets = new RecordedBuckets();
  for (let i = 0; i < 50; i++) buckets.write(bucketKey(), { at, consumed: { rpm: 1, tpm: 100 }, requests: 1 });
  const rows = new MemoryUsageRows();
  const written: string[] = [];
  const store: UsageRowStore = {
    add: (addition) => {
      written.push(addition.pk);
      return rows.add(addition);
    },
  };

  await bookUsage(store, readBucketChanges(buckets.records).buckets);

  expect(written).toEqual([
    ...Array(3).fill('default#e#key-1'),
    ...Array(3).fill('default#r#gpt-4#14'),
    ...Array(3).fill('default#ns#14'),
  ]);
  expect([...rows.content().values()]).toEqual(Array(9).fill({ consumed: { rpm: 50n, tpm: 5000n }, requests: 50n, denials: 0n }));
});

it('has at most eight writes of each view under way', async () => {
  const buckets = new RecordedBuckets();
  for (let i = 0; i < 20; i++) buckets.write(bucketKey({ entity: `key-${i}` }), { at, consumed: { tpm: 1 } });
  let [underWay, most] = [0, 0];
  const store: UsageRowStore = {
    add: async () => {
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => setImmediate(resolve));
      underWay--;
      return { counted: true };
    },
  };

  expect(await bookUsage(store, readBucketChanges(buckets.records).buckets)).toEqual([]);
  expect(most).toBe(24);
});

it('writes nothing for an empty batch', async () => {
  const store: UsageRowStore = { add: () => Promise.reject(new Error('written')) };

  expect(await bookUsage(store, [])).toEqual([]);
});
