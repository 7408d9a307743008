import { type Clock, nowFs } from '../clock.js';
import { admits, type Demand, judge } from '../core/decision.js';
import { type Guesses, learned, NO_GUESSES } from '../core/prediction.js';
import { changesNothing, type Settlement } from '../core/settlement.js';
import type { Stored } from '../core/standing.js';
import { Contended, QueueFull } from '../errors.js';
import { type BucketKey, bucketPk } from '../store/schema.js';
import { type BucketState, EMPTY_BUCKET, type Store, StoreFailure, type WriteResult } from '../store/store.js';
import { ClockWatch } from './clock-watch.js';
import { compose, type Flight } from './composition.js';
import { Deadline } from './deadline.js';
import { DenialMemory } from './denial-memory.js';
import { type AcquireOperation, type Decision, type Operation, withoutRefunds } from './operation.js';
import { latestStart, placesOf } from './placement.js';
import { type Place, Places } from './places.js';
import type { Tally } from './tally.js';
import { longerLife, timeToLive } from './time-to-live.js';

/** A write that takes longer no longer holds the bucket: the next may go out beside it. */
const SLOW_MS = 50;
const MOST_FLIGHTS = 4;
const FIRST_BACKOFF_MS = 5;
const LONGEST_BACKOFF_MS = 200;

export interface WriterParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly tally: Tally;
  readonly deadlineMs: number;
  readonly maxQueue: number;
}

/** When a request may start: at the earliest, and how long from now at the latest. */
export interface StartRange {
  /** @default 0n: now or not at all */
  readonly maxWaitFs?: bigint;
  /** @default now */
  readonly earliestFs?: bigint;
  /** Whether its place may move forward when the one before it is given up. @default true */
  readonly movable?: boolean;
}

/**
 * The one writer of a bucket in this process. While its write is in flight, acquires, settlements and refunds queue; the next write carries all
 * that fit together. A request is denied when nothing undecided stands before it and an answer from the store that came after it was queued
 * shows that it does not fit. A failed write brings the bucket as it is: a wrong guess costs one more write, and never a read.
 */
