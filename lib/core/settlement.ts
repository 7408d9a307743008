/** What a lease's settlement writes: a difference added to z, commutative, without a read, never refused. */

import type { LimitWrite, Shift } from './branch.js';
import type { Positions } from './bucket.js';
import type { Counts } from './limit.js';

/** One limit as it was when its lease was granted. Its own rate counts until the lease ends, whatever is configured meanwhile. */
export interface Charge {
  readonly name: string;
  readonly counts: Counts;
  /** Tokens charged now: the estimate at first, then what was settled last. */
  readonly tokens: number;
  readonly tokenFs: bigint;
  readonly windowFs: bigint;
  /** An observed limit that would have denied: neither the charge nor what is settled of it moves the bucket. @default false */
  readonly overdrawn?: boolean | undefined;
}

/** A change of one charge, in tokens; negative: a refund. */
export interface Difference {
  readonly charge: Charge;
  readonly tokens: number;
}

/** What one lease posts at once. */
export interface Settlement {
  readonly differences: readonly Difference[];
  readonly acquiredAtFs: bigint;
}

/**
 * The writes that post settlements together. `positions`, what was seen of the bucket last, tell the window that is stored by now: each
 * difference is scaled to it, so that the share of the bucket stays the share of the bucket. A wrong guess of the window fails and tells it.
 */
export function settlementWrites(settlements: readonly Settlement[], positions: Positions | undefined): readonly LimitWrite[] {
  const writes = new Map<string, LimitWrite & { readonly branch: Shift }>();
  const unmoved: LimitWrite[] = [];
  for (const { differences, acquiredAtFs } of settlements) {
    for (const { charge, tokens } of differences) {
      const { name } = charge;
      const before = writes.get(name);
      const windowFs = before?.windowFs ?? positions?.get(name)?.windowFs ?? charge.windowFs;
      if (charge.overdrawn) {
        unmoved.push({ name, windowFs, branch: { kind: 'unmoved' }, consumed: BigInt(tokens) });
        continue;
      }
      const baseFs = acquiredAtFs + scaledFs(charge, charge.tokens, windowFs);
      writes.set(name, {
        name,
        windowFs,
        branch: {
          kind: 'shift',
          addFs: (before?.branch.addFs ?? 0n) + scaledFs(charge, tokens, windowFs),
          ifAbsentFs: before !== undefined && before.branch.ifAbsentFs > baseFs ? before.branch.ifAbsentFs : baseFs,
        },
        consumed: (before?.consumed ?? 0n) + BigInt(tokens),
      });
    }
  }
  return merged([...writes.values(), ...unmoved]);
}

/** One write a limit: what only counts goes with what moves. */
function merged(writes: readonly LimitWrite[]): readonly LimitWrite[] {
  const byName = new Map<string, LimitWrite>();
  for (const write of writes) {
    const before = byName.get(write.name);
    byName.set(write.name, before === undefined ? write : { ...before, consumed: before.consumed + write.consumed });
  }
  return [...byName.values()];
}

/** What tokens of a charge fill under another window than its own. */
export function scaledFs(charge: Charge, tokens: number, windowFs: bigint): bigint {
  const fs = BigInt(tokens) * charge.tokenFs;
  return windowFs === charge.windowFs ? fs : dividedUp(fs * windowFs, charge.windowFs);
}

/** n / d towards plus infinity: a scaled charge is never short, a scaled refund never long. */
function dividedUp(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator !== 0n && numerator > 0n ? quotient + 1n : quotient;
}
