import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { NOTHING_HELD, predictSlots, type Slots, thenFree, thenTake } from '../../lib/core/slots.js';
import { FS_PER_MS } from '../../lib/core/time.js';
import type { BucketWrite, WriteResult } from '../../lib/store/store.js';
import { short } from '../support/long.js';
import { dynamo, memory, type TestBed } from '../support/stores.js';

const NOW = 1_800_000_000_000n * FS_PER_MS;
const three = Limit.concurrent('inflight', 3, { leaseMs: 1_000 });
const keys = ['a', 'b', 'c', 'd', 'e-f', '_g'];

/** What one process does by what it saw last, which may be long ago: takes slots and gives some back, so many milliseconds on. */
const step = fc.record({
  afterMs: fc.constantFrom(0, 300, 1_000),
  take: fc.subarray(keys, { maxLength: 2 }),
  free: fc.subarray(keys, { maxLength: 2 }),
  stale: fc.boolean(),
});

const slotsOf = (result: WriteResult | undefined): Slots | undefined => result?.state.slots.get('inflight');

const RUNS = short(30, 60);

it('the memory store and DynamoDB come to the same slots after every write, whatever its writer had seen', async () => {
  const outcomes = { applied: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 8 }), async (steps) => {
      const beds: readonly TestBed[] = [await memory.fresh(), await dynamo.fresh()];
      let [seen, before]: (Slots | undefined)[] = [undefined, undefined];
      let nowFs = NOW;
      for (const { afterMs, take, free, stale } of steps) {
        nowFs += BigInt(afterMs) * FS_PER_MS;
        const known = stale ? before : seen;
        let held = NOTHING_HELD;
        // Nobody gives back a slot before it was granted.
        for (const key of free.filter((one) => !take.includes(one))) held = thenFree(held, key, known, nowFs) ?? held;
        for (const key of take) held = thenTake(held, three, key, nowFs, known) ?? held;
        const branch = predictSlots(held, known, nowFs);
        const results: WriteResult[] = [];
        for (const { store, bucket } of beds) {
          const write: BucketWrite = {
            key: bucket(),
            limits: [{ name: 'inflight', windowFs: 0n, branch, consumed: 0n }],
            requests: 0,
            denials: 0,
            ttl: { seconds: 4_000_000_000, ifAbsent: true },
          };
          results.push(await store.write(write));
        }
        expect(results[1]).toEqual(results[0]);
        expect(await beds[1]?.store.read(beds[1].bucket())).toEqual(await beds[0]?.store.read(beds[0].bucket()));
        outcomes[results[0]?.applied ? 'applied' : 'refused'] += 1;
        [before, seen] = [seen, slotsOf(results[0])];
      }
    }),
    { seed: 20_261_123, numRuns: RUNS },
  );
  // Otherwise the programs prove little.
  expect(outcomes.applied).toBeGreaterThan(2 * RUNS);
  expect(outcomes.refused).toBeGreaterThan(RUNS / 2);
}, 60_000);
