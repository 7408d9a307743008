import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { FakeClock } from '../../lib/clock.js';
import { START_MS } from './stores.js';

const NS_PER_MS = 1e6;
/** Real time in which nothing sleeps and nothing ends: then nothing ever will. */
const STUCK_MS = 5_000;

/** A fake clock that knows who sleeps until when, and drives work from one of these instants to the next: a minute takes no time. */
export class VirtualClock extends FakeClock {
  readonly #untilNs = new Set<{ readonly ns: bigint }>();

  constructor(startMs = START_MS) {
    super(startMs);
  }

  /** Milliseconds since the start, fractions included. */
  get elapsedMs(): number {
    return Number(this.nowNs() - BigInt(START_MS) * 1_000_000n) / NS_PER_MS;
  }

  get asleep(): number {
    return this.#untilNs.size;
  }

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const until = { ns: this.nowNs() + BigInt(Math.round(ms * NS_PER_MS)) };
    this.#untilNs.add(until);
    try {
      await super.sleep(ms, signal);
    } finally {
      this.#untilNs.delete(until);
    }
  }

  /** Advances from sleeper to sleeper until the work has ended; what it came to. Time stands still while `busy`. */
  async drive<T>(work: Promise<T>, busy: () => boolean = () => false): Promise<T> {
    let ended = false;
    const end = () => {
      ended = true;
    };
    work.then(end, end);
    let stuckSince = performance.now();
    for (await turn(); !ended; await turn()) {
      if (busy()) await pause(1);
      else if (this.#toNext()) stuckSince = performance.now();
      else if (performance.now() - stuckSince > STUCK_MS) throw new Error('nothing sleeps, and the work has not ended');
    }
    return work;
  }

  #toNext(): boolean {
    let next: bigint | undefined;
    for (const { ns } of this.#untilNs) if (next === undefined || ns < next) next = ns;
    if (next === undefined) return false;
    this.advance(Number(next - this.nowNs()) / NS_PER_MS);
    return true;
  }
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
