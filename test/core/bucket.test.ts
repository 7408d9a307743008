import { describe, expect, it } from 'vitest';
import { fillFs, fullAtUnder, level, waitFs } from '../../lib/core/bucket.js';
import { Limit, rateOf, type TokenBucketLimit } from '../../lib/core/limit.js';

const MS = 1_000_000_000_000n;
const NOW = 1_800_000_000_000n * MS;
/** An instant, so many milliseconds after now. */
const inMs = (ms: number): bigint => NOW + BigInt(ms) * MS;

/** 600 ms a token. */
const perMinute100 = Limit.perMinute('rpm', 100);
const burst15 = Limit.perMinute('rpm', 10, { burst: 15 });
const slow = Limit.custom({ name: 'slow', capacity: 1_000, refillAmount: 10, refillPeriodMs: 60_000 });

it.each([
  { limit: Limit.perSecond('l', 3), tokenFs: 333_333_333_333_334n, windowFs: 1_000_000_000_000_002n },
  { limit: Limit.perSecond('l', 5), tokenFs: 200_000_000_000_000n, windowFs: 1_000_000_000_000_000n },
  { limit: Limit.perMinute('l', 7), tokenFs: 8_571_428_571_428_572n, windowFs: 60_000_000_000_000_004n },
  { limit: Limit.perMinute('l', 700_000), tokenFs: 85_714_285_715n, windowFs: 60_000_000_000_500_000n },
  { limit: Limit.perHour('l', 1_000_000_000_000), tokenFs: 3_600_000n, windowFs: 3_600_000_000_000_000_000n },
  { limit: Limit.perDay('l', 24), tokenFs: 3_600_000_000_000_000_000n, windowFs: 86_400_000_000_000_000_000n },
  { limit: burst15, tokenFs: 6_000_000_000_000_000n, windowFs: 90_000_000_000_000_000n },
  { limit: slow, tokenFs: 6_000_000_000_000_000n, windowFs: 6_000_000_000_000_000_000n },
])(
  'a token of $limit.refillAmount each $limit.refillPeriodMs ms takes $tokenFs fs, rounded up',
  ({ limit, tokenFs, windowFs }) => {
    expect(rateOf(limit)).toEqual({ tokenFs, windowFs });
  },
);

it.each([
  { tokens: 0, fill: 0n },
  { tokens: 1, fill: 333_333_333_333_334n },
  { tokens: 3, fill: 1_000_000_000_000_002n },
  { tokens: -2, fill: -666_666_666_666_668n },
  { tokens: 9_007_199_254_740_991, fill: 3_002_399_751_580_336_338_132_836_493_994n },
])('$tokens tokens of three a second fill $fill fs: a token, so many times', ({ tokens, fill }) => {
  expect(fillFs(Limit.perSecond('l', 3), tokens)).toBe(fill);
});

describe('level', () => {
  it.each([
    { when: 'the bucket was full long ago', limit: perMinute100, fullAtFs: inMs(-3_600_000), tokens: 100 },
    { when: 'the bucket is full this instant', limit: perMinute100, fullAtFs: inMs(0), tokens: 100 },
    { when: 'a femtosecond is missing', limit: perMinute100, fullAtFs: inMs(0) + 1n, tokens: 99 },
    { when: 'one token is missing', limit: perMinute100, fullAtFs: inMs(600), tokens: 99 },
    { when: 'one token and a femtosecond are missing', limit: perMinute100, fullAtFs: inMs(600) + 1n, tokens: 98 },
    { when: 'all but one are missing', limit: perMinute100, fullAtFs: inMs(59_400), tokens: 1 },
    { when: 'all are missing', limit: perMinute100, fullAtFs: inMs(60_000), tokens: 0 },
    { when: 'debt begins', limit: perMinute100, fullAtFs: inMs(60_000) + 1n, tokens: -1 },
    { when: 'five windows are owed', limit: perMinute100, fullAtFs: inMs(360_000), tokens: -500 },
    { when: 'the burst is larger than the refill', limit: burst15, fullAtFs: inMs(6_000), tokens: 14 },
    { when: 'the burst is drained', limit: burst15, fullAtFs: inMs(90_000), tokens: 0 },
    {
      when: 'the debt is as large as a settlement can be',
      limit: slow,
      fullAtFs: NOW + fillFs(slow, 2 ** 53 - 1),
      tokens: -9_007_199_254_739_991,
    },
  ])('is whole tokens, rounded down, when $when', ({ limit, fullAtFs, tokens }) => {
    expect(level(limit, fullAtFs, NOW)).toBe(tokens);
  });
});

