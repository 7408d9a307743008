/**
 * Window limits: so many tokens in each window of time, all of them there again when the next one starts. A quota's windows are the days or
 * months of a time zone; a session's window starts with its first use. The state of either is (w, q): when the window started, what is used.
 *
 *              q = 0                q tokens used               q = 0
 *     ---------------------|---------------------------|---------------------> time
 *                          w          now             end
 *
 * The start of a window is its name, in this bucket's item and in leases. No process resets anything: a window is over when time has passed
 * its end, and the first use after that writes the next one. Instants and spans are femtoseconds, tokens are whole.
 */
import { type Calendar, calendarWindow } from './calendar.js';
import { FS_PER_MS } from './time.js';

/** At most `capacity` tokens in each day or month of a time zone. */
export interface Quota extends Calendar {
  readonly kind: 'quota';
  /** 1 to 2^53 - 1. */
  readonly capacity: number;
}

/** At most `capacity` tokens within `everyMs` of the first use; anew with the first use after that. */
export interface Session {
  readonly kind: 'session';
  /** 1 to 2^53 - 1. */
  readonly capacity: number;
  readonly everyMs: number;
}

export type WindowLimit = Quota | Session;

/** A window limit as it is stored. Absent: nothing was used yet. */
export interface WindowUse {
  /** The first instant of the window in which it was used last; may be over by now. */
  readonly windowStartFs: bigint;
  /** Tokens, 0 or more. Above the capacity after settlements: debt, until the window ends. */
  readonly used: bigint;
}

/** Another process's clock may be ahead of ours by this, and have started a window that we are not in yet. */
export const LARGEST_SKEW_FS = 2_000_000_000_000_000n; // 2 s

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** What a use at some instant makes of a stored window, by its start. */
interface Outlook {
  /** A window that started before is over. */
  readonly overBeforeFs: bigint;
  /** The latest start that is charged; a window further ahead refuses every use. Undefined: none does. */
  readonly latestFs: bigint | undefined;
  /** The window that the use starts where there is none, or one that is over. */
  readonly startFs: bigint;
}

/**
 *     stored w:        our window's start       now      now + 2 s
 *                --------------|-----------------|-----------|------------->
 *     quota           over     |         charged             |   refused
 *
 *     stored w:           now - every           now
 *                --------------|-----------------|------------------------->
 *     session         over     |                  charged
 *
 * A quota's window that started within ours, but not with it, is from a limit that was changed from days to months, or from another time
 * zone: it is charged as ours. So w only ever grows, and processes that disagree about windows never start each other's over in turn.
 */
function outlook(limit: WindowLimit, nowFs: bigint): Outlook {
  if (limit.kind === 'session') {
    return { overBeforeFs: nowFs - BigInt(limit.everyMs) * FS_PER_MS + 1n, latestFs: undefined, startFs: nowFs };
  }
  const { startFs } = calendarWindow(limit, nowFs);
  return { overBeforeFs: startFs, latestFs: nowFs + LARGEST_SKEW_FS, startFs };
}

/** The first instant after the window that started at `startFs`. */
export function windowEndFs(limit: WindowLimit, startFs: bigint): bigint {
  return limit.kind === 'session' ? startFs + BigInt(limit.everyMs) * FS_PER_MS : calendarWindow(limit, startFs).nextFs;
}

/** How long the window lasts that starts with a use at `nowFs`, or that contains it: 23, 24 or 25 hours, 28 to 31 days, or `everyMs`. */
export function windowSpanFs(limit: WindowLimit, nowFs: bigint): bigint {
  const { startFs } = outlook(limit, nowFs);
  return windowEndFs(limit, startFs) - startFs;
}

/** Tokens left now; negative: debt. The whole capacity when no window is running. */
export function windowLevel(limit: WindowLimit, use: WindowUse | undefined, nowFs: bigint): number {
  const { overBeforeFs, latestFs } = outlook(limit, nowFs);
  if (use === undefined || use.windowStartFs < overBeforeFs) return limit.capacity;
  const left = limit.capacity - Number(use.used);
  return latestFs !== undefined && use.windowStartFs > latestFs ? Math.min(0, left) : left;
}

/**
 * How long until `cost` tokens may be used; 0n when they may be now, else until the running window ends. The cost must not exceed `within`
 * (the caller refuses it): the tokens that may be used in a window then, the capacity or a share of it. With the capacity as the cost it is
 * how long until all of it is there.
 */
