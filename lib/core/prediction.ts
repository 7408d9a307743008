/**
 * Guessing a limit's branch where several processes write to one bucket.
 *
 * A lone writer knows z, and `predict` is always right. Others move z unseen. On a bucket that is mostly full, each then takes it for idle,
 * one of them is right, and the rest lose a write. Two remedies, both from what a process remembers of its own guesses:
 *
 * - it mistrusts idle guesses as long as they lose, and guesses busy instead;
 * - when it does take the idle branch, it moves z a little further than it must, a head start, so that everybody's busy guesses hold for a while.
 *
 *               B - A     B - A + head start        U
 *     ------------ | ------------- | -------------- | ------> stored z
 *       idle, with a head start:   |                |
 *            z' = B + head start   |                |
 *                  |      busy: z' = z + A          | refused
 *
 * Where both hold, idle counts z as if it stood at B - A + head start. So z is at no time further than a head start beyond where it would stand
 * without any: at most 1 % of the capacity is given away at a time, and nothing is ever admitted that would not have been.
 */
import { type Branch, type Idle, type LimitWrite, predict } from './branch.js';
import type { Position } from './bucket.js';
import { rateOf, type TokenBucketLimit } from './limit.js';
import type { Stored } from './standing.js';
import type { Step } from './step.js';

/** What a process remembers of its guesses at one bucket. A value: each answer makes the next one. */
export interface Guesses {
  /** By limit name; none for a limit on which nothing was lost lately. */
  readonly limits: ReadonlyMap<string, Mistrust>;
  /** The last write failed. Its answer is the truth of this moment, and no memory is better. */
  readonly corrected: boolean;
}

/** What is remembered of one limit. */
interface Mistrust {
  /** How often idle guesses lose, 0 to `MOST_DOUBT`. */
  readonly doubt: number;
  /** Idle guesses that will be made busy ones before the next idle one is tried. */
  readonly busyGuesses: number;
  /** Writes for which a head start is still taken, if none of them shows that others are at it. */
  readonly headStarts: number;
}

/** What became of a write. */
export interface Outcome {
  readonly applied: boolean;
  /** The bucket after it, or, when a condition failed, the bucket that it met. */
  readonly state: Stored;
}

export const NO_GUESSES: Guesses = { limits: new Map(), corrected: false };

const TRUST: Mistrust = { doubt: 0, busyGuesses: 0, headStarts: 0 };

/** A lost idle guess weighs as much as so many won ones: losing one in five is about what busy guesses would lose. */
const DOUBT_OF_LOSS = 5;
const MOST_DOUBT = 12;
/** Doubt of which one busy guess comes; each further one doubles them. One loss alone is below it. */
const DOUBT_OF_BUSY = 6;
const HEAD_STARTS = 32;
const HEAD_STARTS_IN_CAPACITY = 100;

/**
 * The branch to send for a step that acquires: what `predict` says, unless idle guesses have been losing at this limit. It stays as it is where
 * nothing is known of the limit or stored of it (so a bucket's first write takes no head start), where its window was changed, and, but for the
 * head start, right after a failed write: so at most limits + 2 writes decide.
 */
export function guessed(
  step: Step,
  limit: TokenBucketLimit,
  seen: Position | undefined,
  nowFs: bigint,
  { limits, corrected }: Guesses,
): Branch {
  const branch = predict(step, limit, seen, nowFs);
  const mistrust = limits.get(limit.name);
  const { addFs, floorFs, ceilingFs } = step;
  if (mistrust === undefined || seen === undefined || branch.kind !== 'idle') return branch;
  if (floorFs === undefined || ceilingFs === undefined || seen.windowFs !== rateOf(limit).windowFs) return branch;
  const minFs = floorFs - addFs;
  if (minFs > ceilingFs) return branch; // There is no busy branch.
  if (mistrust.busyGuesses > 0 && !corrected) return { kind: 'busy', addFs, minFs, maxFs: ceilingFs };
  if (mistrust.headStarts === 0) return branch;
  const roomFs = lesser(ceilingFs - minFs, nowFs + rateOf(limit).windowFs - floorFs);
  return ahead(branch, headStartFs(limit, roomFs));
}