describe('wait', () => {
  it.each([
    { when: 'the bucket is full', limit: perMinute100, fullAtMs: 0, cost: 1, waitMs: 0 },
    { when: 'the bucket was full long ago', limit: perMinute100, fullAtMs: -3_600_000, cost: 100, waitMs: 0 },
    { when: 'exactly the cost is left', limit: perMinute100, fullAtMs: 59_400, cost: 1, waitMs: 0 },
    { when: 'one token is short', limit: perMinute100, fullAtMs: 60_000, cost: 1, waitMs: 600 },
    { when: 'part of a token came back', limit: perMinute100, fullAtMs: 59_401, cost: 1, waitMs: 1 },
    { when: '40 of 60 are left', limit: perMinute100, fullAtMs: 36_000, cost: 60, waitMs: 12_000 },
    { when: 'nothing is consumed of a drained bucket', limit: perMinute100, fullAtMs: 60_000, cost: 0, waitMs: 0 },
    { when: 'nothing is consumed in debt', limit: perMinute100, fullAtMs: 60_050, cost: 0, waitMs: 50 },
    {
      when: '500 of debt and one token are to come',
      limit: Limit.perMinute('tpm', 1_000),
      fullAtMs: 90_000,
      cost: 1,
      waitMs: 30_060,
    },
    { when: 'the burst is drained', limit: burst15, fullAtMs: 90_000, cost: 1, waitMs: 6_000 },
    { when: 'five a second are drained', limit: Limit.perSecond('rps', 5), fullAtMs: 1_000, cost: 1, waitMs: 200 },
    {
      when: '3,600 an hour are drained',
      limit: Limit.perHour('rph', 3_600),
      fullAtMs: 3_600_000,
      cost: 10,
      waitMs: 10_000,
    },
    { when: '24 a day are drained', limit: Limit.perDay('rpd', 24), fullAtMs: 86_400_000, cost: 1, waitMs: 3_600_000 },
    { when: 'ten a minute of 1,000 are drained', limit: slow, fullAtMs: 6_000_000, cost: 100, waitMs: 600_000 },
  ])('is $waitMs ms when $when', ({ limit, fullAtMs, cost, waitMs }) => {
    expect(waitFs(limit, inMs(fullAtMs), NOW, cost)).toBe(BigInt(waitMs) * MS);
  });

  it('is exact to the femtosecond', () => {
    const limit = Limit.perSecond('rps', 3);
    expect(waitFs(limit, NOW + 666_666_666_666_668n, NOW, 1)).toBe(0n);
    expect(waitFs(limit, NOW + 666_666_666_666_669n, NOW, 1)).toBe(1n);
  });

  it.each([
    { when: 'the share is not used up', fullAtMs: 24_000, cost: 10, within: 50, waitMs: 0 },
    { when: 'the share is used up though half of the bucket is left', fullAtMs: 30_000, cost: 10, within: 50, waitMs: 6_000 },
    { when: 'more than the share is used up', fullAtMs: 60_000, cost: 1, within: 50, waitMs: 30_600 },
    { when: 'the cost is all of the share', fullAtMs: 600, cost: 1, within: 1, waitMs: 600 },
    { when: 'nothing of the bucket may be in use', fullAtMs: 600, cost: 0, within: 0, waitMs: 600 },
  ])('counts to a share of the capacity when $when', ({ fullAtMs, cost, within, waitMs }) => {
    expect(waitFs(perMinute100, inMs(fullAtMs), NOW, cost, within)).toBe(BigInt(waitMs) * MS);
  });
});

