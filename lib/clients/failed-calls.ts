import { createHash } from 'node:crypto';
import { BoundedMap } from '../bounded-map.js';
import { type Clock, nowMs } from '../clock.js';

const CALLS_REMEMBERED = 1_000;
/** The official clients wait no longer between two tries. */
const RETRY_WITHIN_MS = 120_000;
/** Which try a call is, as the clients of OpenAI and Anthropic say: `0` for the first. */
const RETRY_COUNT = 'x-stainless-retry-count';

/** Failures of one call that no later try has made up for. */
interface Failures {
  readonly count: number;
  readonly untilMs: number;
}

/**
 * Tells the retries of clients from new calls, so that a request is counted once for all its tries: a retry is the same call to the same address, within
 * two minutes of a failure that clients retry after. Each failure has one retry, however many of the same call are under way.
 */
export class FailedCalls {
  readonly #clock: Clock;
  readonly #failures = new BoundedMap<string, Failures>(CALLS_REMEMBERED);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The failure that a call is another try after, which is its own from now on; undefined: it is a new call. */
  retried(url: URL, body: Uint8Array, headers: Headers): string | undefined {
    if (this.#failures.size === 0 || headers.get(RETRY_COUNT) === '0') return undefined;
    const call = keyOf(url, body);
    const count = this.#countOf(call);
    if (count === 0) return undefined;
    const { untilMs } = this.#failures.get(call) as Failures;
    if (count === 1) this.#failures.delete(call);
    else this.#failures.set(call, { count: count - 1, untilMs });
    return call;
  }

  /** A call failed with this status, or with no answer at all: whether it did so in a way that clients retry after, and it is remembered. */
  failed(url: URL, body: Uint8Array, status?: number): void {
    if (status === undefined || isRetried(status)) this.back(keyOf(url, body));
  }

  /** A retry was not sent: it is still to come. */
  back(call: string): void {
    this.#failures.set(call, { count: this.#countOf(call) + 1, untilMs: nowMs(this.#clock) + RETRY_WITHIN_MS });
  }

  #countOf(call: string): number {
    const { count, untilMs } = this.#failures.get(call) ?? { count: 0, untilMs: 0 };
    return untilMs > nowMs(this.#clock) ? count : 0;
  }
}

/** Answers after which official clients make the same call again. */
const isRetried = (status: number): boolean => status === 408 || status === 409 || status === 429 || status >= 500;

const keyOf = (url: URL, body: Uint8Array): string => createHash('sha256').update(`${url.href}\n`).update(body).digest('base64');
