import { describe, expect, it } from 'vitest';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { usageRetention } from '../../lib/usage/usage-period.js';
import { rowAddition, usageRows } from '../../lib/usage/usage-rows.js';
import { bucketKey, epochSeconds, RecordedBuckets, sequenceNumber } from './recorded-buckets.js';

function rowsOf(buckets: RecordedBuckets) {
  return readBucketChanges(buckets.records).buckets.flatMap((bucket) => usageRows(bucket));
}

it.each([
  {
    when: 'in the middle of an hour',
    at: '2026-11-22T13:34:56.789Z',
    starts: ['2026-11-22T13', '2026-11-22T00', '2026-11-01T00'],
  },
  {
    when: 'at the first instant of an hour',
    at: '2026-11-22T13:00:00Z',
    starts: ['2026-11-22T13', '2026-11-22T00', '2026-11-01T00'],
  },
  { when: 'just before midnight', at: '2026-11-22T23:59:59.999Z', starts: ['2026-11-22T23', '2026-11-22T00', '2026-11-01T00'] },
  { when: 'at midnight', at: '2026-11-23T00:00:00Z', starts: ['2026-11-23T00', '2026-11-23T00', '2026-11-01T00'] },
  {
    when: 'just before a month ends',
    at: '2026-11-30T23:59:59.999Z',
    starts: ['2026-11-30T23', '2026-11-30T00', '2026-11-01T00'],
  },
  { when: 'at new year', at: '2027-01-01T00:00:00Z', starts: ['2027-01-01T00', '2027-01-01T00', '2027-01-01T00'] },
  { when: 'on a leap day', at: '2028-02-29T12:00:00Z', starts: ['2028-02-29T12', '2028-02-29T00', '2028-02-01T00'] },
])('books a write $when into that hour, day and month', ({ at, starts }) => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at, consumed: { tpm: 5 } });

  expect(rowsOf(buckets).map(({ pk, sk }) => ({ pk, sk }))).toEqual(
    ['default#e#key-1', 'default#r#gpt-4#14', 'default#ns#14'].flatMap((pk) => [
      { pk, sk: `usage#hour#${starts[0]}:00:00Z#gpt-4#key-1#0` },
      { pk, sk: `usage#day#${starts[1]}:00:00Z#gpt-4#key-1#0` },
      { pk, sk: `usage#month#${starts[2]}:00:00Z#gpt-4#key-1#0` },
    ]),
  );
});

it('keeps all of an entity in one partition of a resource and of the namespace, and other entities in others', () => {
  const buckets = new RecordedBuckets();
  const keys = [{}, { shard: 7 }, { resource: 'gpt-5' }, { namespace: 'other' }, { entity: 'key-2' }, { entity: 'key-3' }];
  for (const key of keys.map(bucketKey)) buckets.write(key, { at: '2026-11-22T13:00:00Z', denials: 1 });

  const pks = readBucketChanges(buckets.records).buckets.map((bucket) => [...new Set(usageRows(bucket).map(({ pk }) => pk))]);
  expect(pks).toEqual([
    ['default#e#key-1', 'default#r#gpt-4#14', 'default#ns#14'],
    ['default#e#key-1', 'default#r#gpt-4#14', 'default#ns#14'],
    ['default#e#key-1', 'default#r#gpt-5#14', 'default#ns#14'],
    ['other#e#key-1', 'other#r#gpt-4#14', 'other#ns#14'],
    ['default#e#key-2', 'default#r#gpt-4#12', 'default#ns#12'],
    ['default#e#key-3', 'default#r#gpt-4#9', 'default#ns#9'],
  ]);
});

it('spreads entities over all sixteen partitions', () => {
  const buckets = new RecordedBuckets();
  for (let i = 0; i < 1_600; i++) buckets.write(bucketKey({ entity: `user-${i}` }), { at: '2026-11-22T13:00:00Z', requests: 1 });

  const entities = new Map<string, number>();
  for (const { pk, sk } of rowsOf(buckets)) {
    if (pk.includes('#ns#') && sk.includes('#day#')) entities.set(pk, (entities.get(pk) ?? 0) + 1);
  }
  expect(entities.size).toBe(16);
  expect(Math.max(...entities.values())).toBeLessThan(150);
});