/** How many lots a bucket grants at one instant, from full. */
function grantedLots(limit: TokenBucketLimit, lot: number): number {
  let lots = 0;
  for (let fullAtFs = NOW; waitFs(limit, fullAtFs, NOW, lot) === 0n; fullAtFs += fillFs(limit, lot)) lots += 1;
  return lots;
}

it.each([
  { when: '3 a second', limit: Limit.perSecond('l', 3), lot: 1, lots: 3 },
  { when: '7 a minute', limit: Limit.perMinute('l', 7), lot: 1, lots: 7 },
  { when: '700,000 a minute', limit: Limit.perMinute('l', 700_000), lot: 1, lots: 700_000 },
  { when: '700,000 a minute', limit: Limit.perMinute('l', 700_000), lot: 7_000, lots: 100 },
  { when: '1e12 an hour', limit: Limit.perHour('l', 1_000_000_000_000), lot: 1_000_000_000, lots: 1_000 },
  { when: '10 a minute with a burst of 15', limit: burst15, lot: 1, lots: 15 },
  { when: '2^53 - 1 a day', limit: Limit.perDay('l', 9_007_199_254_740_991), lot: 9_007_199_254_740_991, lots: 1 },
])('grants exactly $lots lots of $lot from full at $when', ({ limit, lot, lots }) => {
  expect(grantedLots(limit, lot)).toBe(lots);
});

it('grants exactly its capacity from full, in single tokens, for every limit of 1 to 1,000 a minute', () => {
  const inexact = Array.from({ length: 1_000 }, (_, index) => index + 1).filter(
    (amount) => grantedLots(Limit.perMinute('l', amount), 1) !== amount,
  );
  expect(inexact).toEqual([]);
});

describe('a position under a changed limit', () => {
  const DAY = 86_400_000;
  it.each([
    { when: 'it is absent', limit: perMinute100, position: undefined, fullAtFs: undefined },
    { when: 'the window is the same', limit: perMinute100, position: [30_000, 60_000], fullAtFs: inMs(30_000) },
    { when: 'the bucket is full', limit: perMinute100, position: [0, 1_000], fullAtFs: inMs(0) },
    { when: 'the bucket was full long ago', limit: perMinute100, position: [-5_000, 1_000], fullAtFs: inMs(-5_000) },
    { when: 'the window grows', limit: perMinute100, position: [500, 1_000], fullAtFs: inMs(30_000) },
    { when: 'the window shrinks', limit: perMinute100, position: [1_800_000, 3_600_000], fullAtFs: inMs(30_000) },
    {
      when: '1,000 a day, drained, become 1,000 a minute',
      limit: Limit.perMinute('l', 1_000),
      position: [DAY, DAY],
      fullAtFs: inMs(60_000),
    },
    { when: 'three windows are owed', limit: perMinute100, position: [4_000, 1_000], fullAtFs: inMs(240_000) },
    {
      when: 'a third of the new window is no whole number',
      limit: Limit.perSecond('l', 1),
      position: [1, 3],
      fullAtFs: NOW + 333_333_333_333_334n,
    },
    { when: 'the smallest span is ahead', limit: perMinute100, position: [0, 3_600_000], moreFs: 1n, fullAtFs: NOW + 1n },
  ])('keeps the share in use, rounded up, when $when', ({ limit, position, moreFs = 0n, fullAtFs }) => {
    const [aheadMs, windowMs] = position ?? [];
    const stored =
      aheadMs === undefined || windowMs === undefined
        ? undefined
        : { fullAtFs: inMs(aheadMs) + moreFs, windowFs: BigInt(windowMs) * MS };
    expect(fullAtUnder(limit, stored, NOW)).toBe(fullAtFs);
  });

  it('leaves the same share free before and after a raise from 100 to 200', () => {
    const before = { fullAtFs: inMs(15_000), windowFs: 60_000n * MS };
    const raised = Limit.perMinute('rpm', 100, { burst: 200 });
    expect(level(perMinute100, before.fullAtFs, NOW)).toBe(75);
    expect(level(raised, fullAtUnder(raised, before, NOW) ?? NOW, NOW)).toBe(150);
  });
});
