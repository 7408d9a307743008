import { type Clock, nowFs } from '../clock.js';
import type { Position, Positions } from '../core/bucket.js';
import { acquireWrites, admits, type Demand, judge, rescaleWrites } from '../core/decision.js';
import { rateOf } from '../core/limit.js';
import { type Difference, settlementWrites } from '../core/settlement.js';
import { Contended } from '../errors.js';
import { type BucketKey, bucketPk } from '../store/schema.js';
import { type BucketState, type BucketWrite, type Store, StoreFailure, type WriteResult } from '../store/store.js';
import type { Deadline } from './deadline.js';
import type { Tally } from './tally.js';

/** A bucket's answer: at which instant it was decided, and where its limits stood then (after the charge, when granted). */
export interface Decision {
  readonly granted: boolean;
  readonly nowFs: bigint;
  readonly positions: Positions;
}

const FS_PER_SECOND = 10n ** 15n;
const SECONDS_PER_DAY = 86_400;
/** An item outlives its last write by at least this: long enough for any report, and for debt to be remembered. */
const LEAST_LIFE_SECONDS = 35 * SECONDS_PER_DAY;
const FIRST_BACKOFF_MS = 5;
const LONGEST_BACKOFF_MS = 200;

/** The one writer of a bucket in this process: it remembers what it saw last, and by that guesses the branch of the next write. */
export class BucketWriter {
  readonly #key: BucketKey;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #tally: Tally;
  #seen: BucketState | undefined;
  #unreportedDenials = 0;

  constructor(key: BucketKey, parts: { readonly store: Store; readonly clock: Clock; readonly tally: Tally }) {
    this.#key = key;
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#tally = parts.tally;
  }

