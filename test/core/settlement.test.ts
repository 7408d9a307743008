import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Position } from '../../lib/core/bucket.js';
import { type BucketCharge, changesNothing, scaledFs, settlementWrites } from '../../lib/core/settlement.js';
import { evaluatedWrite, storedOf } from './bucket-writers.js';

/** 100 tokens of 7 fs. */
const charge = (tokens: number, name = 'tpm'): BucketCharge => ({
  kind: 'bucket',
  name,
  counts: 'tokens',
  tokens,
  tokenFs: 7n,
  windowFs: 700n,
});
const storedUnder = (windowFs: bigint, fullAtFs = 5_000n, name = 'tpm') =>
  new Map<string, Position>([[name, { fullAtFs, windowFs }]]);

/** What one lease, acquired at 1,000, posts. */
const posted = (charged: number, tokens: number, positions?: ReadonlyMap<string, Position>) =>
  settlementWrites(
    [{ differences: [{ charge: charge(charged), tokens }], acquiredAtFs: 1_000n }],
    positions && storedOf(positions),
  );
const shift = (windowFs: bigint, addFs: bigint, ifAbsentFs: bigint, consumed: bigint) => [
  { name: 'tpm', windowFs, branch: { kind: 'shift', addFs, ifAbsentFs }, consumed },
];

it.each([
  { when: 'more was used', charged: 10, tokens: 5, positions: undefined, writes: shift(700n, 35n, 1_070n, 5n) },
  { when: 'less was used', charged: 10, tokens: -4, positions: undefined, writes: shift(700n, -28n, 1_070n, -4n) },
  { when: 'all is given back', charged: 10, tokens: -10, positions: undefined, writes: shift(700n, -70n, 1_070n, -10n) },
  { when: 'nothing was charged before', charged: 0, tokens: 3, positions: undefined, writes: shift(700n, 21n, 1_000n, 3n) },
  {
    when: 'more than the capacity was used',
    charged: 100,
    tokens: 900,
    positions: undefined,
    writes: shift(700n, 6_300n, 1_700n, 900n),
  },
  { when: 'the window is as it was', charged: 10, tokens: 5, positions: storedUnder(700n), writes: shift(700n, 35n, 1_070n, 5n) },
  {
    when: 'only another limit is stored',
    charged: 10,
    tokens: 5,
    positions: storedUnder(350n, 0n, 'rpm'),
    writes: shift(700n, 35n, 1_070n, 5n),
  },
  {
    when: 'the window was doubled',
    charged: 10,
    tokens: 5,
    positions: storedUnder(1_400n),
    writes: shift(1_400n, 70n, 1_140n, 5n),
  },
  {
    when: 'the window was halved, a charge rounded up',
    charged: 1,
    tokens: 5,
    positions: storedUnder(350n),
    writes: shift(350n, 18n, 1_004n, 5n),
  },
  {
    when: 'the window was halved, a refund rounded down',
    charged: 5,
    tokens: -5,
    positions: storedUnder(350n),
    writes: shift(350n, -17n, 1_018n, -5n),
  },
])('posts the difference, at the share of the bucket that it was, when $when', ({ charged, tokens, positions, writes }) => {
  expect(posted(charged, tokens, positions)).toEqual(writes);
});

it.each([
  { when: 'z is there', stored: { fullAtFs: 5_000n, windowFs: 700n }, left: { fullAtFs: 5_035n, windowFs: 700n } },
  { when: 'z is long past', stored: { fullAtFs: -5_000n, windowFs: 700n }, left: { fullAtFs: -4_965n, windowFs: 700n } },
  {
    when: 'the item is gone: as if it had been charged on a full bucket',
    stored: undefined,
    left: { fullAtFs: 1_105n, windowFs: 700n },
  },
  { when: 'the window is another: it has to be sent again', stored: { fullAtFs: 5_000n, windowFs: 350n }, left: undefined },
])('settles where $when', ({ stored, left }) => {
  const [write] = posted(10, 5);
  expect(write && evaluatedWrite(write, stored)).toEqual(left);
});

