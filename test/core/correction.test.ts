import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Branch, evaluated, movesPosition, predict } from '../../lib/core/branch.js';
import type { Position } from '../../lib/core/bucket.js';
import { takenBack } from '../../lib/core/correction.js';
import { Limit, rateOf } from '../../lib/core/limit.js';
import { IDENTITY, moved, type Step, thenAcquire } from '../../lib/core/step.js';
import { storedOf } from './bucket-writers.js';

const MS = 1_000_000_000_000n;
const NOW = 1_800_000_000_000n * MS;
/** 20 a second, 20 at once. */
const limit = Limit.perSecond('rps', 20);
const WINDOW = 1_000n * MS;
const at = (ms: bigint, windowFs = WINDOW): Position => ({ fullAtFs: NOW + ms * MS, windowFs });
const met = (position: Position | undefined) => storedOf(new Map(position === undefined ? [] : [['rps', position]]));

/** Where a write's branch, and what takes it back, leave a position. Undefined: one of the conditions failed. */
function setRight(branch: Branch, errorMs: bigint, before: Position | undefined, between = 0n): Position | undefined {
  const left = evaluated(branch, WINDOW, before);
  if (left === undefined) return undefined;
  const changed = { ...left, fullAtFs: left.fullAtFs + between };
  const [back] = takenBack(
    [{ name: 'rps', windowFs: WINDOW, branch, consumed: 1n }],
    NOW + errorMs * MS,
    errorMs * MS,
    met(before),
  );
  if (back === undefined) return changed;
  if (!movesPosition(back.branch)) throw new Error('a window was moved');
  return evaluated(back.branch, back.windowFs, changed);
}

/** What a clock that is wrong by `errorMs` writes for one token, having seen `seen`. */
function one(errorMs: bigint, seen: Position | undefined): Branch {
  const nowFs = NOW + errorMs * MS;
  return predict(thenAcquire(IDENTITY, nowFs, 50n * MS, WINDOW) as Step, limit, seen, nowFs);
}

describe('a write of one token, once its error is taken back', () => {
  it.each([
    { when: 'a minute ahead on a new bucket', errorMs: 60_000n, before: undefined, left: at(50n) },
    { when: 'a minute ahead on a full one', errorMs: 60_000n, before: at(-9_000n), left: at(50n) },
    { when: 'a minute ahead on one in use', errorMs: 60_000n, before: at(300n), left: at(350n) },
    {
      when: 'a minute ahead on an empty one, where it was admitted by mistake',
      errorMs: 60_000n,
      before: at(1_000n),
      left: at(1_050n),
    },
    { when: 'a minute behind on a new bucket', errorMs: -60_000n, before: undefined, left: at(50n) },
    { when: 'a minute behind on one unused for longer', errorMs: -60_000n, before: at(-70_000n), left: at(50n) },
    { when: '50 ms ahead', errorMs: 50n, before: undefined, left: at(50n) },
    { when: '49 ms ahead, which is left', errorMs: 49n, before: undefined, left: at(99n) },
    { when: '49 ms behind, which is left', errorMs: -49n, before: undefined, left: at(1n) },
    { when: 'right', errorMs: 0n, before: undefined, left: at(50n) },
  ])('stands where a right clock had left it: $when', ({ errorMs, before, left }) => {
    expect(setRight(one(errorMs, undefined), errorMs, before)).toEqual(left);
  });

  it.each([
    { when: 'charged', between: 200n * MS, left: at(250n) },
    { when: 'given back', between: -200n * MS, left: at(-150n) },
  ])('keeps what others have $when meanwhile, by a clock ahead', ({ between, left }) => {
    expect(setRight(one(60_000n, undefined), 60_000n, undefined, between)).toEqual(left);
  });

  it('is not set forward where others have met the bucket meanwhile', () => {
    expect(setRight(one(-60_000n, undefined), -60_000n, undefined, 1n)).toBeUndefined();
  });

  it('has nothing to take back where it added to what was stored', () => {
    const busy = one(-60_000n, at(300n));
    expect(busy.kind).toBe('busy');
    expect(
      takenBack(
        [{ name: 'rps', windowFs: WINDOW, branch: busy, consumed: 1n }],
        NOW - 60_000n * MS,
        -60_000n * MS,
        met(at(300n)),
      ),
    ).toEqual([]);
  });
});

describe('a changed limit that took over by a wrong clock', () => {
  const HALF = 500n * MS;
  // 10 of 20 in use under the old window; the new one is twice as long.
  const seen = at(250n, HALF);

  it.each([60_000n, 100n, -100n])('holds the share in use as of the true time, and the charge (%s ms)', (errorMs) => {
    const branch = one(errorMs, seen);
    expect(branch.kind).toBe('replace');
    // 500 ms for what is in use, 50 ms for this write.
    expect(setRight(branch, errorMs, seen)).toEqual(at(550n));
  });
});

describe('whatever a bucket was and its clock said', () => {
  it('an idle write and its correction leave what a right clock had left, had it admitted as much', () => {
    const ms = (most: number) => fc.integer({ min: -most, max: most }).map(BigInt);
    fc.assert(
      fc.property(
        fc.option(ms(100_000), { nil: undefined }),
        ms(90_000),
        fc.integer({ min: 0, max: 20 }),
        (metMs, errorMs, cost) => {
          fc.pre(errorMs >= 50n || errorMs <= -50n);
          const before = metMs === undefined ? undefined : at(metMs);
          const [nowFs, fillFs] = [NOW + errorMs * MS, BigInt(cost) * rateOf(limit).tokenFs];
          const branch = predict(thenAcquire(IDENTITY, nowFs, fillFs, WINDOW) as Step, limit, undefined, nowFs);
          fc.pre(evaluated(branch, WINDOW, before) !== undefined);

          const right = thenAcquire(IDENTITY, NOW, fillFs, WINDOW) as Step;
          expect(setRight(branch, errorMs, before)?.fullAtFs).toBe(moved(right, before?.fullAtFs));
        },
      ),
    );
  });
});
