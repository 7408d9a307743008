/**
 * Several operations on one bucket as one: their steps composed limit by limit, in the order in which they came. A batch is one conditional
 * write, and decides as the operations would one after the other (see core/step.ts, and core/quota.ts for windows).
 */
import type { Branch, LimitWrite } from './branch.js';
import { fillFs, fullAtUnder, type Position } from './bucket.js';
import type { Demand } from './decision.js';
import { type ConcurrencyLimit, type Limit, rateOf, type TokenBucketLimit, type WindowedLimit } from './limit.js';
import { type Guesses, guessed, NO_GUESSES } from './prediction.js';
import {
  NOTHING_USED,
  predictUse,
  refusesUse,
  thenAdjustUse,
  thenUse,
  type WindowStep,
  type WindowUse,
  windowSpanFs,
} from './quota.js';
import { type Difference, scaledFs } from './settlement.js';
import { isFull, NOTHING_HELD, predictSlots, refusesSlots, type SlotStep, type Slots, thenFree, thenTake } from './slots.js';
import { type Stored, sameRule } from './standing.js';
import { IDENTITY, moved, refuses, type Step, thenAcquire, thenAdjust, thenFloor } from './step.js';

/** A token bucket's part of a batch. */
interface BucketPart {
  readonly limit: TokenBucketLimit;
  /** Where it stands as far as is known, under its present window; undefined: full, or unknown. */
  readonly fullAtFs: bigint | undefined;
  readonly step: Step;
  /** Tokens added to the limit's running total, net of refunds. */
  readonly consumed: bigint;
}

/** A quota's or session's part. */
interface WindowPart {
  readonly limit: WindowedLimit;
  /** What is used as far as is known; undefined: nothing, or unknown. */
  readonly use: WindowUse | undefined;
  readonly step: WindowStep;
  readonly consumed: bigint;
}

/** A concurrency limit's part. */
interface SlotPart {
  readonly limit: ConcurrencyLimit;
  /** The slots as far as they are known; undefined: none were ever taken, or unknown. */
  readonly slots: Slots | undefined;
  readonly step: SlotStep;
  /** 0n: slots are no usage. */
  readonly consumed: bigint;
}

type Part = BucketPart | WindowPart | SlotPart;

const isBucket = (part: Part): part is BucketPart => part.limit.kind === 'bucket';
const isSlots = (part: Part): part is SlotPart => part.limit.kind === 'concurrent';

export interface Batch {
  readonly parts: readonly Part[];
  /** Added to the bucket's count of admitted requests. */
  readonly requests: number;
  /** Acquires in the batch. Without one it is a settlement, which is written another way. */
  readonly acquires: number;
  /** Limits that are not charged by the last acquire: observed ones that would have denied it, and bypassed ones. */
  readonly overdrawn: readonly string[];
}

/** A batch of nothing yet, for a bucket with these limits of which `stored` was seen last. */
export function emptyBatch(demands: readonly Demand[], stored: Stored | undefined, nowFs: bigint): Batch {
  const parts = demands.map(({ limit }): Part => {
    if (limit.kind === 'concurrent') return { limit, slots: stored?.slots.get(limit.name), step: NOTHING_HELD, consumed: 0n };
    if (limit.kind !== 'bucket') return { limit, use: stored?.uses.get(limit.name), step: NOTHING_USED, consumed: 0n };
    return { limit, fullAtFs: fullAtUnder(limit, stored?.positions.get(limit.name), nowFs), step: IDENTITY, consumed: 0n };
  });
  return { parts, requests: 0, acquires: 0, overdrawn: [] };
}

/** Whether a request is decided by the very limits of the batch, in their order. */
export function sameLimits(batch: Batch, demands: readonly Demand[]): boolean {
  if (batch.parts.length !== demands.length) return false;
  return batch.parts.every(({ limit }, index) => {
    const other: Limit | undefined = demands[index]?.limit;
    return other !== undefined && sameRule(limit, other);
  });
}

