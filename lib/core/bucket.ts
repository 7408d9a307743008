/**
 * A token bucket as one instant: z, when it will be full again (GCRA's theoretical arrival time; ITU-T I.371 annex A, virtual scheduling).
 *
 *             debt | --------- window (capacity * t) --------- |
 *     ---------- now ------------------- z --------------- now + window ----> time
 *                  '---- used up ---------'------ level -------'
 *
 * Refill is implicit: time passes, nothing is written. Instants and spans are femtoseconds in bigint.
 */
import { formsBefore, formsOf } from './forms.js';
import { rateOf, type TokenBucketLimit } from './limit.js';
import { FS_PER_MS } from './time.js';

/** One limit of a bucket as it is stored: its full-at instant, and the window under which that was written. */
export interface Position {
  readonly fullAtFs: bigint;
  readonly windowFs: bigint;
}

const later = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** The span that `tokens` fill. Linear, so bursts, merges and settlements add up exactly. */
export function fillFs(limit: TokenBucketLimit, tokens: number): bigint {
  return BigInt(tokens) * rateOf(limit).tokenFs;
}

/** Whole tokens there now, rounded down; negative: debt. */
export function level(limit: TokenBucketLimit, fullAtFs: bigint, nowFs: bigint): number {
  const { tokenFs } = rateOf(limit);
  const usedFs = later(fullAtFs, nowFs) - nowFs;
  return limit.capacity - Number((usedFs + tokenFs - 1n) / tokenFs);
}

/**
 * How long until `cost` tokens may be taken; 0n when they may be now. `within`: how much of the capacity may then be in use, the cost at least
 * (the caller refuses a larger one).
 */
export function waitFs(limit: TokenBucketLimit, fullAtFs: bigint, nowFs: bigint, cost: number, within = limit.capacity): bigint {
  return later(0n, later(fullAtFs, nowFs) + fillFs(limit, cost) - nowFs - fillFs(limit, within));
}

/**
 * The full-at instant of a stored position under the limit's present window: the share in use stays the share in use, from the instant at which the
 * limit became what it is, where a schedule tells it, else from now. Rounded up, so that a change of limits never gives tokens away. A full bucket
 * is full under any limit.
 */
export function fullAtUnder(limit: TokenBucketLimit, position: Position | undefined, nowFs: bigint): bigint | undefined {
  if (position === undefined) return undefined;
  const { windowFs } = rateOf(limit);
  if (position.windowFs === windowFs || position.fullAtFs <= nowFs) return position.fullAtFs;
  const changes = changesSince(limit, position, nowFs) ?? [{ windowFs, fromFs: nowFs }];
  return changes.reduce(under, position).fullAtFs;
}

interface Change {
  readonly windowFs: bigint;
  readonly fromFs: bigint;
}

/** A position from a change on. */
function under(position: Position, { windowFs, fromFs }: Change): Position {
  const aheadFs = later(0n, position.fullAtFs - fromFs);
  const fullAtFs =
    aheadFs === 0n ? position.fullAtFs : fromFs + (aheadFs * windowFs + position.windowFs - 1n) / position.windowFs;
  return { fullAtFs, windowFs };
}

/** Changes of a schedule that are looked back through for the form under which a position was written. */
const MOST_CHANGES = 16;

/** What the limit's schedule made of it since a position was written; undefined where it does not tell. */
function changesSince(limit: TokenBucketLimit, position: Position, nowFs: bigint): readonly Change[] | undefined {
  if (formsOf(limit) === undefined) return undefined;
  const changes: Change[] = [];
  for (const form of formsBefore(limit, Number(nowFs / FS_PER_MS))) {
    const { windowFs } = rateOf(form.limit as TokenBucketLimit);
    if (windowFs === position.windowFs) return changes.reverse();
    changes.push({ windowFs, fromFs: BigInt(form.startMs) * FS_PER_MS });
    if (changes.length > MOST_CHANGES) return undefined;
  }
  return undefined;
}
