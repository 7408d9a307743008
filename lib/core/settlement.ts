/** What a lease's settlement writes: a difference added to z, commutative, without a read, never refused. */

import type { LimitWrite } from './branch.js';
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
}

/** A change of one charge, in tokens; negative: a refund. */
export interface Difference {
  readonly charge: Charge;
  readonly tokens: number;
}

/**
 * The writes that post the differences of a lease acquired at `acquiredAtFs`. `positions`: what a failed write met, by which a difference
 * is scaled to the window that is stored by now (the share of the bucket stays the share of the bucket).
 */
export function settlementWrites(
  differences: readonly Difference[],
  acquiredAtFs: bigint,
  positions: Positions | undefined,
): readonly LimitWrite[] {
  return differences.map(({ charge, tokens }) => {
    const storedWindowFs = positions?.get(charge.name)?.windowFs ?? charge.windowFs;
    const scaled = (fs: bigint) => (storedWindowFs === charge.windowFs ? fs : dividedUp(fs * storedWindowFs, charge.windowFs));
    return {
      name: charge.name,
      windowFs: storedWindowFs,
      branch: {
        kind: 'shift',
        addFs: scaled(BigInt(tokens) * charge.tokenFs),
        ifAbsentFs: acquiredAtFs + scaled(BigInt(charge.tokens) * charge.tokenFs),
      },
      consumed: BigInt(tokens),
    };
  });
}

/** n / d towards plus infinity: a scaled charge is never short, a scaled refund never long. */
function dividedUp(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator !== 0n && numerator > 0n ? quotient + 1n : quotient;
}
