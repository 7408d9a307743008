import { expect, it } from 'vitest';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { rowAddition, usageRows } from '../../lib/usage/usage-rows.js';
import { bucketKey, epochSeconds, RecordedBuckets, sequenceNumber } from './recorded-buckets.js';

function rowsOf(buckets: RecordedBuckets) {
  return readBucketChanges(buckets.records).buckets.flatMap(usageRows);
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

  expect(rowsOf(buckets).map(({ pk, sk }) => ({ pk, sk }))).toEqual([
    { pk: 'default#e#key-1', sk: `usage#hour#${starts[0]}:00:00Z#gpt-4#key-1#0` },
    { pk: 'default#e#key-1', sk: `usage#day#${starts[1]}:00:00Z#gpt-4#key-1#0` },
    { pk: 'default#e#key-1', sk: `usage#month#${starts[2]}:00:00Z#gpt-4#key-1#0` },
  ]);
});

it('splits the writes of a bucket at each boundary they cross', () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at: '2026-11-30T22:59:59Z', consumed: { tpm: 1 } });
  buckets.write(bucketKey(), { at: '2026-11-30T23:00:00Z', consumed: { tpm: 10 } });
  buckets.write(bucketKey(), { at: '2026-12-01T00:00:00Z', consumed: { tpm: 100 } });

  const sums = rowsOf(buckets).map((row) => [row.sk.slice(6, 24), rowAddition(row).consumed.get('tpm')]);
  expect(sums).toEqual([
    ['hour#2026-11-30T22', 1n],
    ['hour#2026-11-30T23', 10n],
    ['hour#2026-12-01T00', 100n],
    ['day#2026-11-30T00:', 11n],
    ['day#2026-12-01T00:', 100n],
    ['month#2026-11-01T0', 11n],
    ['month#2026-12-01T0', 100n],
  ]);
});

it('keeps hours 35 days, days 400 days after they end, and months for good', () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at: '2026-11-22T13:30:00Z', consumed: { tpm: 1 } });

  expect(rowsOf(buckets).map((row) => row.ttlSeconds)).toEqual([
    epochSeconds('2026-12-27T14:00:00Z'),
    epochSeconds('2027-12-28T00:00:00Z'),
    undefined,
  ]);
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
