import { InvalidArgument } from './errors.js';

/** The one source of time: what buckets are judged by, what waiting sleeps by, what caches age by. Network deadlines use real time. */
export interface Clock {
  /** Nanoseconds since the Unix epoch. Never goes backwards. */
  nowNs(): bigint;
  /** Resolves after `ms` milliseconds of this clock; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const NS_PER_MS = 1_000_000n;
const FS_PER_NS = 1_000_000n;
/** setTimeout fires at once above this. */
const LONGEST_TIMER_MS = 2_147_483_647;

export const nowFs = (clock: Clock): bigint => clock.nowNs() * FS_PER_NS;
export const nowMs = (clock: Clock): number => Number(clock.nowNs() / NS_PER_MS);

/** The machine's clock, read each time (an origin plus elapsed time stands still while a Lambda is frozen), held monotonic within the process. */
export class SystemClock implements Clock {
  static #latestMs = 0;

  nowNs(): bigint {
    SystemClock.#latestMs = Math.max(SystemClock.#latestMs, Date.now());
    return BigInt(SystemClock.#latestMs) * NS_PER_MS;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const untilMs = Date.now() + ms;
    for (let leftMs = ms; leftMs > 0; leftMs = untilMs - Date.now())
      await timer(Math.min(Math.ceil(leftMs), LONGEST_TIMER_MS), signal);
    signal?.throwIfAborted();
  }
}

function timer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const aborted = () => {
      clearTimeout(handle);
      reject(signal?.reason);
    };
    const handle = setTimeout(() => {
      signal?.removeEventListener('abort', aborted);
      resolve();
    }, ms);
    signal?.addEventListener('abort', aborted, { once: true });
  });
}

interface Sleeper {
  readonly untilNs: bigint;
  readonly wake: () => void;
}

/** A clock that stands still until told to move: tests of waiting take no time. */
export class FakeClock implements Clock {
  #nowNs: bigint;
  readonly #sleepers: Sleeper[] = [];

  /** @param startMs milliseconds since the Unix epoch */
  constructor(startMs = 1_800_000_000_000) {
    this.#nowNs = nanoseconds(startMs, 'startMs');
  }

  nowNs(): bigint {
    return this.#nowNs;
  }

  /** Moves time forward by `ms` milliseconds (fractions to the nanosecond), waking sleepers in the order of their times. */
  advance(ms: number): void {
    const targetNs = this.#nowNs + nanoseconds(ms, 'ms');
    for (let next = this.#due(targetNs); next !== undefined; next = this.#due(targetNs)) {
      if (next.untilNs > this.#nowNs) this.#nowNs = next.untilNs;
      next.wake();
    }
    this.#nowNs = targetNs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      if (ms <= 0) {
        resolve();
        return;
      }
      const aborted = () => {
        this.#sleepers.splice(this.#sleepers.indexOf(sleeper), 1);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        untilNs: this.#nowNs + nanoseconds(ms, 'ms'),
        wake: () => {
          signal?.removeEventListener('abort', aborted);
          resolve();
        },
      };
      signal?.addEventListener('abort', aborted, { once: true });
      // Behind those of the same time: sleepers wake in the order in which they lay down.
      const index = this.#sleepers.findIndex((other) => other.untilNs > sleeper.untilNs);
      this.#sleepers.splice(index < 0 ? this.#sleepers.length : index, 0, sleeper);
    });
  }

  #due(targetNs: bigint): Sleeper | undefined {
    const first = this.#sleepers[0];
    if (first === undefined || first.untilNs > targetNs) return undefined;
    return this.#sleepers.shift();
  }
}

function nanoseconds(ms: number, field: string): bigint {
  if (typeof ms !== 'number' || !Number.isFinite(ms) || ms < 0) {
    throw new InvalidArgument({ field, value: ms, expected: 'milliseconds, a finite number from 0' });
  }
  const whole = Math.floor(ms);
  return BigInt(whole) * NS_PER_MS + BigInt(Math.round((ms - whole) * 1e6));
}
