import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bookUsage, type UsageRowStore } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { batchOf, bookedAfter, deliveries, expectedRows, type Fate, fated, recordsOf, steps } from './deliveries.js';
import { MemoryUsageRows } from './memory-usage-rows.js';
import { bucketKey, RecordedBuckets } from './recorded-buckets.js';

const everything = { repeats: 0, length: Number.POSITIVE_INFINITY, twice: false, reversed: false, fates: [] };

/** The sequence number of the first record that is not booked. */
async function firstFailed(store: UsageRowStore, batch: Parameters<typeof readBucketChanges>[0]): Promise<string | undefined> {
  const failures = await bookUsage(store, readBucketChanges(batch).buckets);
  return failures.map((failure) => failure.sequenceNumber).sort()[0];
}

it('counts every write once in every view under any duplicates, batch sizes, lost writes and lost answers', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(steps, deliveries, async (written, delivered) => {
      const records = recordsOf(written);
      const rows = new MemoryUsageRows();
      let booked = 0;
      for (const delivery of [...delivered, everything]) {
        const { end, batch } = batchOf(records, booked, delivery);
        booked = bookedAfter(records, booked, end, await firstFailed(fated(rows, delivery.fates), batch));
      }
      expect(booked).toBe(records.length);
      expect(rows.content()).toEqual(expectedRows(written));
    }),
    { numRuns: 1_000 },
  );
});

it('counts every write once in every view while a delivery that timed out is still being booked', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), steps, deliveries, async (scheduler, written, delivered) => {
      const records = recordsOf(written);
      const rows = new MemoryUsageRows();
      const slow: UsageRowStore = { add: scheduler.scheduleFunction((addition) => rows.add(addition)) };
      // None of them is awaited before the next one starts; all begin at the first record, whose booking nobody has confirmed.
      const underWay = [...delivered, everything].map((delivery) =>
        firstFailed(fated(slow, delivery.fates), batchOf(records, 0, delivery).batch),
      );
      await scheduler.waitFor(Promise.all(underWay));
      expect(await firstFailed(rows, records)).toBeUndefined();
      expect(rows.content()).toEqual(expectedRows(written));
    }),
    { numRuns: 500 },
  );
});

it('counts once what is cut in half and delivered half by half after the whole had partly arrived', async () => {
  const at = '2026-11-22T13:00:00Z';
  const buckets = new RecordedBuckets();
  for (let i = 0; i < 8; i++) buckets.write(bucketKey(), { at, consumed: { tpm: 10 ** i }, requests: 1 });
  const rows = new MemoryUsageRows();

  await firstFailed(fated(rows, ['answer lost', 'lost', 'arrives']), buckets.records);
  await firstFailed(rows, buckets.records.slice(0, 4));
  await firstFailed(rows, buckets.records.slice(4));

  expect([...rows.content().values()]).toEqual(Array(9).fill({ consumed: { tpm: 11_111_111n }, requests: 8n, denials: 0n }));
});

it('does not count a refund alone whose charge it cancelled in an earlier delivery', async () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at: '2026-11-22T12:59:59Z', consumed: { tpm: 500 } });
  buckets.write(bucketKey(), { at: '2026-11-22T13:00:00Z', consumed: { tpm: -500 } });
  const rows = new MemoryUsageRows();

  // The refund's hour is lost, so the refund comes again; its day, in which the two cancel out, has arrived.
  await firstFailed(fated(rows, ['arrives', 'lost']), buckets.records);
  await firstFailed(rows, buckets.records.slice(1));

  const days = [...rows.content()].filter(([id]) => id.includes('#day#'));
  expect(days.map(([, row]) => row.consumed)).toEqual(Array(3).fill({ tpm: 0n }));
});

it.each([1, 2, 3, 4, 5, 6, 7, 8])('counts once in every view when the process dies after write %i of 9', async (written) => {
  const at = '2026-11-22T13:00:00Z';
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at, consumed: { tpm: 5 }, requests: 1, denials: 2 });
  buckets.write(bucketKey(), { at, consumed: { tpm: 7 }, requests: 1 });
  const rows = new MemoryUsageRows();
  const lost = Array<Fate>(9 - written).fill('lost');

  expect(await firstFailed(fated(rows, [...Array<Fate>(written).fill('arrives'), ...lost]), buckets.records)).toBeDefined();
  expect(rows.content().size).toBe(written);
  expect(await firstFailed(rows, buckets.records)).toBeUndefined();

  expect([...rows.content().values()]).toEqual(Array(9).fill({ consumed: { tpm: 12n }, requests: 2n, denials: 2n }));
});
