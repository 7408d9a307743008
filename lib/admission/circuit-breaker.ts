import { machineMs } from '../machine-time.js';
import { type CallOptions, type Store, StoreFailure } from '../store/store.js';

/** Failures in a row, with no answer to anything between them, that make a store silent; sporadic ones are for retries. */
const SILENT_AFTER_FAILURES = 5;
/** How long that row must have lasted: shorter outages are ridden out by retries within the deadline of a decision, 1 s by default. */
const SILENT_AFTER_MS = 1_000;
/** How long a silent store is left alone before one call asks it again: so long may a store be back before it is noticed. */
const PAUSE_MS = 1_000;

/** What a breaker did so far, in counts. */
export interface BreakerCounts {
  /** Times that the store was found silent. */
  readonly silences: number;
  /** Calls that failed at once, unsent, because the store was silent. */
  readonly unsent: number;
}

/**
 * A store whose calls fail at once while it is silent, so that a dead database costs a request microseconds and not its whole deadline, and
 * `onUnavailable` decides without delay.
 *
 *     answering --- 5 failures in a row, over 1 s --> silent: nothing is sent for 1 s
 *         ^                                             |         ^
 *         | any answer                                  v         | no answer
 *         +------------------------------------------ one call asks
 *
 * A failure is a call without an answer: no connection, a deadline that passed, an error of the service itself. A throttle, a refusal, a wrong set-up
 * are answers. What a caller aborts says nothing. Failures of calls that were sent before the latest answer do not count: they are older news.
 */
export class CircuitBreaker implements Store {
  readonly #store: Store;
  readonly #nowMs: () => number;
  #failures = 0;
  /** When the first call of the row of failures was sent. */
  #rowSinceMs = 0;
  /** Counts up with each answer. */
  #answers = 0;
  /** Silent: when the next call may ask. Undefined: answering. */
  #asksAtMs: number | undefined;
  #asking = false;
  #latest: StoreFailure | undefined;
  #silences = 0;
  #unsent = 0;

  /** `nowMs`: real time, whatever clock the limits go by. It must go on while the process is frozen, as a Lambda is between its calls. */
  constructor(store: Store, nowMs: () => number = machineMs) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /** A breaker before the store; one that is given is that breaker, so that those who share a store share what is known of it. */
  static before(store: Store): CircuitBreaker {
    return store instanceof CircuitBreaker ? store : new CircuitBreaker(store);
  }

  get counts(): BreakerCounts {
    return { silences: this.#silences, unsent: this.#unsent };
  }

  write(...[write, options]: Parameters<Store['write']>) {
    return this.#call(options, () => this.#store.write(write, options));
  }

  read(...[key, options]: Parameters<Store['read']>) {
    return this.#call(options, () => this.#store.read(key, options));
  }

  getItems(...[keys, options]: Parameters<Store['getItems']>) {
    return this.#call(options, () => this.#store.getItems(keys, options));
  }

  queryItems(...[pk, skPrefix, options]: Parameters<Store['queryItems']>) {
    return this.#call(options, () => this.#store.queryItems(pk, skPrefix, options));
  }

  transact(...[operations, options]: Parameters<Store['transact']>) {
    return this.#call(options, () => this.#store.transact(operations, options));
  }

  async #call<T>(options: CallOptions | undefined, send: () => Promise<T>): Promise<T> {
    const atMs = this.#nowMs();
    const asks = this.#asksAtMs !== undefined;
    if (this.#asksAtMs !== undefined && (this.#asking || atMs < this.#asksAtMs)) throw this.#notSent();
    if (asks) this.#asking = true;
    const sent = { atMs, asks, answersBefore: this.#answers };
    try {
      const answer = await send();
      this.#answered();
      return answer;
    } catch (error) {
      if (!(error instanceof StoreFailure) || !error.ambiguous) this.#answered();
      else if (!abortedByCaller(options)) this.#failed(error, sent);
      throw error;
    } finally {
      if (asks) this.#asking = false;
    }
  }

  #notSent(): StoreFailure {
    this.#unsent += 1;
    const { message, cause } = this.#latest ?? {};
    // Not to be sent again: whoever has time to wait asks anew.
    return new StoreFailure(`nothing was sent, for there was no answer lately: ${message}`, {
      ambiguous: false,
      retryable: false,
      cause,
    });
  }

  #answered(): void {
    this.#answers += 1;
    this.#failures = 0;
    this.#asksAtMs = undefined;
  }

  #failed(failure: StoreFailure, { atMs, asks, answersBefore }: Sent): void {
    const silent = this.#asksAtMs !== undefined;
    // While silent only the one that asks tells anything new.
    if (answersBefore !== this.#answers || (silent && !asks)) return;
    this.#rowSinceMs = this.#failures === 0 ? atMs : Math.min(this.#rowSinceMs, atMs);
    this.#failures += 1;
    this.#latest = failure;
    const now = this.#nowMs();
    if (this.#failures < SILENT_AFTER_FAILURES || now - this.#rowSinceMs < SILENT_AFTER_MS) return;
    if (!silent) this.#silences += 1;
    this.#asksAtMs = now + PAUSE_MS;
  }
}

/** A call on its way. */
interface Sent {
  readonly atMs: number;
  /** It is the one that asks a silent store. */
  readonly asks: boolean;
  readonly answersBefore: number;
}

/** Aborted for another reason than that its time was over. */
function abortedByCaller({ signal }: CallOptions = {}): boolean {
  return signal?.aborted === true && (signal.reason as { readonly name?: unknown } | undefined)?.name !== 'TimeoutError';
}