it('splits the writes of a bucket at each boundary they cross', () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at: '2026-11-30T22:59:59Z', consumed: { tpm: 1 } });
  buckets.write(bucketKey(), { at: '2026-11-30T23:00:00Z', consumed: { tpm: 10 } });
  buckets.write(bucketKey(), { at: '2026-12-01T00:00:00Z', consumed: { tpm: 100 } });

  const sums = rowsOf(buckets).map((row) => [row.sk.slice(6, 24), rowAddition(row).consumed.get('tpm')]);
  const ofOneView = [
    ['hour#2026-11-30T22', 1n],
    ['hour#2026-11-30T23', 10n],
    ['hour#2026-12-01T00', 100n],
    ['day#2026-11-30T00:', 11n],
    ['day#2026-12-01T00:', 100n],
    ['month#2026-11-01T0', 11n],
    ['month#2026-12-01T0', 100n],
  ];
  expect(sums).toEqual([...ofOneView, ...ofOneView, ...ofOneView]);
});

it('keeps hours 35 days, days 400 days after they end, and months for good', () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at: '2026-11-22T13:30:00Z', consumed: { tpm: 1 } });

  const ofOneView = [epochSeconds('2026-12-27T14:00:00Z'), epochSeconds('2027-12-28T00:00:00Z'), undefined];
  expect(rowsOf(buckets).map((row) => row.ttlSeconds)).toEqual([...ofOneView, ...ofOneView, ...ofOneView]);
});

it('sums the changes of a row and spans them from the first to the last position', () => {
  const buckets = new RecordedBuckets();
  const at = '2026-11-22T13:00:00Z';
  const first = buckets.write(bucketKey(), { at, consumed: { rpm: 1, tpm: 500 }, requests: 1 });
  buckets.write(bucketKey(), { at, denials: 4 });
  const last = buckets.write(bucketKey(), { at, consumed: { tpm: -430 } });

  const [addition] = rowsOf(buckets).map(rowAddition);
  expect(addition).toMatchObject({ requests: 1n, denials: 4n });
  expect(Object.fromEntries(addition!.consumed)).toEqual({ rpm: 1n, tpm: 70n });
  expect(addition!.firstPosition).toBe(sequenceNumber(first).padStart(40, '0'));
  expect(addition!.lastPosition).toBe(sequenceNumber(last).padStart(40, '0'));
});

it('writes a row whose charges and refunds cancel out, so that its position moves past both', () => {
  const buckets = new RecordedBuckets();
  const at = '2026-11-22T13:00:00Z';
  buckets.write(bucketKey(), { at, consumed: { tpm: 500 } });
  const refund = buckets.write(bucketKey(), { at, consumed: { tpm: -500 } });

  const [addition] = rowsOf(buckets).map(rowAddition);
  expect([...addition!.consumed]).toEqual([['tpm', 0n]]);
  expect(addition!.lastPosition).toBe(sequenceNumber(refund).padStart(40, '0'));
});

describe('how long rows are kept', () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at: '2026-11-22T13:30:00Z', consumed: { tpm: 1 } });
  const [changes] = readBucketChanges(buckets.records).buckets;

  it('is as told, of periods that are named', () => {
    const rows = usageRows(changes!, usageRetention({ hour: 16, month: 1_200 }, 'kept')).slice(0, 3);
    expect(rows.map(({ ttlSeconds }) => ttlSeconds)).toEqual([
      Date.parse('2026-12-08T14:00:00Z') / 1_000,
      Date.parse('2027-12-28T00:00:00Z') / 1_000,
      Date.parse('2030-03-15T00:00:00Z') / 1_000,
    ]);
  });

  it.each([{ hour: 15 }, { day: 3_661 }, { month: 30.5 }, { hour: '35' }, { week: 20 }])('is refused as %j', (kept) => {
    expect(() => usageRetention(kept, 'kept')).toThrow(/^Expected kept/);
  });
});