export function windowWaitFs(
  limit: WindowLimit,
  use: WindowUse | undefined,
  nowFs: bigint,
  cost: number,
  within = limit.capacity,
): bigint {
  const { overBeforeFs, latestFs } = outlook(limit, nowFs);
  if (use === undefined || use.windowStartFs < overBeforeFs) return 0n;
  if (use.used + BigInt(cost) > BigInt(within)) return windowEndFs(limit, use.windowStartFs) - nowFs;
  return latestFs === undefined ? 0n : larger(0n, use.windowStartFs - latestFs);
}

/** Whether nothing is left to settle of a charge made in the window `leaseWindowFs`: another one is stored by now, or none. */
export function windowEnded(use: WindowUse | undefined, leaseWindowFs: bigint): boolean {
  return use?.windowStartFs !== leaseWindowFs;
}

/**
 * The algebra of core/step.ts once more, with q for z and 0 for now: a batch of uses and settlements is one map of the state,
 *
 *     (w, q)  ->  (w, max(q + A, B))     while  q <= U,  in the windows that all of the batch is charged in
 *     (w, q)  ->  (w', q')               where no window is stored, or one that is over for all of the batch
 *
 * A stored window that is neither (over for some of the batch, or too far ahead) refuses the batch, though it may admit a part of it.
 */
export interface WindowStep {
  /** A: what is added to q. */
  readonly add: bigint;
  /** B: the least q afterwards: what the batch makes of q = 0. */
  readonly floor: bigint;
  /** U: the most q that admits every use in the step. Undefined: any. */
  readonly ceiling: bigint | undefined;
  /** The stored windows that all of it is charged in, by their starts, both included. Undefined: any. */
  readonly fromFs: bigint | undefined;
  readonly toFs: bigint | undefined;
  /** The window that it starts, and instead of which ones. Undefined: there is no use in it. */
  readonly start: StartUse | undefined;
}

/** Changes nothing and admits any state. */
export const NOTHING_USED: WindowStep = {
  add: 0n,
  floor: 0n,
  ceiling: undefined,
  fromFs: undefined,
  toFs: undefined,
  start: undefined,
};

/**
 * The step followed by a use of `cost` tokens made at `nowFs`, allowed to bring what is used in its window to `within`. A cost of 0 is a use as
 * any other: refused in debt, and it starts a window, so that what it comes to later has one to be settled in.
 * Undefined when it could not be admitted behind the step, not even where nothing is used, or not in one window with it: then it is not in this
 * batch. Behind nothing it always is, unless the cost exceeds `within`.
 */
export function thenUse(
  step: WindowStep,
  limit: WindowLimit,
  nowFs: bigint,
  cost: number,
  within = limit.capacity,
): WindowStep | undefined {
  const { overBeforeFs, latestFs, startFs } = outlook(limit, nowFs);
  const tokens = BigInt(cost);
  const mostUsed = BigInt(within);
  const start = step.start ?? { kind: 'start', windowStartFs: startFs, used: 0n, beforeFs: overBeforeFs };
  if (step.floor + tokens > mostUsed || start.used + tokens > mostUsed) return undefined;
  const windows = startedIn(start, overBeforeFs, latestFs) ? narrowed(step, overBeforeFs, latestFs) : undefined;
  if (windows === undefined) return undefined;
  return {
    add: step.add + tokens,
    floor: step.floor + tokens,
    ceiling: least(step.ceiling, mostUsed - tokens - step.add),
    fromFs: windows.fromFs,
    toFs: windows.toFs,
    start: { ...start, used: start.used + tokens },
  };
}

/**
 * The step followed by the settlement of a charge that was made in the window `leaseWindowFs`: tokens used (positive) or given back (negative).
 * Never refused, never takes what is used below 0, and changes no other window.
 * Undefined when no window is charged both by the step and by it: then it is not in this batch.
 */
export function thenAdjustUse(step: WindowStep, leaseWindowFs: bigint, tokens: bigint): WindowStep | undefined {
  const windows = narrowed(step, leaseWindowFs, leaseWindowFs);
  if (windows === undefined) return undefined;
  const { start } = step;
  return {
    add: step.add + tokens,
    floor: larger(0n, step.floor + tokens),
    ceiling: step.ceiling,
    fromFs: windows.fromFs,
    toFs: windows.toFs,
    start: start?.windowStartFs === leaseWindowFs ? { ...start, used: larger(0n, start.used + tokens) } : start,
  };
}

function narrowed(step: WindowStep, fromFs: bigint, toFs: bigint | undefined): Pick<WindowStep, 'fromFs' | 'toFs'> | undefined {
  const latestFs = toFs === undefined ? step.toFs : least(step.toFs, toFs);
  const earliestFs = step.fromFs === undefined ? fromFs : larger(step.fromFs, fromFs);
  return latestFs !== undefined && earliestFs > latestFs ? undefined : { fromFs: earliestFs, toFs: latestFs };
}

