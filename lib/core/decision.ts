/** What a bucket answers to a request, given where its limits stand: one verdict a limit, all decided together. */

import type { Branch, LimitWrite } from './branch.js';
import { fullAtUnder } from './bucket.js';
import { scheduledWaitFs } from './coming-forms.js';
import { formsOf } from './forms.js';
import { type Limit, rateOf } from './limit.js';
import { limitWaitFs, type Standing, type Stored, standingOf } from './standing.js';

/** What a request asks of one limit: `cost` tokens, 0 for a limit of its bucket that it does not consume. */
export interface Demand {
  readonly limit: Limit;
  /** Whole tokens, 0 to `within`, else to the capacity; of a scheduled limit to those of any of its forms. */
  readonly cost: number;
  /** How much of the capacity may be in use with this request: less than all leaves headroom for others. @default all */
  readonly within?: number | undefined;
  /** The share of the capacity that is `within`, of any form of a scheduled limit. @default 1 */
  readonly share?: number | undefined;
  /** Nothing is drawn, whatever the cost: it is only counted. @default false */
  readonly bypass?: boolean | undefined;
  /** Of a concurrency limit: the key of the slot it takes, the same in all attempts. Needed where the cost is 1. */
  readonly slot?: string | undefined;
}

/** Whether two requests ask the same of the same limits, in the same order. */
export function equalDemands(a: readonly Demand[], b: readonly Demand[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      ({ limit, cost, within, bypass }, index) =>
        limit === b[index]?.limit && cost === b[index]?.cost && within === b[index]?.within && bypass === b[index]?.bypass,
    )
  );
}

/** How one limit stands towards one demand. */
export interface Verdict extends Standing {
  readonly limit: Limit;
  readonly cost: number;
  /** 0n: this limit admits the cost now; an observed or bypassed one always does. */
  readonly waitFs: bigint;
}

/** The verdict of every limit, in the order of the demands, at one instant. */
export function judge(demands: readonly Demand[], stored: Stored, nowFs: bigint): readonly Verdict[] {
  return demands.map((demand) => ({
    limit: demand.limit,
    cost: demand.cost,
    ...standingOf(demand.limit, stored, nowFs),
    waitFs: waitOf(demand, stored, nowFs),
  }));
}

function waitOf({ limit, cost, within, share = 1, bypass }: Demand, stored: Stored, nowFs: bigint): bigint {
  if (bypass) return 0n;
  if (formsOf(limit) !== undefined) return scheduledWaitFs({ limit, cost, share }, stored, nowFs);
  return limitWaitFs(limit, stored, nowFs, cost, within);
}

/** Whether every limit admits its cost now. */
export function admits(verdicts: readonly Verdict[]): boolean {
  return verdicts.every((verdict) => verdict.waitFs === 0n);
}

/** The longest of the verdicts' waits: when the whole request may be tried again. */
export function longestWaitFs(verdicts: readonly Verdict[]): bigint {
  let longestFs = 0n;
  for (const { waitFs: oneFs } of verdicts) if (oneFs > longestFs) longestFs = oneFs;
  return longestFs;
}

/**
 * The write that stores a changed limit's rescaled positions and consumes nothing, so that the wait stated with a denial holds.
 * Undefined when every position that matters is under its present window already.
 */
export function rescaleWrites(
  demands: readonly Demand[],
  { positions }: Stored,
  nowFs: bigint,
): readonly LimitWrite[] | undefined {
  const writes = demands.flatMap(({ limit }) => {
    if (limit.kind !== 'bucket') return [];
    const seen = positions.get(limit.name);
    const { windowFs } = rateOf(limit);
    if (seen === undefined || seen.windowFs === windowFs) return [];
    const branch: Branch = { kind: 'replace', fullAtFs: fullAtUnder(limit, seen, nowFs) ?? nowFs, seen };
    return [{ name: limit.name, windowFs, branch, consumed: 0n }];
  });
  return writes.length === 0 ? undefined : writes;
}
