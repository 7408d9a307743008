import { batchWrites, emptyBatch, withAcquire } from '../../lib/core/batch.js';
import { evaluated, type LimitWrite } from '../../lib/core/branch.js';
import type { Position, Positions } from '../../lib/core/bucket.js';
import { admits, type Demand, judge, longestWaitFs, rescaleWrites, type Verdict } from '../../lib/core/decision.js';
import { type Limit, rateOf } from '../../lib/core/limit.js';
import { type Charge, settlementWrites } from '../../lib/core/settlement.js';

/** A bucket in memory, changed only by writes all of whose conditions hold: what one conditional update does. */
export class Bucket {
  positions: ReadonlyMap<string, Position>;

  constructor(positions: Positions = new Map()) {
    this.positions = positions;
  }

  write(writes: readonly LimitWrite[]): boolean {
    const after = new Map(this.positions);
    for (const write of writes) {
      if (write.branch.kind === 'unmoved') continue;
      const position = evaluated(write, this.positions.get(write.name));
      if (position === undefined) return false;
      after.set(write.name, position);
    }
    this.positions = after;
    return true;
  }

  copy(): Bucket {
    return new Bucket(this.positions);
  }
}

export interface Decision {
  readonly granted: boolean;
  readonly demands: readonly Demand[];
  readonly atFs: bigint;
  /** Writes that it took, the storing of a rescaled position not counted. */
  readonly writes: number;
  /** How the limits stood that denied, or stand after the grant. */
  readonly verdicts: readonly Verdict[];
}

export const demandsOf = (limits: readonly Limit[], costs: readonly number[]): readonly Demand[] =>
  limits.map((limit, index) => ({ limit, cost: costs[index] ?? 0 }));

/** When a denied request fits. */
export const waitOf = ({ verdicts }: Decision): bigint => longestWaitFs(verdicts);

/** The write of one request, in the branches that these positions predict. */
function acquireWrites(demands: readonly Demand[], seen: Positions | undefined, atFs: bigint): readonly LimitWrite[] {
  const batch = withAcquire(emptyBatch(demands, undefined, atFs), demands, atFs);
  if (batch === undefined) throw new Error('a cost is above its capacity');
  return batchWrites(batch, seen, atFs);
}

/** One writer of a bucket among several. It knows of the bucket what its own last write told, and makes one write at a time. */
export class Writer {
  seen: Positions | undefined;
  #under: { readonly demands: readonly Demand[]; readonly atFs: bigint; writes: number; denying: boolean } | undefined;

  constructor(seen?: Positions) {
    this.seen = seen;
  }

  /** What it is deciding. */
  get deciding(): Pick<Decision, 'demands' | 'atFs'> | undefined {
    return this.#under;
  }

  start(demands: readonly Demand[], atFs: bigint): void {
    this.#under = { demands, atFs, writes: 0, denying: false };
  }

  /** The next write of what is being decided. Undefined: it is not decided yet, and others may write before the next one. */
  step(bucket: Bucket): Decision | undefined {
    const under = this.#under;
    if (under === undefined) throw new Error('nothing is being decided');
    const { demands, atFs } = under;
    const rescaled = under.denying ? rescaleWrites(demands, this.seen ?? new Map(), atFs) : undefined;
    if (rescaled === undefined) under.writes += 1;
    const applied = bucket.write(rescaled ?? acquireWrites(demands, this.seen, atFs));
    this.seen = bucket.positions;
    const verdicts = judge(demands, this.seen, atFs);
    const granted = applied && rescaled === undefined;
    under.denying = !granted && !admits(verdicts);
    // A denial under a changed limit is final when the rescaled position is stored: that is one more write.
    const denied = under.denying && rescaleWrites(demands, this.seen, atFs) === undefined;
    if (!granted && !denied) return undefined;
    this.#under = undefined;
    return { granted, demands, atFs, writes: under.writes, verdicts };
  }
}

/** A decision that no other writer interrupts. */
export function decide(
  bucket: Bucket,
  demands: readonly Demand[],
  atFs: bigint,
  writer = new Writer(bucket.positions),
): Decision {
  writer.start(demands, atFs);
  for (let writes = 0; writes < 9; writes += 1) {
    const decision = writer.step(bucket);
    if (decision !== undefined) return decision;
  }
  throw new Error('nine writes, none of them interrupted, did not decide');
}

/** What a grant charged, until it is given back. */
export class Lease {
  charges: readonly Charge[];
  readonly atFs: bigint;

  constructor({ demands, atFs }: Pick<Decision, 'demands' | 'atFs'>) {
    this.atFs = atFs;
    this.charges = demands.map(({ limit, cost }) => ({
      name: limit.name,
      counts: limit.counts,
      tokens: cost,
      ...rateOf(limit),
    }));
  }

  /** Posts the difference to `tokens`: one write, a second when the limit was changed since. */
  settle(bucket: Bucket, tokens: readonly number[]): void {
    const differences = this.charges.map((charge, index) => ({ charge, tokens: (tokens[index] ?? 0) - charge.tokens }));
    const settlement = { differences, acquiredAtFs: this.atFs };
    if (!bucket.write(settlementWrites([settlement], undefined))) {
      if (!bucket.write(settlementWrites([settlement], bucket.positions))) throw new Error('a settlement was refused');
    }
    this.charges = this.charges.map((charge, index) => ({ ...charge, tokens: tokens[index] ?? 0 }));
  }
}
