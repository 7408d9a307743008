import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Batch, batchWrites, emptyBatch, withAcquire, withDifferences } from '../../lib/core/batch.js';
import { fillFs, fullAtUnder, type Position } from '../../lib/core/bucket.js';
import { admits, judge } from '../../lib/core/decision.js';
import { Limit, rateOf } from '../../lib/core/limit.js';
import type { Charge } from '../../lib/core/settlement.js';
import { Bucket, demandsOf, storedOf } from './bucket-writers.js';
import { START } from './programs.js';

const rpm = Limit.perMinute('rpm', 100);
/** 600 ms a token. */
const tpm = Limit.perMinute('tpm', 100, { mode: 'observe' });
const limits = [rpm, tpm];
const { tokenFs, windowFs } = rateOf(tpm);

const used = (tokens: number, scale = 1n): Position => ({
  fullAtFs: START + BigInt(tokens) * tokenFs * scale,
  windowFs: windowFs * scale,
});
const charge: Charge = { kind: 'bucket', name: 'tpm', counts: 'tokens', tokens: 50, tokenFs, windowFs };

/** So many requests and tokens as a request, or so many tokens more or less as a settlement. */
type Operation = { readonly acquire: readonly [number, number] } | { readonly settle: number; readonly overdrawn?: boolean };

function batchOf(operations: readonly Operation[], positions: ReadonlyMap<string, Position>): Batch {
  let batch = emptyBatch(demandsOf(limits, []), storedOf(positions), START);
  for (const operation of operations) {
    const next =
      'acquire' in operation
        ? withAcquire(batch, demandsOf(limits, operation.acquire), START, START)
        : withDifferences(batch, [{ charge: { ...charge, overdrawn: operation.overdrawn }, tokens: operation.settle }], 0, START);
    if (next === undefined) throw new Error('an observed limit refused');
    batch = next;
  }
  return batch;
}

it.each([
  { when: 'the cost fits', stored: used(40), operations: [{ acquire: [1, 60] }], left: used(100), overdrawn: [] },
  { when: 'the cost does not fit', stored: used(41), operations: [{ acquire: [1, 60] }], left: used(41), overdrawn: ['tpm'] },
  {
    when: 'the cost is above the capacity',
    stored: undefined,
    operations: [{ acquire: [1, 101] }],
    left: undefined,
    overdrawn: ['tpm'],
  },
  { when: 'it is in debt', stored: used(500), operations: [{ acquire: [1, 0] }], left: used(500), overdrawn: ['tpm'] },
  {
    when: 'it does not fit, and was stored under another window',
    stored: used(90, 2n),
    operations: [{ acquire: [1, 60] }],
    left: used(90, 2n),
    overdrawn: ['tpm'],
  },
  {
    when: 'a lease settles more beside a request that it would deny',
    stored: used(90),
    operations: [{ settle: 5 }, { acquire: [1, 50] }],
    left: used(95),
    overdrawn: ['tpm'],
  },
  {
    when: 'a lease settles less behind a request that it would deny',
    stored: used(90),
    operations: [{ acquire: [1, 50] }, { settle: -30 }],
    left: used(60),
    overdrawn: ['tpm'],
  },
  {
    when: 'a lease settles beside such a request after the window was halved',
    stored: used(90, 2n),
    operations: [{ settle: 5 }, { acquire: [1, 50] }],
    left: used(95),
    overdrawn: ['tpm'],
  },
  {
    when: 'a lease settles beside such a request and nothing is stored',
    stored: undefined,
    operations: [{ settle: 5 }, { acquire: [1, 101] }],
    left: used(5),
    overdrawn: ['tpm'],
  },
  {
    when: 'a charge and its refund cancel out beside such a request',
    stored: used(90, 2n),
    operations: [{ settle: 5 }, { settle: -5 }, { acquire: [1, 50] }],
    left: used(90, 2n),
    overdrawn: ['tpm'],
  },
  {
    when: 'a lease settles that it did not charge',
    stored: used(90),
    operations: [{ settle: 700, overdrawn: true }, { acquire: [1, 50] }],
    left: used(90),
    overdrawn: ['tpm'],
  },
] as const)('an observed limit denies nothing and is charged what fits when $when', ({ stored, operations, left, overdrawn }) => {
  const positions = new Map(stored === undefined ? [] : [['tpm', stored]]);
  const batch = batchOf(operations, positions);
  const bucket = new Bucket(positions);
  expect(bucket.write(batchWrites(batch, storedOf(positions), START))).toBe(true);
  expect(bucket.positions.get('tpm')).toEqual(left);
  expect(batch.overdrawn).toEqual(overdrawn);
  expect(admits(judge(demandsOf(limits, [1, 50]), storedOf(bucket.positions), START))).toBe(true);
});

const operations = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ acquire: fc.tuple(fc.nat(3), fc.nat(120)) }) },
    { weight: 1, arbitrary: fc.record({ settle: fc.integer({ min: -120, max: 120 }), overdrawn: fc.boolean() }) },
  ),
  { minLength: 1, maxLength: 8, size: 'max' },
);
const standing = fc.option(
  fc.tuple(fc.integer({ min: -30, max: 150 }), fc.constantFrom(1n, 1n, 2n, 7n)).map(([tokens, scale]) => used(tokens, scale)),
  { nil: undefined },
);

it('is written in one go, whatever settles beside what it would deny: charged as one by one, uncharged where nothing fits', () => {
  const counted = { charged: 0, settled: 0, untouched: 0 };
  fc.assert(
    fc.property(standing, operations, (stored, asked) => {
      const positions = new Map(stored === undefined ? [] : [['tpm', stored]]);
      const batch = batchOf(asked, positions);
      if (batch.acquires === 0) return;
      let fullAtFs = fullAtUnder(tpm, stored, START);
      let [charged, settledFs] = [false, 0n];
      for (const operation of asked) {
        if ('settle' in operation) {
          if (operation.overdrawn) continue;
          settledFs += fillFs(tpm, operation.settle);
          if (fullAtFs !== undefined) fullAtFs += fillFs(tpm, operation.settle);
          continue;
        }
        const fromFs = fullAtFs === undefined || fullAtFs < START ? START : fullAtFs;
        const nextFs = fromFs + fillFs(tpm, operation.acquire[1]);
        if (nextFs > START + windowFs) continue;
        [fullAtFs, charged] = [nextFs, true];
      }
      const moved = charged || settledFs !== 0n;
      counted[charged ? 'charged' : moved ? 'settled' : 'untouched'] += 1;
      const bucket = new Bucket(positions);
      expect(bucket.write(batchWrites(batch, storedOf(positions), START))).toBe(true);
      expect(bucket.positions.get('tpm')).toEqual(moved ? { fullAtFs: fullAtFs ?? START + settledFs, windowFs } : stored);
    }),
    { numRuns: 500 },
  );
  for (const times of Object.values(counted)) expect(times).toBeGreaterThan(20);
});
