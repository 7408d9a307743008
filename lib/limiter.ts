import { Admission, type BucketDemand, type Grant, grantOf } from './admission/admission.js';
import type { Decision } from './admission/bucket-writer.js';
import { Fallback } from './admission/fallback.js';
import { emptyTally, type Tally } from './admission/tally.js';
import { type Clock, nowFs, nowMs } from './clock.js';
import { type Level, Resolution } from './config/resolution.js';
import type { Limit } from './core/limit.js';
import { CostExceedsCapacity, LimiterUnavailable, UnknownLimit } from './errors.js';
import { type DecidedBy, Lease, type PostDifferences, type Tokens, tokensOf } from './lease.js';
import { type RateLimiterOptions, type Settings, settingsOf } from './limiter-options.js';
import { type Denial, denialOf, RateLimitExceeded } from './rate-limit-exceeded.js';
import { givenBack, type LimitReport, remaining, reports } from './report.js';
import { type AcquireRequest, checkAcquire, checkNeeded, checkSubject, type NeededRequest, type Subject } from './request.js';
import { type LimitStatus, type Status, statusOf } from './status.js';
import { StoreFailure } from './store/store.js';

/** What a request came to: a lease, or the reasons why not. */
export type Outcome = { readonly granted: true; readonly lease: Lease } | { readonly granted: false; readonly denial: Denial };

/** A lease that travelled to another process: what `Lease` holds, without its connections. */
export interface LeaseState {
  readonly id: string;
  readonly entity: string;
  readonly resource: string;
  readonly grants: readonly Grant[];
}

/**
 * Holds callers to their limits. One instance a process: it remembers what it saw of each bucket, and so decides most requests with one write.
 * Every method throws `InvalidArgument` for bad input, `NoLimitsConfigured` when nothing limits the request, and, as `onUnavailable` says,
 * `LimiterUnavailable` when the database gives no answer.
 */
export class RateLimiter {
  readonly #settings: Settings;
  readonly #clock: Clock;
  readonly #tally: Tally = emptyTally();
  readonly #admission: Admission;
  readonly #fallback: Fallback | undefined;
  readonly #resolution: Resolution;

