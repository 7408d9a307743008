import { Admission, type BucketDemand, type Grant, grantOf } from './admission/admission.js';
import { Fallback } from './admission/fallback.js';
import type { Decision } from './admission/operation.js';
import { emptyTally, type Tally } from './admission/tally.js';
import { bucketDemands } from './bucket-demands.js';
import { type Clock, nowFs, nowMs } from './clock.js';
import { type Level, Resolution } from './config/resolution.js';
import { FS_PER_MS, type Limit } from './core/limit.js';
import { InvalidArgument, LimiterUnavailable } from './errors.js';
import { type DecidedBy, Lease, type PostDifferences, type Tokens } from './lease.js';
import { type RateLimiterOptions, type Settings, settingsOf } from './limiter-options.js';
import { type Denial, denialOf, RateLimitExceeded } from './rate-limit-exceeded.js';
import { ceilMs, givenBack, type LimitReport, remaining, reports } from './report.js';
import { type AcquireRequest, checkAcquire, checkNeeded, checkSubject, type NeededRequest, type Subject } from './request.js';
import { dateOf, type Status, statusOf } from './status.js';
import { type BucketState, StoreFailure } from './store/store.js';

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
    const { store, clock, deadlineMs, maxQueue, namespace, cacheTtlMs, onUnavailable } = this.#settings;
    const parts = { store, clock, deadlineMs, maxQueue, tally: this.#tally };
    this.#clock = clock;
    this.#admission = new Admission(parts);
    this.#resolution = new Resolution({ store, clock, namespace, ttlMs: cacheTtlMs, deadlineMs });
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
   * Throws `UnknownLimit`, `CostExceedsCapacity` (nothing was written), `Contended`, `QueueFull`, and the reason of an aborted `signal`.
   */
  async tryAcquire(request: AcquireRequest): Promise<Outcome> {
    const given = checkAcquire(request);
    const { signal } = request;
    signal?.throwIfAborted();
    const askedMs = nowMs(this.#clock);
    const answer = await this.#patient(request, given, askedMs);
    if (!answer.granted) return answer;
    try {
      await this.#started(answer, signal);
    } catch (error) {
      await answer.admission.withdraw(answer.buckets, answer.decisions);
      throw error;
    }
    return { granted: true, lease: this.#lease(request, answer, nowMs(this.#clock) - askedMs) };
  }

  /**
   * As `tryAcquire`, but without sleeping: a lease whose `startsAt` lies ahead is a place in the queue, and the caller waits until then. For
   * callers that answer somebody else, such as an HTTP API.
   */
  async reserve(request: AcquireRequest): Promise<Outcome> {
    const answer = await this.#answered(request, checkAcquire(request));
    if (!answer.granted) return answer;
    answer.admission.start(answer.buckets, answer.decisions);
    return { granted: true, lease: this.#lease(request, answer, 0) };
  }

  /** Whole tokens by limit name, rounded down, the smallest over the levels; negative: debt, or a queue. */
  async available(subject: Subject): Promise<Record<string, number>> {
    const least = new Map<string, number>();
    for (const { limit, available } of standingReports(await this.#standing(subject, checkSubject(subject), {}))) {
      least.set(limit, Math.min(available, least.get(limit) ?? available));
    }
    return Object.fromEntries(least);
  }

  /** Milliseconds until `needed` may be acquired if nobody else consumes, rounded up; 0: now. Throws as `tryAcquire` does. */
  async timeUntilAvailable(request: NeededRequest): Promise<number> {
    return denialOf(standingReports(await this.#standing(request, checkNeeded(request), request.needed))).retryAfterMs;
  }

  /** Where every limit of every level stands now: level, debt, queue, and when it is full. */
  async status(subject: Subject): Promise<Status> {
    const standing = await this.#standing(subject, checkSubject(subject), {});
    const limits = standing.flatMap(({ bucket: { key, demands }, state, atFs }) => {
      return demands.map(({ limit }) => statusOf(key, limit, state, atFs));
    });
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
  reopen({ id, entity, resource, grants }: LeaseState): Lease {
    return new Lease({ id, entity, resource, grants, decidedBy: 'store', post: this.#posted });
  }

  /** Counts of what this limiter did so far. */
  stats(): Readonly<Tally> {
    return { ...this.#tally };
  }

  /** Ends the connections that this limiter made for itself. Leases must have been settled before. */
  async close(): Promise<void> {
    this.#settings.disconnect();
  }

  /** A request that may not take a place in the queue, because its priority leaves headroom to others, waits here and asks again. */
  async #patient(request: AcquireRequest, given: readonly Limit[] | undefined, askedMs: number): Promise<Answer> {
    for (;;) {
      const answer = await this.#answered(request, given);
      if (answer.granted || answer.mayQueue) return answer;
      const leftMs = (request.maxWaitMs ?? 0) - (nowMs(this.#clock) - askedMs);
      if (answer.denial.retryAfterMs > leftMs) return answer;
      await this.#clock.sleep(answer.denial.retryAfterMs, request.signal);
    }
  }

  async #answered(request: AcquireRequest, given: readonly Limit[] | undefined): Promise<Answer> {
    const answer = await this.#decided(request, given);
    this.#tally[answer.granted ? 'granted' : 'denied'] += 1;
    return answer;
  }

  async #decided(request: AcquireRequest, given: readonly Limit[] | undefined): Promise<Answer> {
    let buckets: readonly BucketDemand[] | undefined;
    try {
      buckets = await this.#buckets(request, given);
      return await asked(this.#admission, buckets, request.maxWaitMs, 'store');
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      this.#tally.unavailable += 1;
      return this.#undecided(buckets, request.maxWaitMs, error);
    }
  }

  /** What `onUnavailable` says of a request that the database did not decide. `buckets` undefined: its limits could not be read either. */
  async #undecided(
    buckets: readonly BucketDemand[] | undefined,
    maxWaitMs: number | undefined,
    cause: StoreFailure,
  ): Promise<Answer> {
    if (this.#settings.onUnavailable === 'allow') return asked(this.#admission, [], 0, 'allow');
    const scaled = buckets && this.#fallback?.scaled(buckets);
    if (this.#fallback === undefined || scaled === undefined) throw unavailable(cause);
    return asked(this.#fallback.admission, scaled, maxWaitMs, 'local');
  }

  /** Resolves when all places of a granted request have come to their start. Rejects with the signal's reason. */
  async #started({ admission, buckets, decisions }: Granted, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    for (;;) {
      const waitFs = startOf(decisions) - nowFs(this.#clock);
      if (waitFs <= 0n) break;
      const moved = new AbortController();
      const [first] = decisions;
      if (decisions.length === 1) void first?.place?.moved().then(() => moved.abort());
      const woken = signal === undefined ? moved.signal : AbortSignal.any([signal, moved.signal]);
      await this.#clock.sleep(Number((waitFs + FS_PER_NS - 1n) / FS_PER_NS) / NS_PER_MS, woken).catch((error: unknown) => {
        if (!moved.signal.aborted || signal?.aborted) throw error;
      });
    }
    admission.start(buckets, decisions);
  }

  #lease({ entity, resource }: AcquireRequest, { buckets, decisions, decidedBy }: Granted, waitedMs: number): Lease {
    const queuedFs = decisions.reduce((longest, { place, nowFs: at }) => {
      return place !== undefined && place.startFs - at > longest ? place.startFs - at : longest;
    }, 0n);
    return new Lease({
      entity,
      resource,
      decidedBy,
      waitedMs,
      queuedAheadMs: ceilMs(queuedFs),
      startsAt: dateOf(Number(startOf(decisions) / FS_PER_MS) || nowMs(this.#clock)),
      grants: zipped(buckets, decisions).map(([bucket, decision]) => grantOf(bucket, decision)),
      limits: () => everyReport(buckets, decisions, remaining),
      post: decidedBy === 'local' ? this.#postedLocally : this.#posted,
    });
  }

  async #levels({ entity, resource }: Subject, given: readonly Limit[] | undefined): Promise<readonly Level[]> {
    return given === undefined ? this.#resolution.levels(entity, resource) : [{ entity, limits: given }];
  }

  /** The buckets of a request, of its own resource first: one for each level of each resource. */
  async #buckets(request: AcquireRequest, given: readonly Limit[] | undefined): Promise<readonly BucketDemand[]> {
    const { entity, resource, consume, also = [], priority = 'normal' } = request;
    const { namespace } = this.#settings;
    const parts = await Promise.all(
      [{ resource, consume }, ...also].map(async (part) => {
        const levels = await this.#levels({ entity, resource: part.resource }, given);
        return bucketDemands(levels, { namespace, priority, ...part });
      }),
    );
    const buckets = parts.flat();
    if (buckets.length <= MOST_BUCKETS) return buckets;
    throw new InvalidArgument({
      field: 'also',
      value: also.length,
      expected: `resources with at most ${MOST_BUCKETS} buckets in all, over all levels`,
    });
  }

  /** Every level's bucket as it stands now, and what `needed` asks of it: one read a level. */
  async #standing(
    { entity, resource }: Subject,
    given: readonly Limit[] | undefined,
    needed: Tokens,
  ): Promise<readonly Standing[]> {
    try {
      const levels = await this.#levels({ entity, resource }, given);
      const { namespace } = this.#settings;
      const buckets = bucketDemands(levels, { namespace, resource, consume: needed, priority: 'critical' });
      const states = await Promise.all(buckets.map(({ key }) => this.#admission.read(key)));
      const atFs = nowFs(this.#clock);
      return zipped(buckets, states).map(([bucket, state]) => ({ bucket, state, atFs }));
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

/** A request that was granted, by which engine, with its buckets' decisions in their order. */
interface Granted {
  readonly granted: true;
  readonly admission: Admission;
  readonly buckets: readonly BucketDemand[];
  readonly decisions: readonly Decision[];
  readonly decidedBy: DecidedBy;
}

/** A denial is final for a request that may take a place in the queue: the queue is longer than it would wait. */
type Answer = Granted | { readonly granted: false; readonly denial: Denial; readonly mayQueue: boolean };

async function asked(
  admission: Admission,
  buckets: readonly BucketDemand[],
  maxWaitMs: number | undefined,
  decidedBy: DecidedBy,
): Promise<Answer> {
  const mayQueue = buckets.every(({ demands }) =>
    demands.every(({ limit, within = limit.capacity }) => within === limit.capacity),
  );
  const maxWaitFs = mayQueue && maxWaitMs !== undefined ? BigInt(Math.floor(maxWaitMs)) * FS_PER_MS : 0n;
  const decisions = await admission.acquire(buckets, maxWaitFs);
  if (decisions.every(({ granted }) => granted)) return { granted: true, admission, buckets, decisions, decidedBy };
  return { granted: false, denial: denialOf(everyReport(buckets, decisions, reports)), mayQueue };
}

/** A bucket as it was read at an instant, and what is asked of it. */
interface Standing {
  readonly bucket: BucketDemand;
  readonly state: BucketState;
  readonly atFs: bigint;
}

function standingReports(standing: readonly Standing[]): readonly LimitReport[] {
  return standing.flatMap(({ bucket: { key, demands }, state, atFs }) => reports(key, demands, state, atFs));
}

/** When all decisions start: the latest of their places; 0n for a request that starts now. */
function startOf(decisions: readonly Decision[]): bigint {
  return decisions.reduce((latest, { place }) => (place !== undefined && place.startFs > latest ? place.startFs : latest), 0n);
}

/** Buckets that one request may decide over. */
const MOST_BUCKETS = 16;
const FS_PER_NS = 1_000_000n;
const NS_PER_MS = 1e6;

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
    return report(key, demands, decision.stored, decision.nowFs);
  });
}