  /**
   * Decides one request on all limits of the bucket: one write where the guess is right. A failed write brings the bucket as it is, so a wrong
   * guess costs one more write and never a read, and all attempts are judged at one `now`: then each limit can fail a guess about once.
   * Throws `Contended` when other writers win every attempt, and what the store throws when it gives no answer.
   */
  async acquire(demands: readonly Demand[], deadline: Deadline): Promise<Decision> {
    const perNow = demands.length + 3;
    let seen = this.#seen?.positions;
    let at = nowFs(this.#clock);
    for (let attempt = 1; ; attempt += 1) {
      const { applied, state } = await this.#write(
        { limits: acquireWrites(demands, seen, at), requests: 1, ...this.#ttl(demands, at) },
        deadline,
      );
      if (applied) return { granted: true, nowFs: at, positions: state.positions };
      if (!admits(judge(demands, state.positions, at)) && (await this.#stateDenial(demands, state.positions, at, deadline))) {
        this.#unreportedDenials += 1;
        return { granted: false, nowFs: at, positions: state.positions };
      }
      if (attempt >= 4 * perNow || deadline.passed) throw new Contended(bucketPk(this.#key), attempt);
      if (attempt % perNow === 0) at = nowFs(this.#clock);
      seen = this.#seen?.positions;
    }
  }

  /**
   * Posts a lease's differences: one write, two when the limit was changed since. Never refused. A charge whose answer is lost is sent again
   * (at worst charged twice); a refund is not (it may have been given), and counted.
   */
  async post(
    differences: readonly Difference[],
    acquiredAtFs: bigint,
    deadline: Deadline,
    options: { readonly requests?: number } = {},
  ): Promise<void> {
    const refund = differences.every(({ tokens }) => tokens <= 0);
    const write = (positions: Positions | undefined) =>
      this.#write(
        {
          limits: settlementWrites(differences, acquiredAtFs, positions),
          requests: options.requests ?? 0,
          ttl: this.#ttlAtLeast(
            differences.map(({ charge }) => charge.windowFs),
            nowFs(this.#clock),
          ),
        },
        deadline,
        refund,
      );
    let result = await write(undefined);
    for (let attempt = 1; !result.applied; attempt += 1) {
      if (attempt > differences.length + 3) throw new Contended(bucketPk(this.#key), attempt);
      result = await write(result.state.positions);
    }
  }

  /** The bucket's positions as stored now; remembers them for the next guess. */
  async read(deadline: Deadline): Promise<Positions> {
    const state = await this.#store.read(this.#key, { signal: deadline.signal });
    this.#seen = state;
    return state?.positions ?? new Map<string, Position>();
  }

  /** Makes a denial final. False: the bucket changed meanwhile, decide again. */
  async #stateDenial(demands: readonly Demand[], positions: Positions, at: bigint, deadline: Deadline): Promise<boolean> {
    const limits = rescaleWrites(demands, positions, at);
    if (limits === undefined) return true;
    const { applied } = await this.#write({ limits, requests: 0, ...this.#ttl(demands, at) }, deadline);
    return applied;
  }

  async #write(parts: Omit<BucketWrite, 'key' | 'denials'>, deadline: Deadline, dropWhenLost = false): Promise<WriteResult> {
    const denials = this.#unreportedDenials;
    this.#unreportedDenials = 0;
    let result: WriteResult | undefined;
    try {
      result = await this.#answered({ ...parts, key: this.#key, denials }, deadline, dropWhenLost);
    } finally {
      if (result?.applied !== true) this.#unreportedDenials += denials;
    }
    this.#seen = result.state;
    if (result.applied) await this.#outlive(result.state, deadline);
    return result;
  }

  /** Sends a write until it is answered or the deadline comes. */
  async #answered(write: BucketWrite, deadline: Deadline, dropWhenLost: boolean): Promise<WriteResult> {
    for (let retry = 0; ; retry += 1) {
      this.#tally.writes += 1;
      try {
        return await this.#store.write(write, { signal: deadline.signal });
      } catch (error) {
        if (!(error instanceof StoreFailure)) throw error;
        if (error.throttled) this.#tally.throttled += 1;
        if (error.ambiguous && dropWhenLost) {
          this.#tally.droppedRefunds += 1;
          throw error;
        }
        const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** retry) * (0.5 + Math.random() / 2);
        if (!error.retryable || !(await deadline.pause(backoffMs))) throw error;
      }
    }
  }

  /** A bucket so deep in debt that its item would be deleted before it is full: extend its life, or deletion would forgive. */
  async #outlive({ positions, ttlSeconds }: BucketState, deadline: Deadline): Promise<void> {
    if (ttlSeconds === undefined) return;
    let latestFs = 0n;
    for (const { fullAtFs } of positions.values()) if (fullAtFs > latestFs) latestFs = fullAtFs;
    const fullAtSeconds = Number(latestFs / FS_PER_SECOND) + 1;
    if (fullAtSeconds <= ttlSeconds) return;
    const ttl = { seconds: fullAtSeconds + LEAST_LIFE_SECONDS, ifAbsent: false };
    const { state } = await this.#answered({ key: this.#key, limits: [], requests: 0, denials: 0, ttl }, deadline, false);
    this.#seen = state;
  }

  #ttl(demands: readonly Demand[], at: bigint): Pick<BucketWrite, 'ttl'> {
    return {
      ttl: this.#ttlAtLeast(
        demands.map(({ limit }) => rateOf(limit).windowFs),
        at,
      ),
    };
  }

  /** 35 days, and twice the longest window, from now; never before the time that is stored, which another writer's limits may need. */
  #ttlAtLeast(windowsFs: readonly bigint[], at: bigint): BucketWrite['ttl'] {
    let longestFs = 0n;
    for (const windowFs of windowsFs) if (windowFs > longestFs) longestFs = windowFs;
    const lifeSeconds = Math.max(LEAST_LIFE_SECONDS, Number((2n * longestFs) / FS_PER_SECOND) + 1);
    const seconds = Number(at / FS_PER_SECOND) + lifeSeconds;
    const stored = this.#seen?.ttlSeconds;
    return stored === undefined ? { seconds, ifAbsent: true } : { seconds: Math.max(stored, seconds), ifAbsent: false };
  }
}