/**
 * The batch followed by an acquire made at `nowFs` that starts at `startFs`: now, or, for a place in the queue, later. Token buckets are judged as
 * if it were that instant; windows cannot be reserved, and are judged now. Undefined when it could not be admitted behind the batch: not even on a
 * full bucket, or not where the bucket is known to stand.
 */
export function withAcquire(batch: Batch, demands: readonly Demand[], startFs: bigint, nowFs: bigint): Batch | undefined {
  const parts: Part[] = [];
  const overdrawn: string[] = [];
  for (const [index, part] of batch.parts.entries()) {
    const demand = demands[index];
    if (demand === undefined || (isSlots(part) && isFull(part.step))) return undefined;
    const next = demand.bypass ? undefined : drawn(part, demand, startFs, nowFs);
    if (next === undefined && part.limit.mode !== 'observe' && !demand.bypass) return undefined;
    if (next === undefined) overdrawn.push(part.limit.name);
    parts.push(next ?? counted(part, demand));
  }
  return { parts, requests: batch.requests + 1, acquires: batch.acquires + 1, overdrawn };
}

function drawn(part: Part, demand: Demand, startFs: bigint, nowFs: bigint): Part | undefined {
  if (isBucket(part)) return charged(part, demand, startFs);
  return isSlots(part) ? held(part, demand, startFs, nowFs) : used(part, demand, nowFs);
}

/** A part that is not charged still counts what is consumed; slots are no usage. */
const counted = (part: Part, { cost }: Demand): Part =>
  isSlots(part) ? part : { ...part, consumed: part.consumed + BigInt(cost) };

function charged(part: BucketPart, { cost, within }: Demand, startFs: bigint): BucketPart | undefined {
  const { limit, fullAtFs } = part;
  const step = thenAcquire(part.step, startFs, fillFs(limit, cost), fillFs(limit, within ?? limit.capacity));
  if (step === undefined || refuses(step, fullAtFs)) return undefined;
  return { limit, fullAtFs, step, consumed: part.consumed + BigInt(cost) };
}

function used(part: WindowPart, { cost, within }: Demand, nowFs: bigint): WindowPart | undefined {
  const step = thenUse(part.step, part.limit, nowFs, cost, within);
  if (step === undefined || refusesUse(step, part.use)) return undefined;
  return { ...part, step, consumed: part.consumed + BigInt(cost) };
}

/** A lease that takes no slot needs none. */
function held(part: SlotPart, { cost, within, slot }: Demand, startFs: bigint, nowFs: bigint): SlotPart | undefined {
  if (cost === 0 || slot === undefined) return part;
  const step = thenTake(part.step, part.limit, slot, startFs, part.slots, within);
  return step === undefined || refusesSlots(step, part.slots, nowFs) ? undefined : { ...part, step };
}

/**
 * The earliest instant from `nowFs` on at which the token buckets have room for all demands behind the batch, where they are known to stand:
 *
 *     now ------ start ------------------- z' ----> time
 *                  | <---- window ----> |       z' + fill = start + window
 */
export function startBehind(batch: Batch, demands: readonly Demand[], nowFs: bigint): bigint {
  let startFs = nowFs;
  for (const [index, part] of batch.parts.entries()) {
    if (!isBucket(part) || part.limit.mode === 'observe' || demands[index]?.bypass) continue;
    const { limit, fullAtFs, step } = part;
    const behindFs = moved(step, fullAtFs);
    if (behindFs === undefined) continue;
    const { cost = 0, within = limit.capacity } = demands[index] ?? {};
    const fitsFs = behindFs + fillFs(limit, cost) - fillFs(limit, within);
    if (fitsFs > startFs) startFs = fitsFs;
  }
  return startFs;
}

