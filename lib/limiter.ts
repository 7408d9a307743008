import { Admission, type Grant, grantsOf } from './admission/admission.js';
import { CircuitBreaker } from './admission/circuit-breaker.js';
import { Fallback } from './admission/fallback.js';
import type { Choice, SplitBucket } from './admission/shard-choice.js';
import { emptyTally, type Stats, type Tally } from './admission/tally.js';
import { type Answer, answerTo, type Granted, queuedFs, remainingReports, startOf } from './answer.js';
import { bucketDemands, mostAtOnce } from './bucket-demands.js';
import { type Clock, correctedByMs, nowFs, nowMs, steadyMs } from './clock.js';
import type { CacheStats } from './config/item-cache.js';
import type { Priority } from './config/priorities.js';
import { carried, type Level, Resolution, type Resolved } from './config/resolution.js';
import { checkContext } from './context-tokens.js';
import type { Limit } from './core/limit.js';
import { MOST_SHARDS } from './core/shards.js';
import { FS_PER_MS } from './core/time.js';
import { InvalidArgument } from './errors.js';
import { Lease, type PostDifferences, type Tokens } from './lease.js';
import { EventTeller } from './limiter-event.js';
import { type RateLimiterOptions, type Settings, settingsOf } from './limiter-options.js';
import { type Denial, RateLimitExceeded } from './rate-limit-exceeded.js';
import { ceilMs, ceilNs } from './report.js';
import {
  type AcquireRequest,
  type AlsoConsumed,
  checkAcquire,
  checkNeeded,
  checkSubject,
  type NeededRequest,
  type Subject,
} from './request.js';
import { availableIn, denialIn, type LevelStanding, readStanding, statusesOf, waitMsIn } from './standing.js';
import { dateOf, type Status } from './status.js';
import { StoreFailure } from './store/store.js';
import { orUnavailable, unavailable } from './unavailable.js';

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
  readonly #breaker: CircuitBreaker;
  readonly #admission: Admission;
  readonly #fallback: Fallback | undefined;
  readonly #resolution: Resolution;
  readonly #events: EventTeller;

  constructor(options: RateLimiterOptions) {
    this.#settings = settingsOf(options);
    const { clock, deadlineMs, maxQueue, namespace, cacheTtlMs, prefetchShare, onUnavailable } = this.#settings;
    const store = CircuitBreaker.before(this.#settings.store);
    this.#breaker = store;
    const parts = { store, clock, deadlineMs, maxQueue, tally: this.#tally };
    this.#clock = clock;
    this.#admission = new Admission(parts, prefetchShare);
    this.#resolution = new Resolution({ store, clock, namespace, ttlMs: cacheTtlMs, deadlineMs });
    this.#events = new EventTeller(options.onEvent);
    this.#fallback = typeof onUnavailable === 'object' ? new Fallback({ ...parts, ...onUnavailable }) : undefined;
  }

  /**
   * Acquires, runs `work` with the lease, and returns what it returns; slots are free again then. When it throws, what it had not settled is given
   * back.
   */
  async run<T>(request: AcquireRequest, work: (lease: Lease) => Promise<T> | T): Promise<T> {
    const lease = await this.acquire(request);
    let result: T;
    try {
      result = await work(lease);
    } catch (error) {
      await lease.abandon();
      throw error;
    }
    await lease.freeSlots();
    return result;
  }

  /** The lease of a granted request. Throws `RateLimitExceeded` when it is denied, and what `tryAcquire` throws. */
  async acquire(request: AcquireRequest): Promise<Lease> {
    const outcome = await this.tryAcquire(request);
    if (!outcome.granted) throw new RateLimitExceeded(outcome.denial);
    return outcome.lease;
  }

  /**
   * The lease, or the denial as a value; a denied request consumed nothing, on any limit or level. With `maxWaitMs` it takes a place in the queue,
   * in one write, and resolves when its time has come; a denial then says that the queue is longer.
   * Throws `UnknownLimit`, `CostExceedsCapacity`, `ResourceDisabled`, `ResourceNotAllowed`, `ContextTooLong` (nothing was written), `Contended`,
   * `QueueFull`, and the reason of an aborted `signal`.
   */
  tryAcquire(request: AcquireRequest): Promise<Outcome> {
    return this.#events.outcome(request, this.#tried(request));
  }

  async #tried(request: AcquireRequest): Promise<Outcome> {
    const given = checkAcquire(request);
    request.signal?.throwIfAborted();
    const askedMs = steadyMs(this.#clock);
    const first = await this.#answered(request, given);
    const answer = first.granted ? first : await this.#patient(request, given, askedMs, first);
    if (!answer.granted) return answer;
    if (request.signal?.aborted || startOf(answer.decisions) > 0n) {
      try {
        await this.#started(answer, request.signal);
      } catch (error) {
        await answer.admission.withdraw(answer.buckets, answer.decisions);
        throw error;
      }
    }
    return { granted: true, lease: this.#lease(request, answer, steadyMs(this.#clock) - askedMs) };
  }

  /**
   * As `tryAcquire`, but without sleeping: a lease whose `startsAt` lies ahead is a place in the queue, and the caller waits until then. For
   * callers that answer somebody else, such as an HTTP API.
   */
  reserve(request: AcquireRequest): Promise<Outcome> {
    return this.#events.outcome(request, this.#reserved(request));
  }

  async #reserved(request: AcquireRequest): Promise<Outcome> {
    const answer = await this.#answered(request, checkAcquire(request));
    if (!answer.granted) return answer;
    answer.admission.start(answer.buckets, answer.decisions);
    return { granted: true, lease: this.#lease(request, answer, 0) };
  }

  /** Whole tokens by limit name, rounded down, the smallest over the levels; negative: debt, or a queue. */
  async available(subject: Subject): Promise<Record<string, number>> {
    return availableIn(await this.#standing(subject, checkSubject(subject), {}));
  }

  /** Milliseconds until `needed` may be acquired if nobody else consumes, rounded up; 0: now. Throws as `tryAcquire` does. */
  async timeUntilAvailable(request: NeededRequest): Promise<number> {
    return waitMsIn(await this.#standing(request, checkNeeded(request), request.needed));
  }

  /** Where every limit of every level stands now: level, debt, queue, and when it is full; also of a resource that is disabled. */
  async status(subject: Subject): Promise<Status> {
    const standing = await this.#standing(subject, checkSubject(subject), {}, 'configured');
    const limits = standing.flatMap((level) => {
      const throttled = level.shards.some(({ key }) => this.#admission.wasThrottled(key));
      const suggestion = throttled ? { suggestShards: Math.min(MOST_SHARDS, 2 * level.split.shards) } : {};
      return statusesOf(level).map((status) => ({ ...status, ...suggestion }));
    });
    return { entity: subject.entity, resource: subject.resource, limits };
  }

  /** The limits that apply: one level for the entity, and one for each entity it cascades to. Cached: no call. */
  async limits(subject: Subject): Promise<readonly Level[]> {
    return (await this.#resolved(subject, checkSubject(subject)).catch(orUnavailable)).levels;
  }

  /** The same, and the most of each that a request of a priority may take at once now. `priority`: as of a request. Cached: no call. */
  async limitsFor(subject: Subject, priority?: Priority): Promise<{ readonly levels: readonly Level[]; readonly most: Tokens }> {
    const resolved = await this.#resolved(subject, checkSubject(subject)).catch(orUnavailable);
    const asked = { priority: priority ?? resolved.priority, nowMs: nowMs(this.#clock) };
    return { levels: resolved.levels, most: mostAtOnce(resolved.levels, asked) };
  }

  /** A lease that was granted elsewhere, to be settled or released here. What it says is trusted: verify where it comes from. */
  reopen({ id, entity, resource, grants }: LeaseState): Lease {
    return new Lease({ id, entity, resource, grants: () => grants, decidedBy: 'store', post: this.#posted });
  }

  /** Counts of what this limiter did so far, what it knows of its clock, how often the database was silent, and what its cache did. */
  stats(): Stats & { readonly configuration: CacheStats } {
    const { counts } = this.#breaker;
    return { ...this.#tally, ...counts, clockOffsetMs: correctedByMs(this.#clock), configuration: this.#resolution.stats };
  }

  /** Gives back tokens that were taken ahead (`prefetch`), and ends the connections made here. Leases must have been settled before. */
  async close(): Promise<void> {
    await this.#admission.close();
    this.#settings.disconnect();
  }

  /** A request that may not take a place in the queue, because its priority leaves headroom to others, waits here and asks again. */
  async #patient(request: AcquireRequest, given: readonly Limit[] | undefined, askedMs: number, first: Answer): Promise<Answer> {
    let answer = first;
    while (!answer.granted && !answer.mayQueue) {
      const leftMs = (request.maxWaitMs ?? 0) - (steadyMs(this.#clock) - askedMs);
      if (answer.denial.retryAfterMs > leftMs) return answer;
      await this.#clock.sleep(answer.denial.retryAfterMs, request.signal);
      answer = await this.#answered(request, given);
    }
    return answer;
  }

  async #answered(request: AcquireRequest, given: readonly Limit[] | undefined): Promise<Answer> {
    let choices: readonly Choice[] | undefined;
    let answer: Answer;
    try {
      const splits = await this.#buckets(request, given);
      choices = splits.map((split) => this.#admission.chosen(split));
      answer = splits.every(({ fits }) => fits)
        ? await answerTo(this.#admission, choices, request.maxWaitMs, 'store', nowFs(this.#clock))
        : await this.#tooEarly(splits);
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      this.#tally.unavailable += 1;
      answer = await this.#undecided(choices, request.maxWaitMs, error);
      this.#events.unavailable(request, this.#fallback ? 'local' : 'allow');
    }
    this.#tally[answer.granted ? 'granted' : 'denied'] += 1;
    return answer;
  }

  /** The denial of a request that the present forms of its limits are too small for. It is not news to any bucket. */
  async #tooEarly(splits: readonly SplitBucket[]): Promise<Answer> {
    const standing = await readStanding(this.#admission, splits, () => nowFs(this.#clock));
    return { granted: false, denial: denialIn(standing), mayQueue: false };
  }

  /** What `onUnavailable` says of a request that the database did not decide. `choices` undefined: its limits could not be read either. */
  async #undecided(choices: readonly Choice[] | undefined, maxWaitMs: number | undefined, cause: StoreFailure): Promise<Answer> {
    if (this.#settings.onUnavailable === 'allow') return answerTo(this.#admission, [], 0, 'allow', nowFs(this.#clock));
    const scaled = choices && this.#fallback?.scaled(choices.map(([bucket]) => bucket));
    if (this.#fallback === undefined || scaled === undefined) throw unavailable(cause);
    return answerTo(
      this.#fallback.admission,
      scaled.map((bucket) => [bucket]),
      maxWaitMs,
      'local',
      nowFs(this.#clock),
    );
  }

  /** Resolves when all places of a granted request have come to their start. Rejects with the signal's reason. */
  async #started({ admission, buckets, decisions }: Granted, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    for (;;) {
      const waitFs = startOf(decisions) - nowFs(this.#clock);
      if (waitFs <= 0n) break;
      const moved = new AbortController();
      if (decisions.length === 1) void decisions[0]?.place?.moved().then(() => moved.abort());
      const woken = signal === undefined ? moved.signal : AbortSignal.any([signal, moved.signal]);
      await this.#clock.sleep(ceilNs(waitFs) / NS_PER_MS, woken).catch((error: unknown) => {
        if (!moved.signal.aborted || signal?.aborted) throw error;
      });
    }
    admission.start(buckets, decisions);
  }

  #lease({ entity, resource }: AcquireRequest, granted: Granted, waitedMs: number): Lease {
    const { buckets, decisions, decidedBy } = granted;
    return new Lease({
      entity,
      resource,
      decidedBy,
      waitedMs,
      queuedAheadMs: ceilMs(queuedFs(decisions)),
      attempts: () => decisions.reduce((most, { attempts = 0 }) => Math.max(most, attempts), 0),
      startsAt: () => dateOf(Number((startOf(decisions) || (decisions[0]?.nowFs ?? nowFs(this.#clock))) / FS_PER_MS)),
      grants: () => grantsOf(buckets, decisions),
      limits: () => remainingReports(granted),
      post: decidedBy === 'local' ? this.#postedLocally : this.#posted,
    });
  }

  /** What applies to a request. `how`: whether a refusal is thrown, or told. */
  async #resolved(
    { entity, resource }: Subject,
    given: readonly Limit[] | undefined,
    how: 'admitted' | 'configured' = 'admitted',
  ): Promise<Resolved> {
    return given === undefined ? this.#resolution[how](entity, resource) : carried(entity, given);
  }

  /** The buckets of a request, of its own resource first: one for each level of each resource. */
  #buckets(
    request: AcquireRequest,
    given: readonly Limit[] | undefined,
  ): readonly SplitBucket[] | Promise<readonly SplitBucket[]> {
    const { entity, resource, consume, also = [], priority = 'normal' } = request;
    if (given === undefined || also.length > 0) return this.#configuredBuckets(request, given);
    return bucketDemands([{ entity, limits: given }], { ...this.#here(), resource, consume, priority });
  }

  async #configuredBuckets(request: AcquireRequest, given: readonly Limit[] | undefined): Promise<readonly SplitBucket[]> {
    const { entity, resource, consume, contextTokens, also = [] } = request;
    const asked = async (part: AlsoConsumed & Pick<AcquireRequest, 'contextTokens'>) => {
      const resolved = await this.#resolved({ entity, resource: part.resource }, given);
      checkContext(resolved, part);
      return bucketDemands(resolved.levels, { ...this.#here(), priority: request.priority ?? resolved.priority, ...part });
    };
    const own = { resource, consume, contextTokens };
    if (also.length === 0) return asked(own);
    const parts = await Promise.all([own, ...also.map((part) => ({ ...part, contextTokens }))].map(asked));
    const buckets = parts.flat();
    if (buckets.length <= MOST_BUCKETS) return buckets;
    throw new InvalidArgument({
      field: 'also',
      value: also.length,
      expected: `resources with at most ${MOST_BUCKETS} buckets in all, over all levels`,
    });
  }

  #here(): { readonly namespace: string; readonly nowMs: number } {
    return { namespace: this.#settings.namespace, nowMs: nowMs(this.#clock) };
  }

  /** Every level's bucket as it stands now, and what `needed` asks of it. */
  async #standing(
    { entity, resource }: Subject,
    given: readonly Limit[] | undefined,
    needed: Tokens,
    how?: 'configured',
  ): Promise<readonly LevelStanding[]> {
    const { levels } = await this.#resolved({ entity, resource }, given, how).catch(orUnavailable);
    const buckets = bucketDemands(levels, { ...this.#here(), resource, consume: needed, priority: 'critical' });
    return readStanding(this.#admission, buckets, () => nowFs(this.#clock)).catch(orUnavailable);
  }

  readonly #posted: PostDifferences = async (grant, differences) => {
    try {
      await this.#admission.post(grant, differences);
      return this.#events.settled(grant, this.#clock, true);
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      this.#tally.unavailable += 1;
      return this.#events.settled(grant, this.#clock, false);
    }
  };

  readonly #postedLocally: PostDifferences = async (grant, differences) => {
    await this.#fallback?.admission.post(grant, differences);
    return true;
  };
}

/** Buckets that one request may decide over. */
const MOST_BUCKETS = 16;
const NS_PER_MS = 1e6;
