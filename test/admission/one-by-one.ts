/** The generic cell rate algorithm, in its plainest form: one operation after the other, in milliseconds. One token comes back each second. */

const TOKEN_MS = 1_000;
const CAPACITY = 3;

/** What an operation asks for. Tokens; a settlement has a difference instead of a cost. */
interface Asked {
  readonly cost: number;
  /** How much may be in use with it. */
  readonly within: number;
  readonly maxWaitMs: number;
  readonly difference?: number;
}

const ASKED = {
  acquire: { cost: 2, within: CAPACITY, maxWaitMs: 0 },
  zeroCost: { cost: 0, within: CAPACITY, maxWaitMs: 0 },
  lowPriority: { cost: 1, within: 2, maxWaitMs: 0 },
  waiting: { cost: 2, within: CAPACITY, maxWaitMs: 2_000 },
  charge: { cost: 0, within: 0, maxWaitMs: 0, difference: 3 },
  refund: { cost: 0, within: 0, maxWaitMs: 0, difference: -2 },
} as const satisfies Record<string, Asked>;

export type Kind = keyof typeof ASKED;
export const OPERATIONS: Readonly<Record<Kind, Asked>> = ASKED;
export const KINDS = Object.keys(ASKED) as readonly Kind[];

/** Whether an operation settles a lease. */
export const settles = (kind: Kind): boolean => OPERATIONS[kind].difference !== undefined;

/** A bucket: when it is full again (undefined: it is), and the tokens used of it. */
export interface OneByOne {
  fullAtMs: number | undefined;
  used: number;
}

/** When an acquire may start on a bucket: now, or as soon as it fits; undefined where that is later than it may wait. */
export function startOf(kind: Kind, fullAtMs: number | undefined, nowMs: number): number | undefined {
  const { cost, within, maxWaitMs } = OPERATIONS[kind];
  const fitsMs = (fullAtMs ?? Number.NEGATIVE_INFINITY) + (cost - within) * TOKEN_MS;
  const startMs = Math.max(nowMs, fitsMs);
  return startMs > nowMs + maxWaitMs ? undefined : startMs;
}

/** Performs one operation, as of `startMs` for an acquire. False, and nothing changes, where an acquire does not fit then. */
export function isAdmitted(bucket: OneByOne, kind: Kind, startMs: number, nowMs: number): boolean {
  const { cost, within, maxWaitMs, difference } = OPERATIONS[kind];
  if (difference !== undefined) {
    if (bucket.fullAtMs !== undefined) bucket.fullAtMs += difference * TOKEN_MS;
    bucket.used += difference;
    return true;
  }
  const fullAtMs = Math.max(bucket.fullAtMs ?? startMs, startMs) + cost * TOKEN_MS;
  if (startMs < nowMs || startMs > nowMs + maxWaitMs || fullAtMs > startMs + within * TOKEN_MS) return false;
  bucket.fullAtMs = fullAtMs;
  bucket.used += cost;
  return true;
}