const least = (a: bigint | undefined, b: bigint): bigint => (a === undefined ? b : smaller(a, b));

function startedIn(use: WindowUse, fromFs: bigint | undefined, toFs: bigint | undefined): boolean {
  return (fromFs === undefined || use.windowStartFs >= fromFs) && (toFs === undefined || use.windowStartFs <= toFs);
}

/** Whether a use in the step is refused in this state, or would be charged in another window than the rest. */
export function refusesUse(step: WindowStep, use: WindowUse | undefined): boolean {
  const { start, fromFs, toFs, ceiling } = step;
  if (start === undefined || use === undefined || use.windowStartFs < start.beforeFs) return false;
  return !startedIn(use, fromFs, toFs) || (ceiling !== undefined && use.used > ceiling);
}

/** Where the step takes a state that it does not refuse. A settlement leaves another window than its own as it is. */
export function movedUse(step: WindowStep, use: WindowUse | undefined): WindowUse | undefined {
  const { start, fromFs, toFs, add, floor } = step;
  if (use !== undefined && startedIn(use, fromFs, toFs))
    return { windowStartFs: use.windowStartFs, used: larger(use.used + add, floor) };
  return start === undefined ? use : { windowStartFs: start.windowStartFs, used: start.used };
}

/** q' = q + add, if from <= w <= to and min <= q <= max. */
export interface AddUse {
  readonly kind: 'add';
  readonly add: bigint;
  readonly fromFs: bigint;
  /** Undefined: any later. */
  readonly toFs: bigint | undefined;
  /** 0n: any. May be above `maxUsed`, and then never holds. */
  readonly minUsed: bigint;
  /** Undefined: any. Below zero it never holds. */
  readonly maxUsed: bigint | undefined;
}

/** q' = used, if from <= w <= to and q < below: a refund of more than is left there to give back. */
export interface FloorUse {
  readonly kind: 'floor';
  readonly used: bigint;
  readonly fromFs: bigint;
  readonly toFs: bigint | undefined;
  readonly belowUsed: bigint;
}

/** w' = windowStart and q' = used, if there is no w, or w < before. Never if w merely differs: that would lose what one ahead has counted. */
export interface StartUse extends WindowUse {
  readonly kind: 'start';
  readonly beforeFs: bigint;
}

/**
 * One window limit's part of a bucket write. Each is exact: a wrong guess only fails and tells the truth.
 *
 *     q ^              | refused                 |
 *     U |              |-------------------------|
 *       |   start      |   add: q' = q + A       |   refused
 *     B |   w', q'     |-------------------------|
 *     -A|              |   floor: q' = B         |
 *       '--------------|-------------------------|-------------> stored w
 *                    over before, from           to
 */
export type WindowBranch = AddUse | FloorUse | StartUse;

/**
 * The branch that the state seen last predicts. `seen` undefined: nothing is known, or nothing is stored; a use starts a window then, which is
 * the single write of a bucket's first request, and a settlement expects its own window. The step holds at least one operation.
 * When what was seen is what is stored, the branch fails only if the step is refused there, or if it only settles and `windowEnded`.
 */
export function predictUse(step: WindowStep, seen: WindowUse | undefined): WindowBranch {
  const { add, floor, ceiling, fromFs, toFs, start } = step;
  if (fromFs === undefined) throw new TypeError('a predicted step holds at least one operation');
  if (start !== undefined && (seen === undefined || seen.windowStartFs < start.beforeFs)) return start;
  const minUsed = floor - add;
  if (seen !== undefined && startedIn(seen, fromFs, toFs) && seen.used < minUsed) {
    return {
      kind: 'floor',
      used: floor,
      fromFs,
      toFs,
      belowUsed: ceiling === undefined ? minUsed : smaller(minUsed, ceiling + 1n),
    };
  }
  return { kind: 'add', add, fromFs, toFs, minUsed, maxUsed: ceiling };
}

/** What a branch leaves, or undefined where its condition fails. What a store without conditional writes evaluates. */
export function evaluatedUse(branch: WindowBranch, stored: WindowUse | undefined): WindowUse | undefined {
  if (branch.kind === 'start') {
    if (stored !== undefined && stored.windowStartFs >= branch.beforeFs) return undefined;
    return { windowStartFs: branch.windowStartFs, used: branch.used };
  }
  if (stored === undefined || !startedIn(stored, branch.fromFs, branch.toFs)) return undefined;
  const { windowStartFs, used } = stored;
  if (branch.kind === 'floor') return used < branch.belowUsed ? { windowStartFs, used: branch.used } : undefined;
  const holds = used >= branch.minUsed && (branch.maxUsed === undefined || used <= branch.maxUsed);
  return holds ? { windowStartFs, used: used + branch.add } : undefined;
}
