import { expect, it } from 'vitest';
import type { Position } from '../../lib/core/bucket.js';
import { admits, type Demand, equalDemands, judge, longestWaitFs, rescaleWrites } from '../../lib/core/decision.js';
import { Limit } from '../../lib/core/limit.js';
import { storedOf } from './bucket-writers.js';

const MS = 1_000_000_000_000n;
const NOW = 1_800_000_000_000n * MS;
const MINUTE_MS = 60_000;

const rpm = Limit.perMinute('rpm', 100);
const tpm = Limit.perMinute('tpm', 100);
const asked = (requests: number, tokens: number, within?: number): readonly Demand[] => [
  { limit: rpm, cost: requests, within },
  { limit: tpm, cost: tokens, within },
];
/** Milliseconds that z is ahead of now, and the window, by limit. */
const standing = (...limits: readonly (readonly [name: string, aheadMs: number, windowMs?: number])[]) =>
  storedOf(
    new Map<string, Position>(
      limits.map(([name, aheadMs, windowMs = MINUTE_MS]) => [
        name,
        { fullAtFs: NOW + BigInt(aheadMs) * MS, windowFs: BigInt(windowMs) * MS },
      ]),
    ),
  );

it.each([
  { when: 'nothing is stored', demands: asked(1, 60), stored: standing(), levels: [100, 100], waitsMs: [0, 0] },
  {
    when: 'one limit is too low',
    demands: asked(1, 60),
    stored: standing(['rpm', 600], ['tpm', 36_000]),
    levels: [99, 40],
    waitsMs: [0, 12_000],
  },
  {
    when: 'both are too low',
    demands: asked(1, 60),
    stored: standing(['rpm', 60_000], ['tpm', 60_000]),
    levels: [0, 0],
    waitsMs: [600, 36_000],
  },
  {
    when: 'a limit is in debt that the request does not consume',
    demands: asked(1, 0),
    stored: standing(['tpm', 61_000]),
    levels: [100, -2],
    waitsMs: [0, 1_000],
  },
  {
    when: 'only a share may be in use',
    demands: asked(1, 50, 50),
    stored: standing(['rpm', 30_000], ['tpm', 600]),
    levels: [50, 99],
    waitsMs: [600, 600],
  },
  {
    when: 'a limit is stored under another window',
    demands: asked(50, 50),
    stored: standing(['rpm', 1_800_000, 3_600_000], ['tpm', 750, 1_000]),
    levels: [50, 25],
    waitsMs: [0, 15_000],
  },
  {
    when: 'another limit is stored',
    demands: asked(1, 1),
    stored: standing(['constructor', 60_000]),
    levels: [100, 100],
    waitsMs: [0, 0],
  },
])('judges each limit by itself, and all of them together, when $when', ({ demands, stored, levels, waitsMs }) => {
  const verdicts = judge(demands, stored, NOW);
  expect(verdicts.map(({ limit, cost }) => ({ limit, cost }))).toEqual(demands.map(({ limit, cost }) => ({ limit, cost })));
  expect(verdicts.map(({ available }) => available)).toEqual(levels);
  expect(verdicts.map(({ waitFs }) => waitFs)).toEqual(waitsMs.map((ms) => BigInt(ms) * MS));
  expect(admits(verdicts)).toBe(Math.max(...waitsMs) === 0);
  expect(longestWaitFs(verdicts)).toBe(BigInt(Math.max(...waitsMs)) * MS);
});

it('states when a limit is full again under its present window', () => {
  const verdicts = judge(asked(0, 0), standing(['rpm', 500, 1_000], ['tpm', 600]), NOW);
  expect(verdicts.map(({ fullAtFs }) => fullAtFs - NOW)).toEqual([30_000n * MS, 600n * MS]);
});

it('stores the rescaled position of a changed limit and consumes nothing, and leaves the others alone', () => {
  const stored = standing(['rpm', 500, 1_000], ['tpm', 600], ['rpd', 1, 2]);
  expect(rescaleWrites(asked(1, 1), stored, NOW)).toEqual([
    {
      name: 'rpm',
      windowFs: 60_000n * MS,
      branch: { kind: 'replace', fullAtFs: NOW + 30_000n * MS, seen: { fullAtFs: NOW + 500n * MS, windowFs: 1_000n * MS } },
      consumed: 0n,
    },
  ]);
});

it.each([
  { when: 'nothing is stored', stored: standing() },
  { when: 'every window is the present one', stored: standing(['rpm', 60_000], ['tpm', 600]) },
  { when: 'only a limit that is not asked for was changed', stored: standing(['rpm', 600], ['rpd', 1, 2]) },
])('has nothing to rescale when $when', ({ stored }) => {
  expect(rescaleWrites(asked(1, 1), stored, NOW)).toBeUndefined();
});

it.each([
  { when: 'all is the same', other: asked(1, 2), equal: true },
  { when: 'one cost is another', other: asked(1, 3), equal: false },
  { when: 'the share is another', other: asked(1, 2, 50), equal: false },
  { when: 'the order is another', other: asked(1, 2).toReversed(), equal: false },
  { when: 'one demand is missing', other: asked(1, 2).slice(0, 1), equal: false },
  {
    when: 'a limit is another',
    other: [asked(1, 2)[0], { limit: Limit.perMinute('tpm', 50), cost: 2 }],
    equal: false,
  },
])('tells equal demands from others when $when', ({ other, equal }) => {
  const demands = other.flatMap((demand) => (demand === undefined ? [] : [demand]));
  expect(equalDemands(asked(1, 2), demands)).toBe(equal);
  expect(equalDemands(demands, asked(1, 2))).toBe(equal);
});