/** The batch followed by a settlement made at `nowFs`. Undefined when it concerns a limit, or a window, that the batch does not write. */
export function withDifferences(
  batch: Batch,
  differences: readonly Difference[],
  requests: number,
  nowFs: bigint,
): Batch | undefined {
  let { parts } = batch;
  for (const difference of differences) {
    const at = parts.findIndex(({ limit }) => limit.name === difference.charge.name);
    const part = parts[at];
    const next = part && adjusted(part, difference, nowFs);
    if (next === undefined) return undefined;
    parts = parts.with(at, { ...next, consumed: isSlots(next) ? 0n : next.consumed + BigInt(difference.tokens) });
  }
  return { ...batch, parts, requests: batch.requests + requests };
}

function adjusted(part: Part, { charge, tokens, floorFs }: Difference, nowFs: bigint): Part | undefined {
  if (charge.overdrawn) return part;
  if (isSlots(part)) {
    // Where no slots are known, there may be some: then a write of its own finds out.
    if (charge.kind !== 'slot' || part.slots === undefined) return undefined;
    const step = thenFree(part.step, charge.slot, part.slots, nowFs);
    return step && { ...part, step };
  }
  if (isBucket(part)) {
    if (charge.kind !== 'bucket') return undefined;
    const { windowFs } = rateOf(part.limit);
    const step = thenAdjust(part.step, scaledFs(charge, tokens, windowFs));
    return { ...part, step: floorFs === undefined || charge.windowFs !== windowFs ? step : thenFloor(step, floorFs) };
  }
  if (charge.kind !== 'window') return undefined;
  // A later window is stored: nothing is left to settle of the lease's.
  if (part.use !== undefined && part.use.windowStartFs > charge.windowStartFs) return part;
  const step = thenAdjustUse(part.step, charge.windowStartFs, BigInt(tokens));
  return step === undefined || refusesUse(step, part.use) ? undefined : { ...part, step };
}

const UNMOVED = { kind: 'unmoved' } as const;

/** The branch of an observed limit that no acquire of the batch charges: what is settled of it moves it, and nothing refuses that. */
function settled({ addFs, floorFs }: Step, limit: TokenBucketLimit, seen: Position | undefined, nowFs: bigint): Branch {
  const { windowFs } = rateOf(limit);
  if (floorFs !== undefined && seen?.windowFs === windowFs && seen.fullAtFs + addFs < floorFs)
    return { kind: 'idle', fullAtFs: floorFs, belowFs: floorFs - addFs };
  if (addFs === 0n) return UNMOVED;
  if (seen === undefined || seen.windowFs === windowFs) return { kind: 'shift', addFs, ifAbsentFs: nowFs };
  return { kind: 'replace', fullAtFs: (fullAtUnder(limit, seen, nowFs) ?? nowFs) + addFs, seen };
}

/** The batch's write, each limit in the branch that what was seen last, and the guesses before, predict. `seen` undefined: nothing is known. */
export function batchWrites(
  { parts }: Batch,
  seen: Stored | undefined,
  nowFs: bigint,
  guesses: Guesses = NO_GUESSES,
): readonly LimitWrite[] {
  return parts.map((part): LimitWrite => {
    const { name } = part.limit;
    if (isBucket(part)) {
      const { limit, step, consumed } = part;
      const position = seen?.positions.get(name);
      const branch =
        step.ceilingFs === undefined ? settled(step, limit, position, nowFs) : guessed(step, limit, position, nowFs, guesses);
      return { name, windowFs: rateOf(limit).windowFs, branch, consumed };
    }
    if (isSlots(part)) {
      const { step } = part;
      const branch = step === NOTHING_HELD ? UNMOVED : predictSlots(step, seen?.slots.get(name), nowFs);
      return { name, windowFs: 0n, branch, consumed: 0n };
    }
    const { limit, step, consumed } = part;
    const branch = step === NOTHING_USED ? UNMOVED : predictUse(step, seen?.uses.get(name));
    return { name, windowFs: windowSpanFs(limit, nowFs), branch, consumed };
  });
}
