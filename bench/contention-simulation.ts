/**
 * Many processes at one bucket, in discrete events: what the prediction of branches costs in writes, and that nothing is over-admitted.
 * Arrivals are Poisson, clocks differ, a write meets the bucket half a round trip after it was sent. No time is measured: same seed, same result.
 */
import { Limit, rateOf, type TokenBucketLimit } from '../lib/core/limit.js';
import { EventQueue, exponential, randomFrom } from './contention-events.js';
import {
  femtoseconds,
  judgedAtFs,
  type Learning,
  type ProcessParts,
  SHIPPED,
  SimulatedProcess,
  StoredBucket,
} from './contention-process.js';

/** One limit of the bucket. Its amount follows from the load. */
export interface SimulatedLimit {
  readonly name: string;
  /** Also how long it takes to refill from empty. */
  readonly periodMs: number;
  /** Tokens an acquire. */
  readonly cost: number;
  /** @default that of the bucket */
  readonly load?: number;
}

export interface Contention {
  /** Processes, each with a writer of its own. */
  readonly writers: number;
  readonly acquiresPerSecondEach: number;
  /** Offered rate / configured rate. */
  readonly load: number;
  /** On average; each way at least a quarter of it. */
  readonly roundTripMs: number;
  /** Clocks are this fast or slow, or anything between. */
  readonly skewMs: number;
  readonly limits: readonly SimulatedLimit[];
  /** How long it goes on after the warm-up. */
  readonly seconds: number;
  /** How long nothing counts towards `writesPerAcquire`. @default 0 */
  readonly warmUpSeconds?: number;
  readonly seed: number;
  /** @default the shipped one */
  readonly learning?: Learning;
}

export interface Contest {
  readonly writesPerAcquire: number;
  /** The same from the first write on, when no process knew anything. */
  readonly coldWritesPerAcquire: number;
  /** Most writes that one acquire took part in. */
  readonly attemptsMax: number;
  readonly granted: number;
  readonly denied: number;
  readonly contended: number;
  /** Tokens admitted beyond capacity + rate * (w + 2 d + L), in the worst window w of the worst limit. */
  readonly overAdmitted: number;
}

/** What every acquire asks of one limit. */
interface BucketLoad {
  readonly limit: TokenBucketLimit;
  readonly cost: number;
}

const START_FS = 1_800_000_000_000_000_000_000_000_000n;

export function simulate(contention: Contention): Contest {
  const { writers, acquiresPerSecondEach, roundTripMs, skewMs, seconds, warmUpSeconds = 0, learning = SHIPPED } = contention;
  const random = randomFrom(contention.seed);
  const events = new EventQueue();
  const bucket = new StoredBucket();
  const demands = demandsOf(contention);
  const admission = new Admission(demands);
  const counts = { granted: 0, denied: 0, contended: 0 };
  const [all, warm] = [
    { writes: 0, decisions: 0 },
    { writes: 0, decisions: 0 },
  ];
  let attemptsMax = 0;

  const counted = (what: 'writes' | 'decisions', atMs: number) => {
    all[what] += 1;
    if (atMs >= warmUpSeconds * 1_000) warm[what] += 1;
  };
  const oneWayMs = () => roundTripMs / 4 + exponential(random, roundTripMs / 4);

  const parts = (aheadFs: bigint): ProcessParts => ({
    demands,
    learning,
    clockFs: (atMs) => START_FS + femtoseconds(atMs) + aheadFs,
    ended({ kind, attempts }, atMs) {
      counts[kind] += 1;
      counted('decisions', atMs);
      attemptsMax = Math.max(attemptsMax, attempts);
    },
    send(flight, landed, atMs) {
      counted('writes', atMs);
      events.plan(atMs + oneWayMs(), (metAtMs) => {
        const outcome = bucket.write(flight.limits);
        if (outcome.applied) admission.admit(judgedAtFs(flight), START_FS + femtoseconds(metAtMs), aheadFs);
        events.plan(metAtMs + oneWayMs(), (landedAtMs) => landed(outcome, landedAtMs));
      });
    },
  });

  for (let writer = 0; writer < writers; writer += 1) {
    const process = new SimulatedProcess(parts(femtoseconds((2 * random() - 1) * skewMs)));
    const arrive = (afterMs: number) => {
      const nextMs = afterMs + exponential(random, 1_000 / acquiresPerSecondEach);
      if (nextMs >= (warmUpSeconds + seconds) * 1_000) return;
      events.plan(nextMs, (atMs) => {
        process.acquire(atMs);
        arrive(atMs);
      });
    };
    arrive(0);
  }
  events.run();

  return {
    writesPerAcquire: warm.writes / warm.decisions,
    coldWritesPerAcquire: all.writes / all.decisions,
    attemptsMax,
    ...counts,
    overAdmitted: admission.overAdmitted(femtoseconds(skewMs)),
  };
}

function demandsOf({ writers, acquiresPerSecondEach, load, limits }: Contention): readonly BucketLoad[] {
  return limits.map(({ name, periodMs, cost, load: loadOfLimit = load }) => {
    const amount = Math.max(cost, Math.round((writers * acquiresPerSecondEach * periodMs * cost) / 1_000 / loadOfLimit));
    return { limit: Limit.custom({ name, capacity: amount, refillAmount: amount, refillPeriodMs: periodMs }), cost };
  });
}

/**
 * What was admitted in the worst window. The fill admitted since some grant, less the time since, is largest where the sum never fell below zero
 * in between; so one running sum a limit finds the worst of all windows:
 *
 *     sum = max(0, sum - time since the last grant) + fill        worst window: the largest sum
 */
class Admission {
  readonly #limits: {
    readonly windowFs: bigint;
    readonly tokenFs: bigint;
    readonly fillFs: bigint;
    sumFs: bigint;
    mostFs: bigint;
  }[];
  #lastFs = START_FS;
  /** L: how old the `now` of a grant was when it met the bucket, at most. */
  #oldestFs = 0n;

  constructor(demands: readonly BucketLoad[]) {
    this.#limits = demands.map(({ limit, cost }) => {
      const { windowFs, tokenFs } = rateOf(limit);
      return { windowFs, tokenFs, fillFs: BigInt(cost) * tokenFs, sumFs: 0n, mostFs: 0n };
    });
  }

  admit(judged: readonly bigint[], atFs: bigint, aheadFs: bigint): void {
    const sinceFs = atFs - this.#lastFs;
    this.#lastFs = atFs;
    for (const nowFs of judged) this.#oldestFs = larger(this.#oldestFs, atFs - (nowFs - aheadFs));
    for (const limit of this.#limits) {
      limit.sumFs = larger(0n, limit.sumFs - sinceFs) + limit.fillFs * BigInt(judged.length);
      limit.mostFs = larger(limit.mostFs, limit.sumFs);
    }
  }

  /** Of the worst limit; a part of a token counts as one. */
  overAdmitted(skewFs: bigint): number {
    const slackFs = 2n * skewFs + this.#oldestFs;
    return this.#limits
      .map(({ mostFs, windowFs, tokenFs }) => Number((larger(0n, mostFs - windowFs - slackFs) + tokenFs - 1n) / tokenFs))
      .reduce((most, tokens) => Math.max(most, tokens), 0);
  }
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