export class BucketWriter {
  readonly #key: BucketKey;
  readonly #parts: WriterParts;
  readonly #flights = new Map<Flight, { readonly sentAtMs: number }>();
  readonly #denials: DenialMemory;
  readonly #places = new Places();
  readonly #watch: ClockWatch;
  #queue: Operation[] = [];
  /** What the last answer showed; undefined before the first. */
  #seen: BucketState | undefined;
  #guesses: Guesses = NO_GUESSES;
  #answers = 0;
  #unreportedDenials = 0;
  #failuresInARow = 0;
  #pausedUntilMs = 0;
  /** Whether DynamoDB throttled a write of this bucket. */
  #throttled = false;
  #woken = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(key: BucketKey, parts: WriterParts) {
    this.#key = key;
    this.#parts = parts;
    this.#denials = new DenialMemory(parts.clock);
    this.#watch = new ClockWatch(parts.clock, () => [
      ...this.#queue,
      ...[...this.#flights.keys()].flatMap((one) => one.operations),
    ]);
  }

  /** Decides one request on all limits of the bucket. Throws `Contended` when other writers win every attempt, `QueueFull`, and what the store throws. */
  acquire(demands: readonly Demand[], { maxWaitFs = 0n, earliestFs = 0n, movable = true }: StartRange = {}): Promise<Decision> {
    const denied = maxWaitFs === 0n ? this.remembered(demands) : undefined;
    if (denied !== undefined) {
      this.#unreportedDenials += 1;
      return Promise.resolve(denied);
    }
    return new Promise((resolve, reject) => {
      if (this.#queue.length >= this.#parts.maxQueue) throw new QueueFull(bucketPk(this.#key), this.#parts.maxQueue);
      this.#enqueue({
        kind: 'acquire',
        demands,
        maxWaitFs,
        earliestFs,
        movable,
        nowFs: undefined,
        startFs: 0n,
        overdrawn: [],
        attempts: 0,
        resolve,
        reject,
        untilMs: this.#untilMs(),
        answersBefore: this.#answers,
      });
    });
  }

  /**
   * Posts a lease's differences. Never refused. A charge whose answer is lost is sent again (at worst charged twice); a refund is not (it may
   * have been given), and counted.
   */
  post(settlement: Settlement, requests = 0): Promise<void> {
    if (requests === 0 && changesNothing(settlement.differences, this.#seen)) return Promise.resolve();
    if (settlement.differences.some(({ tokens }) => tokens < 0)) this.#denials.forget();
    return new Promise((resolve, reject) => {
      const arrival = { untilMs: this.#untilMs(), answersBefore: this.#answers };
      this.#enqueue({ kind: 'post', settlement, requests, attempts: 0, resolve, reject, ...arrival });
    });
  }

  /** A place in the queue whose time has come. */
  start(place: Place): void {
    this.#places.start(place);
  }

  /**
   * Gives up a place in the queue. Waiters of this process that stand right behind it move forward; what is free in the end is given back if
   * nobody, in any process, has reserved behind it, and else lapses: others have been promised their starts by it.
   */
  async leave(place: Place): Promise<void> {
    const free = this.#places.leave(place);
    if (free.startFs <= nowFs(this.#parts.clock)) return;
    this.#denials.forget();
    await this.#withDeadline(async (deadline) => {
      const { state } = await this.#sent({ operations: [], limits: free.removal(), requests: -1, denies: false }, 0, deadline);
      this.#seen = state;
    }).catch((error: unknown) => {
      if (!(error instanceof StoreFailure)) throw error;
      this.#parts.tally.droppedRefunds += 1;
    });
  }

  /** The bucket as stored now; remembers it for the next guess. */
  async read(): Promise<BucketState> {
    this.#seen = await this.#withDeadline(
      async ({ signal }) => (await this.#parts.store.read(this.#key, { signal })) ?? EMPTY_BUCKET,
    );
    return this.#seen;
  }

  /** Where the bucket stands, as far as this process knows; read where it knows nothing. */
  async standing(): Promise<Stored> {
    return this.#seen ?? (await this.read());
  }

  /** The denial of a request that a denial of a moment ago answers as well, without a call. */
  remembered(demands: readonly Demand[]): Decision | undefined {
    return this.#denials.answer(demands);
  }

  /** Whether this bucket denied a moment ago, or would deny by what was seen last. */
  strained(demands: readonly Demand[]): boolean {
    if (this.#denials.strained) return true;
    return this.#seen !== undefined && !admits(judge(demands, this.#seen, nowFs(this.#parts.clock)));
  }

  get throttled(): boolean {
    return this.#throttled;
  }

  /** The share left of its tightest limit, as far as is known: 1 where nothing is, -1 after a denial of a moment ago. */
  room(demands: readonly Demand[]): number {
    if (this.remembered(demands) !== undefined) return -1;
    if (this.#seen === undefined) return 1;
    return Math.min(
      ...judge(demands, this.#seen, nowFs(this.#parts.clock)).map(({ available, limit }) => available / limit.capacity),
    );
  }

  #untilMs(): number {
    return performance.now() + this.#parts.deadlineMs;
  }

  #enqueue(operation: Operation): void {
    this.#queue.push(operation);
    this.#wake();
  }

  /** Looks at the queue at the end of this turn of the event loop: callers of one turn share a write. */
  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    queueMicrotask(() => {
      this.#woken = false;
      this.#pump();
    });
  }

  #pump(): void {
    this.#watch.follow();
    while (this.#queue.length > 0) {
      const heldMs = this.#heldMs();
      if (heldMs > 0) {
        if (this.#timer !== undefined) return;
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#pump();
        }, heldMs);
        return;
      }
      const known = { seen: this.#seen, guesses: this.#guesses, answers: this.#answers, undecided: this.#flights.size > 0 };
      const { flight, denied, left } = compose(this.#queue, known, nowFs(this.#parts.clock));
      this.#queue = left;
      for (const operation of denied) this.#deny(operation, this.#seen ?? EMPTY_BUCKET);
      if (flight !== undefined) void this.#fly(flight);
      else if (denied.length === 0) return;
    }
  }

  /** How long the bucket is held: by the pause after a failure, or by a write that is not slow yet. Settlements alone wait for no write. */
  #heldMs(): number {
    const now = performance.now();
    if (now < this.#pausedUntilMs) return this.#pausedUntilMs - now;
    if (this.#flights.size === 0 || this.#queue.every(({ kind }) => kind === 'post')) return 0;
    let heldMs = this.#flights.size < MOST_FLIGHTS ? 0 : SLOW_MS;
    for (const { sentAtMs } of this.#flights.values()) heldMs = Math.max(heldMs, sentAtMs + SLOW_MS - now);
    return heldMs;
  }

  async #fly(flight: Flight): Promise<void> {
    this.#flights.set(flight, { sentAtMs: performance.now() });
    const denials = this.#unreportedDenials;
    this.#unreportedDenials = 0;
    let applied = false;
    try {
      await this.#withDeadline(async (deadline) => {
        const result = await this.#watch.sent(flight, (one) => this.#sent(one, one === flight ? denials : 0, deadline));
        applied = result.applied;
        if (applied) await this.#outlive(result.state, deadline);
        this.#land(flight, result);
      });
    } catch (error) {
      this.#fail(flight, error);
    } finally {
      if (!applied) this.#unreportedDenials += denials;
      this.#flights.delete(flight);
      this.#wake();
    }
  }

  #sent({ operations, limits, requests }: Flight, denials: number, { signal }: Deadline): Promise<WriteResult> {
    this.#parts.tally.writes += 1;
    const windowsFs = limits.map(({ windowFs }) => windowFs);
    const ttl = timeToLive(windowsFs, nowFs(this.#parts.clock), this.#seen?.ttlSeconds);
    const reservedUntilFs = latestStart(operations);
    return this.#parts.store.write({ key: this.#key, limits, requests, denials, reservedUntilFs, ttl }, { signal });
  }

  #land({ operations, limits, denies }: Flight, { applied, state }: WriteResult): void {
    this.#answers += 1;
    this.#failuresInARow = 0;
    this.#guesses = learned(this.#guesses, limits, this.#seen, { applied, state });
    this.#seen = state;
    this.#denials.learn(state);
    if (!applied) {
      this.#queue = [...operations.filter((operation) => this.#mayTryAgain(operation)), ...this.#queue];
      return;
    }
    const places = placesOf(operations, state);
    for (const operation of operations) {
      if (operation.kind === 'post') operation.resolve();
      // Another process may have given tokens back meanwhile: then it is decided anew.
      else if (denies && admits(judge(operation.demands, state, operation.nowFs ?? 0n))) this.#queue.unshift(operation);
      else if (denies) this.#deny(operation, state);
      else {
        const place = places.get(operation);
        if (place !== undefined) this.#places.add(place);
        const { nowFs: atFs = operation.startFs, overdrawn, attempts } = operation;
        operation.resolve({ granted: true, nowFs: atFs, stored: state, overdrawn, place, attempts: attempts + 1 });
      }
    }
  }

  #deny(operation: AcquireOperation, stored: Stored): void {
    const judgedAtFs = operation.nowFs ?? nowFs(this.#parts.clock);
    this.#denials.add(operation.demands, stored, judgedAtFs);
    this.#unreportedDenials += 1;
    operation.resolve({ granted: false, nowFs: judgedAtFs, stored });
  }

  /** Whether an operation that lost its race is tried again; a request not for ever, and now and then at a fresh `now`. */
  #mayTryAgain(operation: Operation): boolean {
    operation.attempts += 1;
    if (operation.kind === 'post') return true;
    const perNow = operation.demands.length + 3;
    // For a place in the queue every round has a winner, and the losers come next: only the deadline ends that.
    const most = operation.maxWaitFs > 0n ? Number.POSITIVE_INFINITY : 4 * perNow;
    if (operation.attempts >= most || performance.now() >= operation.untilMs) {
      operation.reject(new Contended(bucketPk(this.#key), operation.attempts));
      return false;
    }
    if (operation.attempts % perNow === 0) operation.nowFs = undefined;
    return true;
  }

  /** No answer, or none that decides: what may be sent again waits a moment, the rest learns why. */
  #fail({ operations }: Flight, error: unknown): void {
    const failure = error instanceof StoreFailure ? error : undefined;
    if (failure?.throttled) {
      this.#parts.tally.throttled += 1;
      this.#throttled = true;
    }
    const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failuresInARow) * (0.5 + Math.random() / 2);
    this.#failuresInARow += 1;
    const now = performance.now();
    const again = operations.flatMap((operation) => {
      const rest = failure?.ambiguous ? withoutRefunds(operation) : operation;
      if (rest !== operation) this.#parts.tally.droppedRefunds += 1;
      if (rest !== undefined && failure?.retryable && now + backoffMs < operation.untilMs) return [rest];
      operation.reject(error);
      return [];
    });
    if (again.length > 0) this.#pausedUntilMs = now + backoffMs;
    this.#queue = [...again, ...this.#queue];
  }

  /** Keeps the item of a deep debt. A failure leaves that to the next write, weeks before it matters. */
  async #outlive(state: BucketState, { signal }: Deadline): Promise<void> {
    const ttl = longerLife(state);
    if (ttl === undefined) return;
    this.#parts.tally.writes += 1;
    try {
      this.#seen = (
        await this.#parts.store.write({ key: this.#key, limits: [], requests: 0, denials: 0, ttl }, { signal })
      ).state;
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
    }
  }

  async #withDeadline<T>(work: (deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = new Deadline(this.#parts.deadlineMs);
    try {
      return await work(deadline);
    } finally {
      deadline.done();
    }
  }
}
