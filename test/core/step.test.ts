import { expect, it } from 'vitest';
import { evaluated, predict } from '../../lib/core/branch.js';
import type { Position } from '../../lib/core/bucket.js';
import { Limit, rateOf } from '../../lib/core/limit.js';
import { IDENTITY, moved, refuses, type Step, thenAcquire, thenAdjust, thenFloor } from '../../lib/core/step.js';

/** An acquire, an adjustment or a floor of one limit, in femtoseconds. */
type Operation =
  | { readonly kind: 'acquire'; readonly now: bigint; readonly fill: bigint; readonly bound: bigint }
  | { readonly kind: 'adjust'; readonly delta: bigint }
  | { readonly kind: 'floor'; readonly atLeast: bigint };
type Z = bigint | undefined;

const acquires = (nows: readonly bigint[], fills: readonly bigint[], bounds: readonly bigint[]): Operation[] =>
  nows.flatMap((now) => fills.flatMap((fill) => bounds.map((bound): Operation => ({ kind: 'acquire', now, fill, bound }))));
const adjusts = (deltas: readonly bigint[]): Operation[] => deltas.map((delta) => ({ kind: 'adjust', delta }));

/** What the algebra has to equal: one operation after the other, each on the z that the one before it left. */
function oneByOne(operations: readonly Operation[], z: Z): { readonly refused: boolean; readonly z: Z } {
  let at = z;
  for (const operation of operations) {
    if (operation.kind === 'adjust') {
      at = at === undefined ? undefined : at + operation.delta;
      continue;
    }
    if (operation.kind === 'floor') {
      at = at === undefined || at < operation.atLeast ? operation.atLeast : at;
      continue;
    }
    const from = at === undefined || at < operation.now ? operation.now : at;
    if (from + operation.fill > operation.now + operation.bound) return { refused: true, z };
    at = from + operation.fill;
  }
  return { refused: false, z: at };
}

function composed(step: Step, operation: Operation): Step | undefined {
  if (operation.kind === 'adjust') return thenAdjust(step, operation.delta);
  if (operation.kind === 'floor') return thenFloor(step, operation.atLeast);
  return thenAcquire(step, operation.now, operation.fill, operation.bound);
}

/** What a walk over all sequences met, and where the algebra differed from one-by-one (the first few). */
interface Tally {
  /** Sequences that one map composes, and those whose last acquire fits behind the others on no z: it is not in their batch. */
  batches: number;
  leftOut: number;
  /** Batches times z. */
  cases: number;
  admitted: number;
  /** Cases times the z that the writer saw last. */
  predictions: number;
  readonly differences: string[];
}

/** The algebra works on bare femtoseconds; of its limit, a write only knows the window, which is stored beside z. */
const limit = Limit.custom({ name: 'n', capacity: 4, refillAmount: 10_000_000_000, refillPeriodMs: 1 });
const { windowFs } = rateOf(limit);
const positionAt = (z: Z): Position | undefined => (z === undefined ? undefined : { fullAtFs: z, windowFs });
const shown = (_key: string, value: unknown) => (typeof value === 'bigint' ? Number(value) : value);

