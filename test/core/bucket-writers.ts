import { batchWrites, emptyBatch, withAcquire } from '../../lib/core/batch.js';
import { evaluated, type LimitWrite, movesPosition } from '../../lib/core/branch.js';
import type { Position } from '../../lib/core/bucket.js';
import { admits, type Demand, judge, longestWaitFs, rescaleWrites, type Verdict } from '../../lib/core/decision.js';
import { rateOf, type TokenBucketLimit } from '../../lib/core/limit.js';
import { type BucketCharge, settlementWrites } from '../../lib/core/settlement.js';
import { NOTHING_STORED, type Stored } from '../../lib/core/standing.js';

export type Positions = ReadonlyMap<string, Position>;

/** A demand of a token bucket: the other kinds have writers of their own. */
export interface BucketDemand extends Demand {
  readonly limit: TokenBucketLimit;
}

/** What is stored of a bucket of token buckets only. */
export const storedOf = (positions: Positions): Stored => ({ positions, uses: new Map(), slots: new Map() });

/** The position that a token bucket's write leaves, undefined where its condition fails. */
export function evaluatedWrite({ name, branch, windowFs }: LimitWrite, stored: Position | undefined): Position | undefined {
  if (!movesPosition(branch)) throw new Error(`${branch.kind} moves no position of ${name}`);
  return evaluated(branch, windowFs, stored);
}

/** A bucket in memory, changed only by writes all of whose conditions hold: what one conditional update does. */
export class Bucket {
  positions: Positions;

  constructor(positions: Positions = new Map()) {
    this.positions = positions;
  }

  write(writes: readonly LimitWrite[]): boolean {
    const after = new Map(this.positions);
    for (const write of writes) {
      if (write.branch.kind === 'unmoved') continue;
      const position = evaluatedWrite(write, this.positions.get(write.name));
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
  readonly demands: readonly BucketDemand[];
  readonly atFs: bigint;
  /** Writes that it took, the storing of a rescaled position not counted. */
  readonly writes: number;
  /** How the limits stood that denied, or stand after the grant. */
  readonly verdicts: readonly Verdict[];
}

export const demandsOf = (limits: readonly TokenBucketLimit[], costs: readonly number[]): readonly BucketDemand[] =>
  limits.map((limit, index) => ({ limit, cost: costs[index] ?? 0 }));

/** When a denied request fits. */
export const waitOf = ({ verdicts }: Decision): bigint => longestWaitFs(verdicts);

/** The write of one request, in the branches that these positions predict. */
function acquireWrites(demands: readonly Demand[], seen: Positions | undefined, atFs: bigint): readonly LimitWrite[] {
  const batch = withAcquire(emptyBatch(demands, undefined, atFs), demands, atFs, atFs);
  if (batch === undefined) throw new Error('a cost is above its capacity');
  return batchWrites(batch, seen && storedOf(seen), atFs);
}

/** One writer of a bucket among several. It knows of the bucket what its own last write told, and makes one write at a time. */
export class Writer {
  seen: Positions | undefined;
  #under: { readonly demands: readonly BucketDemand[]; readonly atFs: bigint; writes: number; denying: boolean } | undefined;

  constructor(seen?: Positions) {
    this.seen = seen;
  }

  /** What it is deciding. */
  get deciding(): Pick<Decision, 'demands' | 'atFs'> | undefined {
    return this.#under;
  }

  start(demands: readonly BucketDemand[], atFs: bigint): void {
    this.#under = { demands, atFs, writes: 0, denying: false };
  }

  /** The next write of what is being decided. Undefined: it is not decided yet, and others may write before the next one. */
  step(bucket: Bucket): Decision | undefined {
    const under = this.#under;
    if (under === undefined) throw new Error('nothing is being decided');
    const { demands, atFs } = under;
    const rescaled = under.denying ? rescaleWrites(demands, this.seen ? storedOf(this.seen) : NOTHING_STORED, atFs) : undefined;
    if (rescaled === undefined) under.writes += 1;
    const applied = bucket.write(rescaled ?? acquireWrites(demands, this.seen, atFs));
    this.seen = bucket.positions;
    const verdicts = judge(demands, storedOf(this.seen), atFs);
    const granted = applied && rescaled === undefined;
    under.denying = !granted && !admits(verdicts);
    // A denial under a changed limit is final when the rescaled position is stored: that is one more write.
    const denied = under.denying && rescaleWrites(demands, storedOf(this.seen), atFs) === undefined;
    if (!granted && !denied) return undefined;
    this.#under = undefined;
    return { granted, demands, atFs, writes: under.writes, verdicts };
  }
}

/** A decision that no other writer interrupts. */
export function decide(
  bucket: Bucket,
  demands: readonly BucketDemand[],
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
  charges: readonly BucketCharge[];
  readonly atFs: bigint;

  constructor({ demands, atFs }: Pick<Decision, 'demands' | 'atFs'>) {
    this.atFs = atFs;
    this.charges = demands.map(({ limit, cost }) => ({
      kind: 'bucket',
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
      if (!bucket.write(settlementWrites([settlement], storedOf(bucket.positions)))) throw new Error('a settlement was refused');
    }
    this.charges = this.charges.map((charge, index) => ({ ...charge, tokens: tokens[index] ?? 0 }));
  }
}
