/** What a bucket answers to a request, given where its limits stand: one verdict a limit, all decided together. */

import { type Branch, type LimitWrite, predict } from './branch.js';
import { fillFs, fullAtUnder, level, type Positions, waitFs } from './bucket.js';
import { type Limit, rateOf } from './limit.js';
import { IDENTITY, type Step, thenAcquire } from './step.js';

/** What a request asks of one limit: `cost` tokens, 0 for a limit of its bucket that it does not consume. */
export interface Demand {
  readonly limit: Limit;
  /** Whole tokens, 0 to the capacity. */
  readonly cost: number;
}

/** How one limit stands towards one demand. */
export interface Verdict {
  readonly limit: Limit;
  readonly cost: number;
  /** Whole tokens there, rounded down; negative: debt. */
  readonly available: number;
  /** 0n: this limit admits the cost now. */
  readonly waitFs: bigint;
  /** When the bucket will be full again; not after now: it is full. */
  readonly fullAtFs: bigint;
}

/** The verdict of every limit, in the order of the demands, at one instant. */
export function judge(demands: readonly Demand[], positions: Positions, nowFs: bigint): readonly Verdict[] {
  return demands.map(({ limit, cost }) => {
    const fullAtFs = fullAtUnder(limit, positions.get(limit.name), nowFs) ?? nowFs;
    return {
      limit,
      cost,
      available: level(limit, fullAtFs, nowFs),
      waitFs: waitFs(limit, fullAtFs, nowFs, cost),
      fullAtFs,
    };
  });
}

/** Whether every limit admits its cost now. */
export function admits(verdicts: readonly Verdict[]): boolean {
  return verdicts.every((verdict) => verdict.waitFs === 0n);
}

/**
 * The write that acquires all demands at `nowFs`, each limit in the branch that the positions seen last predict.
 * `seen` undefined: nothing is known of this bucket.
 */
export function acquireWrites(demands: readonly Demand[], seen: Positions | undefined, nowFs: bigint): readonly LimitWrite[] {
  return demands.map(({ limit, cost }) => ({
    name: limit.name,
    windowFs: rateOf(limit).windowFs,
    branch: predict(acquireStep(limit, cost, nowFs), limit, seen?.get(limit.name), nowFs),
    consumed: BigInt(cost),
  }));
}

function acquireStep(limit: Limit, cost: number, nowFs: bigint): Step {
  const step = thenAcquire(IDENTITY, nowFs, fillFs(limit, cost), rateOf(limit).windowFs);
  if (step === undefined) throw new RangeError(`${limit.name}: cost ${cost} is above the capacity ${limit.capacity}`);
  return step;
}

/**
 * The write that stores a changed limit's rescaled positions and consumes nothing, so that the wait stated with a denial holds.
 * Undefined when every position that matters is under its present window already.
 */
export function rescaleWrites(
  demands: readonly Demand[],
  positions: Positions,
  nowFs: bigint,
): readonly LimitWrite[] | undefined {
  const writes = demands.flatMap(({ limit }) => {
    const seen = positions.get(limit.name);
    const { windowFs } = rateOf(limit);
    if (seen === undefined || seen.windowFs === windowFs) return [];
    const branch: Branch = { kind: 'replace', fullAtFs: fullAtUnder(limit, seen, nowFs) ?? nowFs, seen };
    return [{ name: limit.name, windowFs, branch, consumed: 0n }];
  });
  return writes.length === 0 ? undefined : writes;
}
