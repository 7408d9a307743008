import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchWrites, emptyBatch, sameLimits, startBehind, withAcquire, withDifferences } from '../../lib/core/batch.js';
import { fillFs, fullAtUnder, type Position } from '../../lib/core/bucket.js';
import { Limit, rateOf, type TokenBucketLimit } from '../../lib/core/limit.js';
import type { Charge } from '../../lib/core/settlement.js';
import { NOTHING_STORED } from '../../lib/core/standing.js';
import { Bucket, type BucketDemand, demandsOf, storedOf } from './bucket-writers.js';
import { costsOf, START, twelfths, twoLimits } from './programs.js';

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const chargeOf = (limit: TokenBucketLimit, tokens: number): Charge => ({
  kind: 'bucket',
  name: limit.name,
  counts: limit.counts,
  tokens,
  ...rateOf(limit),
});

/** An acquire by twelfths of the capacities, or differences in twelfths of them; each a little later than the one before it. */
const operations = fc.array(
  fc.record({
    kind: fc.constantFrom('acquire', 'acquire', 'acquire', 'settle'),
    twelfths,
    /** Of what the cost leaves, how much may be in use as well. */
    within: fc.oneof(fc.constant(12), fc.nat(12)),
    sign: fc.constantFrom(-1, 1),
    laterBy: fc.record({ of: fc.nat(1), tokens: fc.nat(2), offset: fc.nat(1) }),
  }),
  { minLength: 1, maxLength: 10, size: 'max' },
);

/** How far ahead of now, in twelfths of its window; under the present window, another one, or absent. */
const standing = fc.tuple(
  ...[0, 1].map(() =>
    fc.option(fc.record({ part: fc.integer({ min: -6, max: 18 }), scale: fc.constantFrom(1n, 1n, 2n, 7n) }), { nil: undefined }),
  ),
);

function positionsOf(
  limits: readonly TokenBucketLimit[],
  at: readonly ({ part: number; scale: bigint } | undefined)[],
): Map<string, Position> {
  const positions = new Map<string, Position>();
  for (const [index, limit] of limits.entries()) {
    const where = at[index];
    if (where === undefined) continue;
    const windowFs = rateOf(limit).windowFs * where.scale;
    positions.set(limit.name, { fullAtFs: START + (windowFs * BigInt(where.part)) / 12n, windowFs });
  }
  return positions;
}

/** One acquire behind another on full-at instants, undefined being full: the next instants, or undefined where it does not fit. */
function acquired(
  demands: readonly BucketDemand[],
  fullAt: readonly (bigint | undefined)[],
  nowFs: bigint,
): bigint[] | undefined {
  const next = demands.map(({ limit, cost }, index) => max(fullAt[index] ?? nowFs, nowFs) + fillFs(limit, cost));
  const fits = demands.every(
    ({ limit, within = 0 }, index) => (next[index] ?? 0n) <= nowFs + BigInt(within) * rateOf(limit).tokenFs,
  );
  return fits ? next : undefined;
}

/** Leases may be of an earlier version of the limits: their differences, and what these are under the present one. */
const differencesOf = (earlier: readonly TokenBucketLimit[], costs: readonly number[]) =>
  earlier.map((limit, index) => ({ charge: chargeOf(limit, 0), tokens: costs[index] ?? 0 }));

function scaledUp(cost: number, earlier: TokenBucketLimit | undefined, present: TokenBucketLimit | undefined): bigint {
  if (earlier === undefined || present === undefined) return 0n;
  const [numerator, denominator] = [fillFs(earlier, cost) * rateOf(present).windowFs, rateOf(earlier).windowFs];
  return numerator / denominator + (numerator > 0n && numerator % denominator !== 0n ? 1n : 0n);
}

const sharing = (limits: readonly TokenBucketLimit[], costs: readonly number[], twelfth: number): readonly BucketDemand[] =>
  demandsOf(limits, costs).map((demand) => ({
    ...demand,
    within: demand.cost + Math.floor(((demand.limit.capacity - demand.cost) * twelfth) / 12),
  }));