/** Every sequence of up to `longest` operations, on every z, predicted from every z. */
function walk(operations: readonly Operation[], longest: number, zs: readonly Z[]): Tally {
  const tally: Tally = { batches: 0, leftOut: 0, cases: 0, admitted: 0, predictions: 0, differences: [] };
  const differs = (what: string, ...where: unknown[]): void => {
    if (tally.differences.length < 5) tally.differences.push(`${what}: ${JSON.stringify(where, shown)}`);
  };
  const extend = (step: Step, before: readonly Operation[]): void => {
    for (const operation of operations) {
      const batch = [...before, operation];
      const next = composed(step, operation);
      if (next === undefined) {
        tally.leftOut += 1;
        for (const z of zs) if (!oneByOne(batch, z).refused) differs('left out though admitted', batch, z);
        continue;
      }
      tally.batches += 1;
      compare(next, batch);
      if (batch.length < longest) extend(next, batch);
    }
  };
  const compare = (step: Step, batch: readonly Operation[]): void => {
    const branches = batch.some(({ kind }) => kind === 'acquire')
      ? zs.map((seen) => ({ seen, branch: predict(step, limit, positionAt(seen), 0n) }))
      : [];
    for (const { seen, branch } of branches) {
      if (branch.kind === 'replace' || branch.kind === 'shift') differs('neither busy nor idle', batch, seen);
      if (branch.kind === 'busy' && branch.minFs > branch.maxFs) differs('BETWEEN is the wrong way round', batch, seen, branch);
    }
    for (const z of zs) {
      const wanted = oneByOne(batch, z);
      tally.cases += 1;
      tally.admitted += wanted.refused ? 0 : 1;
      if (refuses(step, z) !== wanted.refused) differs('refused otherwise', batch, z);
      if (!wanted.refused && moved(step, z) !== wanted.z) differs('moved otherwise', batch, z, moved(step, z), wanted.z);
      for (const { seen, branch } of branches) {
        tally.predictions += 1;
        const left = evaluated(branch, windowFs, positionAt(z));
        if (left === undefined && seen === z && !wanted.refused) differs('the truth predicts a branch that fails', batch, z);
        if (left !== undefined && wanted.refused) differs('written though refused', batch, z, seen, branch);
        if (left !== undefined && !wanted.refused && left.fullAtFs !== wanted.z) differs('wrote otherwise', batch, z, seen, left);
      }
    }
  };
  extend(IDENTITY, []);
  return tally;
}

const range = (least: number, most: number): bigint[] => Array.from({ length: most - least + 1 }, (_, i) => BigInt(least + i));
const CAPACITY = 4n;

it('equals one-by-one, composed and as a write, for all sequences of up to three operations, whatever z was seen', () => {
  const operations = [...acquires([0n, 1n, 3n], [0n, 1n, 2n, CAPACITY], [CAPACITY, CAPACITY / 2n]), ...adjusts(range(-3, 3))];
  // From below every idle bound of three operations to above every ceiling of them.
  expect(walk(operations, 3, [undefined, ...range(-7, 14)])).toEqual({
    batches: 12_580,
    leftOut: 7_446,
    cases: 289_340, // 12,580 batches x 23 z
    admitted: 147_310,
    predictions: 6_443_749, // the 12,181 batches that acquire x 23 z stored x 23 z seen
    differences: [],
  });
});

it('equals one-by-one for sequences of four operations, when acquires are further apart than their bound', () => {
  const operations = [...acquires([0n, 6n], [0n, 1n, CAPACITY], [CAPACITY]), ...adjusts([-3n, -1n, 2n])];
  expect(walk(operations, 4, [undefined, ...range(-9, 18)])).toEqual({
    batches: 3_345,
    leftOut: 1_326,
    cases: 97_005, // 3,345 batches x 29 z
    admitted: 53_568,
    predictions: 2_712_225, // the 3,225 batches that acquire x 29 z stored x 29 z seen
    differences: [],
  });
});

it('equals one-by-one with floors between acquires and adjustments', () => {
  const floors = [-1n, 2n, 5n].map((atLeast): Operation => ({ kind: 'floor', atLeast }));
  const operations = [...acquires([0n, 3n], [1n, CAPACITY], [CAPACITY, CAPACITY / 2n]), ...adjusts([-2n, 3n]), ...floors];
  expect(walk(operations, 3, [undefined, ...range(-7, 14)])).toEqual({
    batches: 816,
    leftOut: 562,
    cases: 18_768, // 816 batches x 23 z
    admitted: 11_184,
    predictions: 349_669,
    differences: [],
  });
});

it('leaves z and its absence alone when nothing is composed', () => {
  expect([-5n, 0n, 5n, undefined].map((z) => moved(IDENTITY, z))).toEqual([-5n, 0n, 5n, undefined]);
  expect([-5n, 0n, 5n, undefined].map((z) => refuses(IDENTITY, z))).toEqual([false, false, false, false]);
});

it('has no branch for a step without an acquire', () => {
  expect(() => predict(thenAdjust(IDENTITY, 5n), limit, undefined, 0n)).toThrow(
    new TypeError('a predicted step holds at least one acquire'),
  );
});