/** What one lease posts with a floor at 6,000, where z was seen. */
const floored = (tokens: number, seenFs: bigint, seenWindowFs = 700n) =>
  settlementWrites(
    [{ differences: [{ charge: charge(10), tokens, floorFs: 6_000n }], acquiredAtFs: 1_000n }],
    storedOf(storedUnder(seenWindowFs, seenFs)),
  );

it.each([
  { when: 'z is below it', tokens: -4, seenFs: 5_000n, leftFs: 6_000n },
  { when: 'the charge brings z up to it', tokens: 4, seenFs: 5_972n, leftFs: 6_000n },
  { when: 'the charge brings z above it', tokens: 4, seenFs: 5_973n, leftFs: 6_001n },
  { when: 'the refund brings z below it', tokens: -4, seenFs: 6_010n, leftFs: 6_000n },
  { when: 'z stays above it', tokens: -4, seenFs: 6_028n, leftFs: 6_000n },
  { when: 'nothing is posted but the floor', tokens: 0, seenFs: 5_999n, leftFs: 6_000n },
])('keeps to a floor of 6,000 fs when $when', ({ tokens, seenFs, leftFs }) => {
  const [write] = floored(tokens, seenFs);
  expect(write && evaluatedWrite(write, { fullAtFs: seenFs, windowFs: 700n })).toEqual({ fullAtFs: leftFs, windowFs: 700n });
  expect(write?.consumed).toBe(BigInt(tokens));
});

it('is sent again where z was seen below a floor and is above it', () => {
  const [write] = floored(-4, 5_000n);
  expect(write && evaluatedWrite(write, { fullAtFs: 6_028n, windowFs: 700n })).toBeUndefined();
  expect(write && evaluatedWrite(write, { fullAtFs: 6_027n, windowFs: 700n })).toEqual({ fullAtFs: 6_000n, windowFs: 700n });
});

it('forgets a floor under a window that was changed, and where nothing was seen', () => {
  expect(floored(-4, 5_000n, 1_400n)).toEqual(shift(1_400n, -56n, 1_140n, -4n));
  const unseen = [{ differences: [{ charge: charge(10), tokens: -4, floorFs: 6_000n }], acquiredAtFs: 1_000n }];
  expect(settlementWrites(unseen, undefined)).toEqual(shift(700n, -28n, 1_070n, -4n));
});

it('posts what comes after a floor on top of it', () => {
  const settlements = [
    { differences: [{ charge: charge(10), tokens: -1, floorFs: 6_000n }], acquiredAtFs: 1_000n },
    { differences: [{ charge: charge(10), tokens: 5, floorFs: 5_500n }], acquiredAtFs: 1_000n },
  ];
  const [write] = settlementWrites(settlements, storedOf(storedUnder(700n, 5_000n)));
  expect(write && evaluatedWrite(write, { fullAtFs: 5_000n, windowFs: 700n })).toEqual({ fullAtFs: 6_035n, windowFs: 700n });
});

it.each([
  { when: 'there is none', differences: [], seenFs: 5_000n, nothing: true },
  {
    when: 'z stands above the floor',
    differences: [{ charge: charge(10), tokens: 0, floorFs: 6_000n }],
    seenFs: 6_000n,
    nothing: true,
  },
  {
    when: 'z stands below the floor',
    differences: [{ charge: charge(10), tokens: 0, floorFs: 6_000n }],
    seenFs: 5_999n,
    nothing: false,
  },
  { when: 'tokens are given back', differences: [{ charge: charge(10), tokens: -1 }], seenFs: 5_000n, nothing: false },
])('knows that a difference changes nothing: $nothing when $when', ({ differences, seenFs, nothing }) => {
  expect(changesNothing(differences, storedOf(storedUnder(700n, seenFs)))).toBe(nothing);
});

it('posts several leases of a limit as one sum, counted from the latest of them where the item is gone', () => {
  const settlements = [
    { differences: [{ charge: charge(10), tokens: 5 }], acquiredAtFs: 1_000n },
    { differences: [{ charge: charge(2), tokens: -2 }], acquiredAtFs: 3_000n },
    { differences: [{ charge: charge(40), tokens: 1 }], acquiredAtFs: 2_000n },
  ];
  expect(settlementWrites(settlements, undefined)).toEqual(shift(700n, 28n, 3_014n, 4n));
});

