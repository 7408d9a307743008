import { answerOffset, type ClockOffset, correctionMs, withAnswer } from './core/clock-offset.js';
import { InvalidArgument } from './errors.js';
import { machineMs } from './machine-time.js';

/** The one source of time: what buckets are judged by, what waiting sleeps by, what caches age by. Network deadlines use real time. */
export interface Clock {
  /** Nanoseconds since the Unix epoch. Goes backwards only by what `correctedByNs` goes down. */
  nowNs(): bigint;
  /**
   * By how much this clock has set itself so far because it was found wrong, in nanoseconds; negative: back. An instant that was read when it was
   * another was wrong by the difference. @default 0n: the clock is authoritative
   */
  correctedByNs?(): bigint;
  /** Resolves after `ms` milliseconds of this clock; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const NS_PER_MS = 1_000_000n;
const FS_PER_NS = 1_000_000n;
/** setTimeout fires at once above this. */
const LONGEST_TIMER_MS = 2_147_483_647;

export const nowFs = (clock: Clock): bigint => clock.nowNs() * FS_PER_NS;
export const nowMs = (clock: Clock): number => Number(clock.nowNs() / NS_PER_MS);
export const correctedByFs = (clock: Clock): bigint => (clock.correctedByNs?.() ?? 0n) * FS_PER_NS;
export const correctedByMs = (clock: Clock): number => Number((clock.correctedByNs?.() ?? 0n) / NS_PER_MS);
/** What ages and elapsed times are told by, in milliseconds: the clock without its corrections. Never goes backwards. */
export const steadyMs = (clock: Clock): number => nowMs(clock) - correctedByMs(clock);

/**
 * The machine's clock (see machineMs), which never goes backwards. Told of answers of a server (`observe`), it learns its offset to the server's time,
 * and sets itself by as little as explains them all: back, where it was ahead.
 *
 *     machine  -------- 60 s ahead --------------------------------------->
 *     nowNs    -------- 60 s ahead | an answer: set back, right from here on
 */
export class SystemClock implements Clock {
  #offset: ClockOffset | undefined;
  #correctionMs = 0;

  nowNs(): bigint {
    return BigInt(machineMs() + this.#correctionMs) * NS_PER_MS;
  }

  correctedByNs(): bigint {
    return BigInt(this.#correctionMs) * NS_PER_MS;
  }

  /** The machine's clock, uncorrected, in milliseconds since the Unix epoch: what `observe` is told in. */
  machineMs(): number {
    return machineMs();
  }

  /**
   * Learns from one answer: sent and received at these readings of `machineMs`, with this time of the server in it, whole seconds since the epoch.
   * An answer that tells nothing changes nothing.
   */
  observe(sentMs: number, receivedMs: number, serverSeconds: number): void {
    const answer = answerOffset(sentMs, receivedMs, serverSeconds);
    if (answer === undefined) return;
    this.#offset = withAnswer(this.#offset, answer);
    this.#correctionMs = correctionMs(this.#offset);
  }

  /** Throws `InvalidArgument` for a time that is no finite number. */
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    checkSleep(ms);
    const untilMs = machineMs() + ms;
    for (let leftMs = ms; leftMs > 0; leftMs = untilMs - machineMs())
      await timer(Math.min(Math.ceil(leftMs), LONGEST_TIMER_MS), signal);
    signal?.throwIfAborted();
  }
}

function checkSleep(ms: number): void {
  if (typeof ms !== 'number' || !Number.isFinite(ms)) {
    throw new InvalidArgument({ field: 'ms', value: ms, expected: 'milliseconds, a finite number' });
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
