/**
 * What a write did to a bucket because its clock was wrong, and the write that takes it back. Only token buckets whose branch starts from `now` are
 * concerned: idle ones, and a changed limit taking over. A busy branch adds to the stored z, whatever the time.
 *
 *     ahead by e      true now            now
 *     ------- z --------- | --------------- | ------- B ---> time        z' = B,  should be max(z + A, B - e)
 *                         | <----- e -----> |
 *
 * Ahead, everybody else waits for z' to come near. Behind, what was charged lies in the past, and is charged to nobody.
 */
import type { Branch, Idle, LimitWrite, Replace } from './branch.js';
import type { Position } from './bucket.js';
import type { Stored } from './standing.js';

/** Less is what clocks differ by anyway (see the guarantee's d), and not worth a write. */
const LEAST_ERROR_FS = 50n * 10n ** 12n;

/**
 * The write that sets right what an applied write left, which was judged at `nowFs` by a clock that was ahead by `errorFs` (negative: behind) and
 * met the bucket at `met`: then z stands where a right clock would have left it, had it admitted as much. Empty when nothing was wrong, or less
 * than 50 ms.
 *
 * Set back, z keeps what others have added or given back since. Set forward, the write fails unless z is still what was left: where it is not,
 * someone has met a full bucket, and what is lost is this write's own charge. Either fails where the limit was changed since.
 */
export function takenBack(limits: readonly LimitWrite[], nowFs: bigint, errorFs: bigint, met: Stored): readonly LimitWrite[] {
  if (errorFs < LEAST_ERROR_FS && -errorFs < LEAST_ERROR_FS) return [];
  return limits.flatMap(({ name, windowFs, branch }) => {
    if (branch.kind !== 'idle' && branch.kind !== 'replace') return [];
    const rightFs =
      branch.kind === 'idle'
        ? rebased(branch, errorFs, met.positions.get(name))
        : replaced(branch, windowFs, { nowFs, rightNowFs: nowFs - errorFs });
    const correction = moving(branch.fullAtFs, rightFs, windowFs);
    return correction === undefined ? [] : [{ name, windowFs, branch: correction, consumed: 0n }];
  });
}

/** What an idle branch would have left by a right clock. What it adds to a z at its bound it adds to any. */
function rebased({ fullAtFs, belowFs }: Idle, errorFs: bigint, met: Position | undefined): bigint {
  const floorFs = fullAtFs - errorFs;
  if (met === undefined) return floorFs;
  const addedFs = met.fullAtFs + fullAtFs - belowFs;
  return addedFs > floorFs ? addedFs : floorFs;
}

/** When a write was made: by the clock that was wrong, and really. */
interface Instant {
  readonly nowFs: bigint;
  readonly rightNowFs: bigint;
}

/** What a changed limit's take-over would have left by a right clock: as many tokens, on top of the position it saw as it was rescaled then. */
function replaced({ fullAtFs, seen }: Replace, windowFs: bigint, { nowFs, rightNowFs }: Instant): bigint {
  return fullAtFs - rescaled(seen, windowFs, nowFs) + rescaled(seen, windowFs, rightNowFs);
}

/** See `fullAtUnder`: the instant from which a write counts, now where the bucket is full. */
function rescaled(seen: Position, windowFs: bigint, nowFs: bigint): bigint {
  if (seen.fullAtFs <= nowFs) return nowFs;
  return nowFs + ((seen.fullAtFs - nowFs) * windowFs + seen.windowFs - 1n) / seen.windowFs;
}

function moving(leftFs: bigint, rightFs: bigint, windowFs: bigint): Branch | undefined {
  if (rightFs < leftFs) return { kind: 'shift', addFs: rightFs - leftFs, ifAbsentFs: leftFs };
  if (rightFs > leftFs) return { kind: 'replace', fullAtFs: rightFs, seen: { fullAtFs: leftFs, windowFs } };
  return undefined;
}
