import { expect, it } from 'vitest';
import { bookUsage, type UsageRowStore } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { seeded } from '../support/virtual-time.js';
import { batchOf, bookedAfter, type Delivery, expectedRows, type Fate, fated, recordsOf, type Step } from './deliveries.js';
import { MemoryUsageRows } from './memory-usage-rows.js';
import { bucketKey } from './recorded-buckets.js';

const RECORDS = 100_000;
/** Writes of a delivery whose fate is drawn: more than any needs. */
const LONGEST = 1_000;

/** Whole numbers from 0 to below `bound`, the same for the same seed. */
function draws(seed: number): (bound: number) => number {
  const random = seeded(seed);
  return (bound) => Math.floor(random() * bound);
}

/** One write in fifty a deletion, one in ten a refund; 40 buckets, and hours, days and months that end among the writes. */
function randomSteps(draw: (bound: number) => number): Step[] {
  const startMs = Date.parse('2026-11-29T22:00:00Z');
  return Array.from({ length: RECORDS }, (_, index) => {
    const bucket = bucketKey({
      entity: `key-${draw(10)}`,
      resource: draw(2) === 0 ? 'gpt-4o' : 'gpt-5',
      shard: draw(2),
    });
    if (draw(50) === 0) return { bucket, write: 'remove' };
    const at = new Date(startMs + index * 1_000).toISOString();
    const tokens = draw(10) === 0 ? -draw(500) : draw(2_000);
    return { bucket, write: { at, consumed: { tpm: tokens, rpm: 1 }, requests: 1, denials: draw(3) } };
  });
}

/** A delivery of up to 1,000 records in which writes are lost here and there, or all from one of them on, as when the process dies. */
function randomDelivery(draw: (bound: number) => number): Delivery {
  const dies = draw(5) === 0 ? draw(400) : LONGEST;
  const fates = Array.from({ length: LONGEST }, (_, write): Fate => {
    const chance = draw(5_000);
    if (write >= dies || chance === 0) return 'lost';
    return chance === 1 ? 'answer lost' : 'arrives';
  });
  return { repeats: draw(300), length: 1 + draw(1_000), twice: draw(2) === 0, reversed: draw(2) === 0, fates };
}

it('counts a hundred thousand writes to the token, through lost writes, deaths, repeated and overlapping batches', {
  timeout: 120_000,
}, async () => {
  const draw = draws(20_261_123);
  const written = randomSteps(draw);
  const records = recordsOf(written);
  const rows = new MemoryUsageRows();
  let [writes, deliveries, failed, booked] = [0, 0, 0, 0];
  const counting: UsageRowStore = {
    add: (addition) => {
      writes++;
      return rows.add(addition);
    },
  };

  const startedMs = performance.now();
  while (booked < records.length) {
    const delivery = randomDelivery(draw);
    const { end, batch } = batchOf(records, booked, delivery);
    const failures = await bookUsage(fated(counting, delivery.fates), readBucketChanges(batch).buckets);
    const first = failures.map((failure) => failure.sequenceNumber).sort()[0];
    deliveries++;
    if (first !== undefined) failed++;
    booked = bookedAfter(records, booked, end, first);
  }

  const seconds = (performance.now() - startedMs) / 1_000;
  process.stdout.write(
    `${RECORDS} records in ${deliveries} deliveries: ${(writes / RECORDS).toFixed(2)} writes a record, ${Math.round(RECORDS / seconds)} records/s\n`,
  );
  expect(failed).toBeGreaterThan(20);
  expect(rows.content()).toEqual(expectedRows(written));
});