describe('a batch', () => {
  it('takes in what fits one by one and nothing else, and its one write leaves what they would', () => {
    const counted = { taken: 0, left: 0, written: 0 };
    fc.assert(
      fc.property(twoLimits, twoLimits, standing, standing, operations, (limits, earlier, where, believed, asked) => {
        const positions = positionsOf(limits, where);
        let fullAt = limits.map((limit) => fullAtUnder(limit, positions.get(limit.name), START));
        let nowFs = START;
        let consumed = limits.map(() => 0n);
        let batch = emptyBatch(demandsOf(limits, []), storedOf(positions), START);
        for (const { kind, twelfths: parts, within, sign, laterBy } of asked) {
          nowFs += fillFs(limits[laterBy.of] ?? limits[0], laterBy.tokens) + BigInt(laterBy.offset);
          const costs = costsOf(limits, parts).map((cost) => (kind === 'settle' ? sign * cost : cost));
          const next =
            kind === 'acquire'
              ? acquired(sharing(limits, costs, within), fullAt, nowFs)
              : fullAt.map((z, index) => z && z + scaledUp(costs[index] ?? 0, earlier[index], limits[index]));
          const longer =
            kind === 'acquire'
              ? withAcquire(batch, sharing(limits, costs, within), nowFs, nowFs)
              : withDifferences(batch, differencesOf(earlier, costs), 0, START);
          expect(longer === undefined).toBe(next === undefined);
          counted[next === undefined ? 'left' : 'taken'] += 1;
          if (longer === undefined || next === undefined) continue;
          [batch, fullAt] = [longer, next];
          consumed = consumed.map((sum, index) => sum + BigInt(costs[index] ?? 0));
        }
        if (batch.acquires === 0) return;
        const wanted = new Map(
          limits.map((limit, index) => [limit.name, { fullAtFs: fullAt[index], windowFs: rateOf(limit).windowFs }]),
        );
        const bucket = new Bucket(positions);
        const writes = batchWrites(batch, storedOf(positions), START);
        expect(bucket.write(writes)).toBe(true);
        expect(bucket.positions).toEqual(wanted);
        expect(writes.map((write) => write.consumed)).toEqual(consumed);
        // A writer who believes otherwise fails, or leaves the same.
        const misled = new Bucket(positions);
        if (misled.write(batchWrites(batch, storedOf(positionsOf(limits, believed)), START)))
          expect(misled.positions).toEqual(wanted);
        counted.written += 1;
      }),
      { numRuns: 400 },
    );
    for (const times of Object.values(counted)) expect(times).toBeGreaterThan(100);
  });

  it('on a bucket of which nothing is known is written exactly where every acquire in it fits', () => {
    const counted = { written: 0, refused: 0 };
    fc.assert(
      fc.property(twoLimits, standing, operations, (limits, where, asked) => {
        const positions = positionsOf(limits, where);
        let batch = emptyBatch(demandsOf(limits, []), undefined, START);
        let fullAt: (bigint | undefined)[] | undefined = limits.map((limit) =>
          fullAtUnder(limit, positions.get(limit.name), START),
        );
        for (const { twelfths: parts, within } of asked) {
          const demands = sharing(limits, costsOf(limits, parts), within);
          const longer = withAcquire(batch, demands, START, START);
          if (longer === undefined) continue;
          batch = longer;
          fullAt = fullAt && acquired(demands, fullAt, START);
        }
        if (batch.acquires === 0) return;
        expect(new Bucket(positions).write(batchWrites(batch, storedOf(positions), START))).toBe(fullAt !== undefined);
        counted[fullAt === undefined ? 'refused' : 'written'] += 1;
      }),
      { numRuns: 400 },
    );
    for (const times of Object.values(counted)) expect(times).toBeGreaterThan(100);
  });

  it('lets a request start behind it at the stated instant, and not a femtosecond earlier', () => {
    fc.assert(
      fc.property(twoLimits, standing, operations, twelfths, fc.nat(12), (limits, where, asked, cost, share) => {
        let batch = emptyBatch(demandsOf(limits, []), storedOf(positionsOf(limits, where)), START);
        for (const { kind, twelfths: parts, within, sign } of asked) {
          const costs = costsOf(limits, parts).map((tokens) => (kind === 'settle' ? sign * tokens : tokens));
          const longer =
            kind === 'acquire'
              ? withAcquire(batch, sharing(limits, costs, within), START, START)
              : withDifferences(batch, differencesOf(limits, costs), 0, START);
          batch = longer ?? batch;
        }
        const demands = sharing(limits, costsOf(limits, cost), share);
        const startFs = startBehind(batch, demands, START);
        expect(withAcquire(batch, demands, startFs, START)).toBeDefined();
        if (startFs > START) expect(withAcquire(batch, demands, startFs - 1n, START)).toBeUndefined();
      }),
      { numRuns: 250 },
    );
  });
});

