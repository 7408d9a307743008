import { type Clock, nowFs } from '../clock.js';
import type { Positions } from '../core/bucket.js';
import { admits, type Demand, judge, longestWaitFs, rescaleWrites } from '../core/decision.js';
import { FS_PER_MS } from '../core/limit.js';
import type { Decision } from './operation.js';

/** How long a denial answers for requests that it denies as well, without a call. */
const REMEMBERED_FS = 250n * FS_PER_MS;
/** How long after a denial a bucket counts as strained. */
const STRAINED_FS = 1_000n * FS_PER_MS;

/**
 * A bucket's last denial. A denial brings exactly where the bucket stands, so a moment later it answers every request that does not fit there;
 * a smaller one that does is not concerned. Exact unless another process gave tokens back since.
 */
export class DenialMemory {
  readonly #clock: Clock;
  #denial: { readonly positions: Positions; readonly untilFs: bigint } | undefined;
  #strainedUntilFs = 0n;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Remembers that these demands, judged at `atFs`, did not fit. */
  add(demands: readonly Demand[], positions: Positions, atFs: bigint): void {
    const waitFs = longestWaitFs(judge(demands, positions, atFs));
    this.#denial = { positions, untilFs: atFs + (waitFs < REMEMBERED_FS ? waitFs : REMEMBERED_FS) };
    this.#strainedUntilFs = atFs + STRAINED_FS;
  }

  /** Tokens were given back here: ask again. */
  forget(): void {
    this.#denial = undefined;
  }

  /** The denial of a request that the last one answers as well. */
  answer(demands: readonly Demand[]): Decision | undefined {
    if (this.#denial === undefined) return undefined;
    const at = nowFs(this.#clock);
    const { positions, untilFs } = this.#denial;
    if (at >= untilFs) {
      this.#denial = undefined;
      return undefined;
    }
    if (rescaleWrites(demands, positions, at) !== undefined || admits(judge(demands, positions, at))) return undefined;
    return { granted: false, nowFs: at, positions };
  }

  /** Whether the bucket denied a moment ago. */
  get strained(): boolean {
    return nowFs(this.#clock) < this.#strainedUntilFs;
  }
}
