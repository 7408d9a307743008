import { type Clock, correctedByFs, nowFs } from '../clock.js';
import { admits, type Demand, judge, longestWaitFs, rescaleWrites } from '../core/decision.js';
import type { Stored } from '../core/standing.js';
import { FS_PER_MS } from '../core/time.js';
import type { Decision } from './operation.js';

/** How long a denial answers for requests that it denies as well, without a call. */
const REMEMBERED_FS = 250n * FS_PER_MS;
/** How long after a denial a bucket counts as strained. */
const STRAINED_FS = 1_000n * FS_PER_MS;

/**
 * A bucket's last denial. A denial brings exactly where the bucket stands, so a moment later it answers every request that does not fit there;
 * a smaller one that does is not concerned. Exact unless another process has written since.
 */
export class DenialMemory {
  readonly #clock: Clock;
  /** Until when they count is told by a time that is never corrected. */
  #denial: { readonly stored: Stored; readonly untilFs: bigint } | undefined;
  #strainedUntilFs = 0n;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Remembers that these demands, judged at `atFs`, did not fit. */
  add(demands: readonly Demand[], stored: Stored, atFs: bigint): void {
    const waitFs = longestWaitFs(judge(demands, stored, atFs));
    const steadyFs = atFs - correctedByFs(this.#clock);
    this.#denial = { stored, untilFs: steadyFs + (waitFs < REMEMBERED_FS ? waitFs : REMEMBERED_FS) };
    this.#strainedUntilFs = steadyFs + STRAINED_FS;
  }

  /** The bucket as a later write of this process left or met it: the waits stated from now on are those of then. */
  learn(stored: Stored): void {
    if (this.#denial !== undefined) this.#denial = { ...this.#denial, stored };
  }

  /** Tokens were given back here: ask again. */
  forget(): void {
    this.#denial = undefined;
  }

  /** The denial of a request that the last one answers as well. */
  answer(demands: readonly Demand[]): Decision | undefined {
    if (this.#denial === undefined) return undefined;
    const at = nowFs(this.#clock);
    const { stored, untilFs } = this.#denial;
    if (at - correctedByFs(this.#clock) >= untilFs) {
      this.#denial = undefined;
      return undefined;
    }
    if (rescaleWrites(demands, stored, at) !== undefined || admits(judge(demands, stored, at))) return undefined;
    return { granted: false, nowFs: at, stored };
  }

  /** Whether the bucket denied a moment ago. */
  get strained(): boolean {
    return nowFs(this.#clock) - correctedByFs(this.#clock) < this.#strainedUntilFs;
  }
}