/** The idle branch that starts so much later. It holds for every z that it does not move back. */
function ahead({ kind, fullAtFs, belowFs }: Idle, byFs: bigint): Idle {
  return { kind, fullAtFs: fullAtFs + byFs, belowFs: belowFs + byFs };
}

const lesser = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** At most 1 % of the capacity, and no more than there is room for; in whole tokens, so 0n below a capacity of 100. */
function headStartFs(limit: TokenBucketLimit, roomFs: bigint): bigint {
  const { tokenFs } = rateOf(limit);
  const tokens = lesser(BigInt(Math.floor(limit.capacity / HEAD_STARTS_IN_CAPACITY)), roomFs / tokenFs);
  return tokens > 0n ? tokens * tokenFs : 0n;
}

/**
 * The memory after an answer to any write of this bucket; `last`: where it stood at the answer before, undefined when this is the first. It has no
 * clock: a lone writer never loses a guess and so remembers nothing; once others have gone, the first write that finds the bucket where this
 * process left it says so, and at most one busy guess is lost to old memory.
 */
export function learned(
  guesses: Guesses,
  sent: readonly LimitWrite[],
  last: Stored | undefined,
  { applied, state }: Outcome,
): Guesses {
  let limits = guesses.limits;
  for (const write of sent) {
    const { name } = write;
    const before = limits.get(name);
    const mistrust = lesson(before ?? TRUST, write, last?.positions.get(name), { applied, position: state.positions.get(name) });
    const remembered = mistrust.doubt > 0 || mistrust.headStarts > 0 ? mistrust : undefined;
    if (remembered === before) continue;
    const changed = new Map(limits);
    if (remembered === undefined) changed.delete(name);
    else changed.set(name, remembered);
    limits = changed;
  }
  return limits === guesses.limits && guesses.corrected === !applied ? guesses : { limits, corrected: !applied };
}

/** What became of one limit's part of a write. */
interface Answer {
  readonly applied: boolean;
  readonly position: Position | undefined;
}

function lesson(mistrust: Mistrust, { branch, windowFs }: LimitWrite, last: Position | undefined, answer: Answer): Mistrust {
  const { applied, position } = answer;
  if (position?.windowFs !== windowFs) return mistrust;
  if (branch.kind === 'idle') {
    if (applied || position.fullAtFs < branch.belowFs) return idleWon(mistrust);
    return idleLost(mistrust, last !== undefined);
  }
  if (branch.kind !== 'busy') return mistrust;
  const metFs = applied ? position.fullAtFs - branch.addFs : position.fullAtFs;
  const alone = metFs === last?.fullAtFs;
  if (metFs < branch.minFs) return alone ? TRUST : busyLost(mistrust);
  if (mistrust.busyGuesses > 0 && last !== undefined && last.fullAtFs < branch.minFs) return busyWon(mistrust);
  return alone ? { ...mistrust, headStarts: less(mistrust.headStarts) } : mistrust;
}

const less = (count: number): number => (count > 0 ? count - 1 : 0);

function idleWon({ doubt, busyGuesses, headStarts }: Mistrust): Mistrust {
  return { doubt: less(doubt), busyGuesses, headStarts: less(headStarts) };
}

/** One that was lost with nothing known only says that the bucket is in use, perhaps by an earlier process in this one's place: nothing follows yet. */
function idleLost(mistrust: Mistrust, known: boolean): Mistrust {
  const doubt = Math.min(MOST_DOUBT, mistrust.doubt + DOUBT_OF_LOSS);
  return known
    ? { doubt, busyGuesses: Math.floor(2 ** (doubt - DOUBT_OF_BUSY)), headStarts: HEAD_STARTS }
    : { ...mistrust, doubt };
}

function busyWon({ doubt, busyGuesses }: Mistrust): Mistrust {
  return { doubt, busyGuesses: less(busyGuesses), headStarts: HEAD_STARTS };
}

function busyLost({ doubt, headStarts }: Mistrust): Mistrust {
  return { doubt: less(doubt), busyGuesses: 0, headStarts };
}
