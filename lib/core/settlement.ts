/** What a lease's settlement writes: a difference added to z, commutative, without a read, never refused. */

import type { LimitWrite } from './branch.js';
import type { Position } from './bucket.js';
import type { Counts } from './counts.js';
import { NOTHING_USED, predictUse, thenAdjustUse, type WindowStep, type WindowUse, windowEnded } from './quota.js';
import type { Stored } from './standing.js';
import { IDENTITY, type Step, thenAdjust, thenFloor } from './step.js';
import type { TokenWeights } from './weights.js';

interface ChargeOfAny {
  readonly name: string;
  readonly counts: Counts;
  /** What a token of a call counts, for who settles it by a usage. @default 1 */
  readonly weights?: TokenWeights | undefined;
  /** Tokens charged now: the estimate at first, then what was settled last. */
  readonly tokens: number;
  /** It is counted and nothing is drawn, because of a bypass. @default false */
  readonly bypassed?: boolean | undefined;
  /** An observed limit that would have denied, or a bypassed one: neither the charge nor what is settled of it moves the bucket. @default false */
  readonly overdrawn?: boolean | undefined;
}

/** A token bucket as it was when its lease was granted. Its own rate counts until the lease ends, whatever is configured meanwhile. */
export interface BucketCharge extends ChargeOfAny {
  readonly kind: 'bucket';
  readonly tokenFs: bigint;
  readonly windowFs: bigint;
}

/** A quota or session: it is settled only in the window it was charged in. */
export interface WindowCharge extends ChargeOfAny {
  readonly kind: 'window';
  readonly windowStartFs: bigint;
}

/** A slot of a concurrency limit: 1 token while it is held, 0 when it was given back, or never taken. */
export interface SlotCharge extends ChargeOfAny {
  readonly kind: 'slot';
  /** The key it is held under. */
  readonly slot: string;
}

export type Charge = BucketCharge | WindowCharge | SlotCharge;

/** A change of one charge, in tokens; negative: a refund. */
export interface Difference {
  readonly charge: Charge;
  readonly tokens: number;
  /**
   * Of a token bucket under the window of the charge: it is full no earlier than this afterwards, whatever was charged. Counts nothing as consumed,
   * and is left out where the limit was changed since. @default whenever it is
   */
  readonly floorFs?: bigint | undefined;
}

/** What one lease posts at once. */
export interface Settlement {
  readonly differences: readonly Difference[];
  readonly acquiredAtFs: bigint;
  /** What was seen of the bucket is an answer to this settlement: a window that is not there is over. @default false: it may be stale */
  readonly answered?: boolean | undefined;
}

/**
 * The writes that post settlements together. `seen`, what was seen of the bucket last, tells the windows that are stored by now: a difference of a
 * token bucket is scaled to its window, so that the share of the bucket stays the share of the bucket; one of a quota's window that is over only
 * counts. A wrong guess of a window fails and tells it.
 */
export function settlementWrites(settlements: readonly Settlement[], seen: Stored | undefined): readonly LimitWrite[] {
  const writes = new Map<string, LimitWrite>();
  const steps = new Map<string, Step>();
  for (const { differences, acquiredAtFs, answered = false } of settlements) {
    for (const { charge, tokens, floorFs } of differences) {
      const { name } = charge;
      const before = writes.get(name);
      const { windowFs, branch } = charge.overdrawn
        ? { windowFs: 0n, branch: UNMOVED }
        : charge.kind === 'bucket'
          ? shifted(charge, tokens, acquiredAtFs, before, seen?.positions.get(name))
          : charge.kind === 'slot'
            ? freed(charge, before, answered && !seen?.slots.has(name))
            : settledUse(charge, tokens, before, seen?.uses.get(name), answered);
      const moves = branch.kind !== 'unmoved' || before === undefined;
      writes.set(name, {
        name,
        windowFs: moves ? windowFs : before.windowFs,
        branch: moves ? branch : before.branch,
        consumed: charge.kind === 'slot' ? 0n : (before?.consumed ?? 0n) + BigInt(tokens),
      });
      if (charge.kind !== 'bucket' || charge.overdrawn) continue;
      const step = thenAdjust(steps.get(name) ?? IDENTITY, scaledFs(charge, tokens, windowFs));
      steps.set(name, floorFs === undefined || charge.windowFs !== windowFs ? step : thenFloor(step, floorFs));
    }
  }
  return [...writes.values()].map((write) => lifted(write, steps.get(write.name)?.floorFs, seen?.positions.get(write.name)));
}