it('posts limits beside each other, each under its own stored window', () => {
  const differences = [
    { charge: charge(10), tokens: 5 },
    { charge: charge(1, 'rpm'), tokens: -1 },
  ];
  expect(settlementWrites([{ differences, acquiredAtFs: 1_000n }], storedOf(storedUnder(1_400n, 0n, 'rpm')))).toEqual([
    { name: 'tpm', windowFs: 700n, branch: { kind: 'shift', addFs: 35n, ifAbsentFs: 1_070n }, consumed: 5n },
    { name: 'rpm', windowFs: 1_400n, branch: { kind: 'shift', addFs: -14n, ifAbsentFs: 1_014n }, consumed: -1n },
  ]);
});

it('posts leases from before and after a change under one window', () => {
  const after: BucketCharge = { kind: 'bucket', name: 'tpm', counts: 'tokens', tokens: 10, tokenFs: 14n, windowFs: 1_400n };
  const settlements = [
    { differences: [{ charge: charge(10), tokens: 5 }], acquiredAtFs: 1_000n },
    { differences: [{ charge: after, tokens: 5 }], acquiredAtFs: 1_000n },
  ];
  expect(settlementWrites(settlements, undefined)).toEqual(shift(700n, 70n, 1_070n, 10n));
  expect(settlementWrites(settlements, storedOf(storedUnder(1_400n)))).toEqual(shift(1_400n, 140n, 1_140n, 10n));
});

it.each([
  { tokens: 0, windowFs: 350n, fs: 0n },
  { tokens: 1, windowFs: 700n, fs: 7n },
  { tokens: 1, windowFs: 350n, fs: 4n },
  { tokens: -1, windowFs: 350n, fs: -3n },
  { tokens: 1, windowFs: 1n, fs: 1n },
  { tokens: -1, windowFs: 1n, fs: 0n },
  { tokens: 100, windowFs: 1n, fs: 1n },
  { tokens: -100, windowFs: 1n, fs: -1n },
])('$tokens tokens of a window of 700 fs are $fs fs of one of $windowFs fs', ({ tokens, windowFs, fs }) => {
  expect(scaledFs(charge(0), tokens, windowFs)).toBe(fs);
});

const tokens = fc.integer({ min: -200, max: 900 });
const position = fc.record({
  fullAtFs: fc.bigInt({ min: -3_000n, max: 9_000n }),
  windowFs: fc.constantFrom(1n, 300n, 700n, 701n, 1_400n),
});
const stored = fc.option(position, { nil: undefined });

/** One difference after the other, each sent again where the first write meets another window. */
function settled(differences: readonly number[], from: Position | undefined): Position | undefined {
  let at = from;
  let charged = 200;
  for (const difference of differences) {
    const [guess] = posted(charged, difference);
    const [again] = posted(charged, difference, at && new Map([['tpm', at]]));
    at = (guess && evaluatedWrite(guess, at)) ?? (again && evaluatedWrite(again, at));
    charged += difference;
  }
  return at;
}

it('is never refused: knowing what is stored, one write settles', () => {
  fc.assert(
    fc.property(stored, tokens, (from, difference) => {
      const [write] = posted(200, difference, from && new Map([['tpm', from]]));
      expect(write && evaluatedWrite(write, from)).toBeDefined();
    }),
  );
});

it('a then b equals b then a equals a + b, with and without an item', () => {
  fc.assert(
    fc.property(stored, tokens, tokens, (from, a, b) => {
      const under = from && { ...from, windowFs: 700n };
      expect(settled([a, b], under)).toEqual(settled([a + b], under));
      expect(settled([b, a], under)).toEqual(settled([a, b], under));
    }),
  );
});

it('a then b under a changed window gives away nothing over a + b, and costs at most a femtosecond more', () => {
  fc.assert(
    fc.property(position, tokens, tokens, (from, a, b) => {
      const [apart, together] = [settled([a, b], from), settled([a + b], from)];
      const moreFs = (apart?.fullAtFs ?? 0n) - (together?.fullAtFs ?? 0n);
      expect([0n, 1n]).toContain(moreFs);
    }),
  );
});