  constructor(options: RateLimiterOptions) {
    this.#settings = settingsOf(options);
    const { store, clock, deadlineMs, namespace, cacheTtlMs, onUnavailable } = this.#settings;
    this.#clock = clock;
    this.#admission = new Admission({ store, clock, deadlineMs, tally: this.#tally });
    this.#resolution = new Resolution({ store, clock, namespace, ttlMs: cacheTtlMs, deadlineMs });
    this.#fallback =
      typeof onUnavailable === 'object' ? new Fallback({ clock, deadlineMs, tally: this.#tally, ...onUnavailable }) : undefined;
  }

  /** Acquires, runs `work` with the lease, and returns what it returns. When it throws, what it had not settled is given back. */
  async run<T>(request: AcquireRequest, work: (lease: Lease) => Promise<T> | T): Promise<T> {
    const lease = await this.acquire(request);
    try {
      return await work(lease);
    } catch (error) {
      await lease.abandon();
      throw error;
    }
  }

  /** The lease of a granted request. Throws `RateLimitExceeded` when it is denied, and what `tryAcquire` throws. */
  async acquire(request: AcquireRequest): Promise<Lease> {
    const outcome = await this.tryAcquire(request);
    if (!outcome.granted) throw new RateLimitExceeded(outcome.denial);
    return outcome.lease;
  }

  /**
   * The lease, or the denial as a value; a denied request consumed nothing, on any limit or level. Waits at most `maxWaitMs`.
   * Throws `UnknownLimit`, `CostExceedsCapacity` (nothing was written), `Contended`, and the reason of an aborted `signal`.
   */
  async tryAcquire(request: AcquireRequest): Promise<Outcome> {
    const given = checkAcquire(request);
    const { signal, maxWaitMs = 0 } = request;
    signal?.throwIfAborted();
    const startedMs = nowMs(this.#clock);
    for (;;) {
      const outcome = await this.#decided(request, given, startedMs);
      const waitedMs = nowMs(this.#clock) - startedMs;
      if (signal?.aborted) {
        if (outcome.granted) await outcome.lease.release();
        throw signal.reason;
      }
      if (outcome.granted || outcome.denial.retryAfterMs > maxWaitMs - waitedMs) {
        this.#tally[outcome.granted ? 'granted' : 'denied'] += 1;
        return outcome;
      }
      await this.#clock.sleep(outcome.denial.retryAfterMs, signal);
    }
  }

  /** Whole tokens by limit name, rounded down, the smallest over the levels; negative: debt. */
  async available(subject: Subject): Promise<Record<string, number>> {
    const least = new Map<string, number>();
    for (const { limit, available } of await this.#standing(subject, checkSubject(subject), {})) {
      least.set(limit, Math.min(available, least.get(limit) ?? available));
    }
    return Object.fromEntries(least);
  }

  /** Milliseconds until `needed` may be acquired if nobody else consumes, rounded up; 0: now. Throws as `tryAcquire` does. */
  async timeUntilAvailable(request: NeededRequest): Promise<number> {
    const standing = await this.#standing(request, checkNeeded(request), request.needed);
    return standing.reduce((longest, { retryAfterMs }) => Math.max(longest, retryAfterMs), 0);
  }

  /** Where every limit of every level stands now. */
  async status(subject: Subject): Promise<Status> {
    const limits: LimitStatus[] = (await this.#standing(subject, checkSubject(subject), {})).map((report) =>
      statusOf(report, this.#clock),
    );
    return { entity: subject.entity, resource: subject.resource, limits };
  }

  /** The limits that apply: one level for the entity, and one for each entity it cascades to. Cached: no call. */
  async limits(subject: Subject): Promise<readonly Level[]> {
    try {
      return await this.#levels(subject, checkSubject(subject));
    } catch (error) {
      throw error instanceof StoreFailure ? unavailable(error) : error;
    }
  }

  /** A lease that was granted elsewhere, to be settled or released here. What it says is trusted: verify where it comes from. */
  reopen(state: LeaseState): Lease {
    return new Lease({ ...state, decidedBy: 'store', waitedMs: 0, limits: () => [], post: this.#posted });
  }

  /** Counts of what this limiter did so far. */
  stats(): Readonly<Tally> {
    return { ...this.#tally };
  }

  /** Ends the connections that this limiter made for itself. Leases must have been settled before. */
  async close(): Promise<void> {
    this.#settings.disconnect();
  }

  async #decided(request: AcquireRequest, given: readonly Limit[] | undefined, startedMs: number): Promise<Outcome> {
    let buckets: readonly BucketDemand[] | undefined;
    try {
      buckets = this.#buckets(await this.#levels(request, given), request.resource, request.consume);
      return this.#outcome(request, buckets, await this.#admission.acquire(buckets), startedMs, 'store');
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      this.#tally.unavailable += 1;
      return this.#undecided(request, buckets, error, startedMs);
    }
  }

  /** What `onUnavailable` says of a request that the database did not decide. `buckets` undefined: its limits could not be read either. */
  async #undecided(
    request: AcquireRequest,
    buckets: readonly BucketDemand[] | undefined,
    cause: StoreFailure,
    startedMs: number,
  ): Promise<Outcome> {
    if (this.#settings.onUnavailable === 'allow') return this.#outcome(request, [], [], startedMs, 'allow');
    const scaled = buckets && this.#fallback?.scaled(buckets);
    if (this.#fallback === undefined || scaled === undefined) throw unavailable(cause);
    return this.#outcome(request, scaled, await this.#fallback.admission.acquire(scaled), startedMs, 'local');
  }

  #outcome(
    { entity, resource }: AcquireRequest,
    buckets: readonly BucketDemand[],
    decisions: readonly Decision[],
    startedMs: number,
    decidedBy: DecidedBy,
  ): Outcome {
    if (!decisions.every(({ granted }) => granted))
      return { granted: false, denial: denialOf(everyReport(buckets, decisions, reports)) };
    const lease = new Lease({
      entity,
      resource,
      decidedBy,
      waitedMs: nowMs(this.#clock) - startedMs,
      grants: zipped(buckets, decisions).map(([bucket, decision]) => grantOf(bucket, decision)),
      limits: () => everyReport(buckets, decisions, remaining),
      post: decidedBy === 'local' ? this.#postedLocally : this.#posted,
    });
    return { granted: true, lease };
  }

  async #levels({ entity, resource }: Subject, given: readonly Limit[] | undefined): Promise<readonly Level[]> {
    return given === undefined ? this.#resolution.levels(entity, resource) : [{ entity, limits: given }];
  }

  /** Every bucket of a request with its demands. Throws when a cost names no limit of any level, or is above a capacity. */
  #buckets(levels: readonly Level[], resource: string, consume: Tokens): readonly BucketDemand[] {
    for (const name of Object.keys(consume)) {
      if (!levels.some(({ limits }) => limits.some((limit) => limit.name === name))) {
        const known = [...new Set(levels.flatMap(({ limits }) => limits.map((limit) => limit.name)))];
        throw new UnknownLimit({ limit: name, known, where: 'consume' });
      }
    }
    return levels.map(({ entity, limits }) => ({
      key: { namespace: this.#settings.namespace, resource, entity, shard: 0 },
      demands: limits.map((limit) => {
        const cost = tokensOf(consume, limit.name) ?? 0;
        if (cost > limit.capacity) {
          throw new CostExceedsCapacity({ entity, resource, limit: limit.name, capacity: limit.capacity, requested: cost });
        }
        return { limit, cost };
      }),
    }));
  }

  /** The reports of every level as it stands now, towards `needed`: one read a level. */
  async #standing(subject: Subject, given: readonly Limit[] | undefined, needed: Tokens): Promise<readonly LimitReport[]> {
    try {
      const buckets = this.#buckets(await this.#levels(subject, given), subject.resource, needed);
      const positions = await Promise.all(buckets.map(({ key }) => this.#admission.positions(key)));
      const at = nowFs(this.#clock);
      return everyReport(
        buckets,
        positions.map((stored) => ({ granted: false, nowFs: at, positions: stored })),
        reports,
      );
    } catch (error) {
      throw error instanceof StoreFailure ? unavailable(error) : error;
    }
  }

  readonly #posted: PostDifferences = async (grant, differences) => {
    try {
      await this.#admission.post(grant, differences);
      return true;
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      this.#tally.unavailable += 1;
      return false;
    }
  };

  readonly #postedLocally: PostDifferences = async (grant, differences) => {
    await this.#fallback?.admission.post(grant, differences);
    return true;
  };
}

const unavailable = (cause: StoreFailure): LimiterUnavailable =>
  new LimiterUnavailable(`The limiter could not decide: ${cause.message}`, { cause: cause.cause ?? cause });

function zipped<A, B>(as: readonly A[], bs: readonly B[]): readonly (readonly [A, B])[] {
  return as.flatMap((a, index) => {
    const b = bs[index];
    return b === undefined ? [] : [[a, b] as const];
  });
}

/** The reports of all buckets; a bucket that granted while another denied shows what it holds once its charge is back. */
function everyReport(
  buckets: readonly BucketDemand[],
  decisions: readonly Decision[],
  of: typeof reports,
): readonly LimitReport[] {
  return zipped(buckets, decisions).flatMap(([{ key, demands }, decision]) => {
    const report = of === reports && decision.granted ? givenBack : of;
    return report(key, demands, decision.positions, decision.nowFs);
  });
}