/** The write that also keeps to a floor: where the bucket was seen below it, and as long as it is. Elsewhere the write as it is. */
function lifted(write: LimitWrite, floorFs: bigint | undefined, seen: Position | undefined): LimitWrite {
  const { branch, windowFs } = write;
  if (branch.kind !== 'shift' || floorFs === undefined || seen?.windowFs !== windowFs) return write;
  const belowFs = floorFs - branch.addFs;
  return seen.fullAtFs < belowFs ? { ...write, branch: { kind: 'idle', fullAtFs: floorFs, belowFs } } : write;
}

/** Whether differences change nothing of a bucket, as it was seen last: no tokens, and no floor that it is below. */
export function changesNothing(differences: readonly Difference[], seen: Stored | undefined): boolean {
  return differences.every(({ charge, tokens, floorFs }) => {
    const position = seen?.positions.get(charge.name);
    return tokens === 0 && (floorFs === undefined || position === undefined || position.fullAtFs >= floorFs);
  });
}

const UNMOVED = { kind: 'unmoved' } as const;

function shifted(
  charge: BucketCharge,
  tokens: number,
  acquiredAtFs: bigint,
  before: LimitWrite | undefined,
  seen: Position | undefined,
) {
  const shift = before?.branch.kind === 'shift' ? before.branch : undefined;
  const windowFs = (shift && before?.windowFs) ?? seen?.windowFs ?? charge.windowFs;
  const baseFs = acquiredAtFs + scaledFs(charge, charge.tokens, windowFs);
  return {
    windowFs,
    branch: {
      kind: 'shift' as const,
      addFs: (shift?.addFs ?? 0n) + scaledFs(charge, tokens, windowFs),
      ifAbsentFs: shift !== undefined && shift.ifAbsentFs > baseFs ? shift.ifAbsentFs : baseFs,
    },
  };
}

/** All the slots given back. `none`: no slots are stored, so there is nothing to give back to. */
function freed({ slot }: SlotCharge, before: LimitWrite | undefined, none: boolean) {
  if (none) return { windowFs: 0n, branch: UNMOVED };
  const removed = before?.branch.kind === 'freeSlots' ? before.branch.removed : [];
  return { windowFs: 0n, branch: { kind: 'freeSlots' as const, removed: [...removed, slot] } };
}

/** One after the other: the differences of one window, as a step from what was seen. */
function settledUse(
  { windowStartFs }: WindowCharge,
  tokens: number,
  before: LimitWrite | undefined,
  seen: WindowUse | undefined,
  answered: boolean,
) {
  const over = { windowFs: 0n, branch: UNMOVED };
  if (answered ? windowEnded(seen, windowStartFs) : seen !== undefined && seen.windowStartFs > windowStartFs) return over;
  const first = before === undefined || before.branch.kind === 'unmoved' ? NOTHING_USED : stepOf(before.branch);
  const step = first && thenAdjustUse(first, windowStartFs, BigInt(tokens));
  return step === undefined ? over : { windowFs: 0n, branch: predictUse(step, seen) };
}

/** The step that a settlement's branch came from. */
function stepOf(branch: LimitWrite['branch']): WindowStep | undefined {
  if (branch.kind === 'add')
    return { ...NOTHING_USED, add: branch.add, floor: branch.minUsed + branch.add, fromFs: branch.fromFs, toFs: branch.toFs };
  return undefined;
}

/** What tokens of a charge fill under another window than its own. */
export function scaledFs(charge: BucketCharge, tokens: number, windowFs: bigint): bigint {
  const fs = BigInt(tokens) * charge.tokenFs;
  return windowFs === charge.windowFs ? fs : dividedUp(fs * windowFs, charge.windowFs);
}

/** n / d towards plus infinity: a scaled charge is never short, a scaled refund never long. */
function dividedUp(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator !== 0n && numerator > 0n ? quotient + 1n : quotient;
}
