/** Waits for scheduled limits: they walk the boundaries at which other forms of the limits come into force. */
import { fullAtUnder } from './bucket.js';
import { formAt } from './forms.js';
import { type Limit, rateOf } from './limit.js';
import { SCHEDULE_HORIZON_MS } from './schedule.js';
import { limitWaitFs, type Stored } from './standing.js';
import { FS_PER_MS } from './time.js';

/** What is asked of a limit. `share`: of its capacity, how much may be in use then. */
export interface Ask {
  readonly limit: Limit;
  readonly cost: number;
  readonly share: number;
}

/** How much of a capacity may be in use. */
export const shareOf = (capacity: number, share: number): number => (share === 1 ? capacity : Math.floor(capacity * share));

/** Of a schedule that changes every minute: how many of its boundaries a wait is looked for beyond. */
const MOST_BOUNDARIES = 1_000;
const HORIZON_FS = BigInt(SCHEDULE_HORIZON_MS) * FS_PER_MS;

/**
 * How long until `cost` fits, whichever forms of the limit come into force until then; 0n: it does now. At a boundary a bucket keeps the share in use.
 * A form that was in force for a while in which nobody wrote the bucket leaves no trace in it, so what is stated is the later of two waits: when
 * nobody writes before the caller is back, and when somebody does under every form. Beyond eight days it states those eight days.
 */
export function scheduledWaitFs(ask: Ask, stored: Stored, nowFs: bigint): bigint {
  const { cost, share } = ask;
  let { limit } = ask;
  let fromFs = nowFs;
  let untouched = stored;
  let touched = stored;
  for (let boundary = 0; boundary < MOST_BOUNDARIES && fromFs - nowFs < HORIZON_FS; boundary += 1) {
    const within = shareOf(limit.capacity, share);
    const untilFs = endOf(limit, fromFs);
    if (cost <= within || limit.mode === 'observe') {
      const waitFs = later(
        limitWaitFs(limit, untouched, fromFs, cost, within),
        limitWaitFs(limit, touched, fromFs, cost, within),
      );
      if (untilFs === undefined || fromFs + waitFs < untilFs) return fromFs + waitFs - nowFs;
    }
    if (untilFs === undefined) return HORIZON_FS;
    if (boundary === 0) untouched = writtenUnder(limit, stored, nowFs);
    touched = writtenUnder(limit, touched, fromFs);
    fromFs = untilFs;
    limit = formAt(limit, Number(fromFs / FS_PER_MS))?.limit ?? limit;
  }
  return fromFs - nowFs;
}

/** Whether a form of the limit admits so much at once within the next eight days. */
export function everHolds({ limit, cost, share }: Ask, nowMs: number): boolean {
  let atMs = nowMs;
  for (let boundary = 0; boundary < MOST_BOUNDARIES && atMs - nowMs < SCHEDULE_HORIZON_MS; boundary += 1) {
    const form = formAt(limit, atMs);
    if (cost <= shareOf((form?.limit ?? limit).capacity, share)) return true;
    if (form === undefined) return false;
    atMs = form.untilMs;
  }
  return false;
}

/** The first boundary of any of these limits, in femtoseconds; undefined: none has a schedule. */
export function nextBoundaryFs(limits: readonly Limit[], nowFs: bigint): bigint | undefined {
  let nextFs: bigint | undefined;
  for (const limit of limits) {
    const endFs = endOf(limit, nowFs);
    if (endFs !== undefined && (nextFs === undefined || endFs < nextFs)) nextFs = endFs;
  }
  return nextFs;
}

function endOf(limit: Limit, atFs: bigint): bigint | undefined {
  const form = formAt(limit, Number(atFs / FS_PER_MS));
  return form && BigInt(form.untilMs) * FS_PER_MS;
}

/** What is stored once somebody has written a bucket under this form of its limit. */
function writtenUnder(limit: Limit, stored: Stored, atFs: bigint): Stored {
  const position = stored.positions.get(limit.name);
  if (limit.kind !== 'bucket' || position === undefined) return stored;
  const written = { fullAtFs: fullAtUnder(limit, position, atFs) ?? atFs, windowFs: rateOf(limit).windowFs };
  return { ...stored, positions: new Map(stored.positions).set(limit.name, written) };
}

const later = (a: bigint, b: bigint): bigint => (a > b ? a : b);
