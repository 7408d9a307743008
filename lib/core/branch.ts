/**
 * One limit's part of a bucket write: a condition and an assignment that a database without max() can evaluate.
 * A step becomes `busy` or `idle`, whichever its writer predicts; both are exact, so a wrong guess only fails and tells the truth.
 *
 *           B - A            U
 *     ------- | ------------ | ------> stored z
 *       idle  |     busy     | refused
 *      z' = B |   z' = z + A |
 */
import type { Position } from './bucket.js';
import { fullAtUnder } from './bucket.js';
import { rateOf, type TokenBucketLimit } from './limit.js';
import type { WindowBranch } from './quota.js';
import type { SlotBranch } from './slots.js';
import { refuses, type Step } from './step.js';

/** z' = z + add, if min <= z <= max and the stored window is this one. */
export interface Busy {
  readonly kind: 'busy';
  readonly addFs: bigint;
  readonly minFs: bigint;
  readonly maxFs: bigint;
}

/** z' = fullAt, if there is no z, or z < below and the stored window is this one. */
export interface Idle {
  readonly kind: 'idle';
  readonly fullAtFs: bigint;
  readonly belowFs: bigint;
}

/** z' = fullAt under this window, if the stored position is still exactly `seen`: how a changed limit takes over. */
export interface Replace {
  readonly kind: 'replace';
  readonly fullAtFs: bigint;
  readonly seen: Position;
}

/** z' = (z, or `ifAbsent`) + add, if the stored window is absent or this one: a settlement, never refused. */
export interface Shift {
  readonly kind: 'shift';
  readonly addFs: bigint;
  readonly ifAbsentFs: bigint;
}

/** z stays, whatever it is: an observed limit that would have denied. */
export interface Unmoved {
  readonly kind: 'unmoved';
}

export type Branch = Busy | Idle | Replace | Shift | Unmoved;

export type AnyBranch = Branch | WindowBranch | SlotBranch;

/** A position's branch, as opposed to one of a window's use, or of slots. */
export function movesPosition(branch: AnyBranch): branch is Busy | Idle | Replace | Shift {
  return branch.kind === 'busy' || branch.kind === 'idle' || branch.kind === 'replace' || branch.kind === 'shift';
}

/** A branch that takes slots or gives them back. */
export function movesSlots(branch: AnyBranch): branch is SlotBranch {
  return SLOT_BRANCHES.has(branch.kind);
}

const SLOT_BRANCHES: ReadonlySet<string> = new Set<SlotBranch['kind']>(['firstSlots', 'holdSlots', 'freeSlots', 'rewriteSlots']);

/**
 * One limit's part of a write. `windowFs`: of a token bucket the window that the branch was computed under, which is stored beside z; of a quota
 * or session how long its window lasts; of a concurrency limit 0n.
 */
export interface LimitWrite {
  readonly name: string;
  readonly windowFs: bigint;
  readonly branch: AnyBranch;
  /** Tokens added to the limit's running total, net of refunds. */
  readonly consumed: bigint;
}

/**
 * The branch that the last seen position predicts for a step that acquires. `seen` undefined: nothing is known, or no z is stored;
 * both start with `idle`, which is the single write of a bucket's first request.
 */
export function predict(step: Step, limit: TokenBucketLimit, seen: Position | undefined, nowFs: bigint): Branch {
  const { addFs, floorFs, ceilingFs } = step;
  if (floorFs === undefined || ceilingFs === undefined) throw new TypeError('a predicted step holds at least one acquire');
  const minFs = floorFs - addFs;
  if (seen !== undefined && seen.windowFs !== rateOf(limit).windowFs) {
    const fullAtFs = fullAtUnder(limit, seen, nowFs) ?? nowFs;
    // Refused, changed or not: then a branch under the present window, which fails on what was seen and brings the truth.
    if (!refuses(step, fullAtFs)) return { kind: 'replace', fullAtFs: fullAtFs < minFs ? floorFs : fullAtFs + addFs, seen };
  }
  // BETWEEN with its constants the wrong way round is an error on AWS, not a failed condition: such a step has no busy branch.
  if (seen !== undefined && seen.fullAtFs >= minFs && minFs <= ceilingFs) return { kind: 'busy', addFs, minFs, maxFs: ceilingFs };
  return { kind: 'idle', fullAtFs: floorFs, belowFs: minFs <= ceilingFs ? minFs : ceilingFs + 1n };
}

/** The position a branch leaves, or undefined where its condition fails: for a store that evaluates conditions itself. */
export function evaluated(branch: Branch, windowFs: bigint, stored: Position | undefined): Position | undefined {
  const sameWindow = stored?.windowFs === windowFs;
  switch (branch.kind) {
    case 'busy':
      return sameWindow && stored.fullAtFs >= branch.minFs && stored.fullAtFs <= branch.maxFs
        ? { fullAtFs: stored.fullAtFs + branch.addFs, windowFs }
        : undefined;
    case 'idle':
      return stored === undefined || (sameWindow && stored.fullAtFs < branch.belowFs)
        ? { fullAtFs: branch.fullAtFs, windowFs }
        : undefined;
    case 'replace':
      return stored?.fullAtFs === branch.seen.fullAtFs && stored.windowFs === branch.seen.windowFs
        ? { fullAtFs: branch.fullAtFs, windowFs }
        : undefined;
    case 'unmoved':
      return stored;
    case 'shift':
      return stored === undefined || sameWindow
        ? { fullAtFs: (stored?.fullAtFs ?? branch.ifAbsentFs) + branch.addFs, windowFs }
        : undefined;
  }
}