const rpm = Limit.perMinute('rpm', 10);
const tpm = Limit.perMinute('tpm', 100);
const empty = emptyBatch(demandsOf([rpm, tpm], []), undefined, START);

it.each([
  { when: 'the same values', limits: [rpm, tpm], same: true },
  { when: 'equal ones made elsewhere', limits: [Limit.perMinute('rpm', 10), Limit.perMinute('tpm', 100)], same: true },
  { when: 'the other order', limits: [tpm, rpm], same: false },
  { when: 'one of them', limits: [rpm], same: false },
  { when: 'one more', limits: [rpm, tpm, Limit.perDay('rpd', 1)], same: false },
  { when: 'another amount', limits: [rpm, Limit.perMinute('tpm', 101)], same: false },
  { when: 'another burst', limits: [rpm, Limit.perMinute('tpm', 100, { burst: 50 })], same: false },
  { when: 'another name', limits: [rpm, Limit.perMinute('tpm2', 100)], same: false },
])('knows whether a request goes by its limits: $when', ({ limits, same }) => {
  expect(sameLimits(empty, demandsOf(limits, []))).toBe(same);
});

it.each([
  { limit: rpm, mode: 'charged', seenFs: START, branch: 'idle' },
  {
    limit: Limit.perMinute('rpm', 60, { mode: 'observe' }),
    mode: 'observed and not charged',
    seenFs: START + 70n * 10n ** 15n,
    branch: 'idle',
  },
])('keeps to a floor behind an acquire of a limit that is $mode', ({ limit, seenFs, branch }) => {
  const { windowFs } = rateOf(limit);
  const floorFs = START + 80n * 10n ** 15n;
  const stored = storedOf(new Map([['rpm', { fullAtFs: seenFs, windowFs }]]));
  const acquired = withAcquire(emptyBatch(demandsOf([limit], [1]), stored, START), demandsOf([limit], [1]), START, START);
  const batch = acquired && withDifferences(acquired, [{ charge: chargeOf(limit, 1), tokens: 0, floorFs }], 0, START);
  const [write] = batch ? batchWrites(batch, stored, START) : [];
  expect([write?.branch.kind, write?.branch.kind === 'idle' && write.branch.fullAtFs]).toEqual([branch, floorFs]);
});

it('counts the acquires in it and the requests that settlements bring, and takes no settlement of a limit that it does not write', () => {
  const one = withAcquire(empty, demandsOf([rpm, tpm], [1, 50]), START, START);
  const two = one && withDifferences(one, [{ charge: chargeOf(tpm, 50), tokens: -20 }], 3, START);
  expect([two?.acquires, two?.requests]).toEqual([1, 4]);
  expect(two && batchWrites(two, NOTHING_STORED, START).map(({ name, consumed }) => ({ name, consumed }))).toEqual([
    { name: 'rpm', consumed: 1n },
    { name: 'tpm', consumed: 30n },
  ]);
  expect(withDifferences(empty, [{ charge: chargeOf(Limit.perDay('usd', 5), 1), tokens: 1 }], 0, START)).toBeUndefined();
});
