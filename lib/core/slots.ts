/**
 * Concurrency: so many leases at a time. Each holds a slot until it gives it back or, where its process died, until the slot expires:
 *
 *     lease a   |========|                    given back
 *     lease b       |=============|           expired: its process was killed
 *     ---------------------------------> time
 *
 * The state is the slots that were taken, by the lease's key, each with its expiry. Instants are femtoseconds, expiries whole milliseconds.
 */
import { FS_PER_MS } from './time.js';

/** At most `capacity` leases at a time. */
export interface Concurrency {
  readonly kind: 'concurrent';
  /** 1 to 1,000. */
  readonly capacity: number;
  /** A slot that is not given back is free again after so long. */
  readonly leaseMs: number;
}

/** Slots taken and not given back, by the key of their lease: when each expires. Expired ones stay until a writer removes them. */
export type Slots = ReadonlyMap<string, bigint>;

/** Slots that are in use now: of those taken, the ones that have not expired. */
export function inFlight(slots: Slots | undefined, nowFs: bigint): number {
  let count = 0;
  for (const expiresFs of slots?.values() ?? []) if (expiresFs > nowFs) count += 1;
  return count;
}

/**
 * How long until a slot is free at the latest, with `within` of them for this request; 0n when one is now. Leases mostly end before they expire,
 * so this is the longest that it can take.
 */
export function slotWaitFs(
  limit: Concurrency,
  slots: Slots | undefined,
  nowFs: bigint,
  cost: number,
  within = limit.capacity,
): bigint {
  if (cost === 0) return 0n;
  const expiries = [...(slots?.values() ?? [])].filter((expiresFs) => expiresFs > nowFs).sort((a, b) => (a < b ? -1 : 1));
  const freed = expiries[expiries.length - within];
  return freed === undefined ? 0n : freed - nowFs;
}

/** How long until every slot is free at the latest; 0n when all are. */
export function slotsFreeFs(slots: Slots | undefined, nowFs: bigint): bigint {
  let latestFs = nowFs;
  for (const expiresFs of slots?.values() ?? []) if (expiresFs > latestFs) latestFs = expiresFs;
  return latestFs - nowFs;
}

/** Several takings and returns of slots as one, as in core/step.ts. */
export interface SlotStep {
  readonly taken: Slots;
  /** Keys of slots that are given back. */
  readonly freed: ReadonlySet<string>;
  /** The most slots in use before it, at which every taking in it finds one free. Undefined: it takes none. */
  readonly ceiling: number | undefined;
  /** Slots in use after it, less those before. */
  readonly net: number;
}

export const NOTHING_HELD: SlotStep = { taken: new Map(), freed: new Set(), ceiling: undefined, net: 0 };

/** What one write may change: DynamoDB's expressions are bounded (4 KB, 300 operators). */
export const MOST_SLOT_CHANGES = 50;
export const isFull = ({ taken, freed }: SlotStep): boolean => taken.size + freed.size >= MOST_SLOT_CHANGES;

/**
 * The step followed by a lease that takes a slot until `leaseMs` after `startFs`, where fewer than `within` are in use. `seen`: the slots as seen
 * last; the lease's own among them was taken by an attempt whose answer was lost. Undefined when the step could not admit it. Not for a full step.
 */
export function thenTake(
  step: SlotStep,
  limit: Concurrency,
  key: string,
  startFs: bigint,
  seen: Slots | undefined,
  within = limit.capacity,
): SlotStep | undefined {
  const expiresFs = wholeMs(startFs + BigInt(limit.leaseMs) * FS_PER_MS);
  const taken = new Map(step.taken).set(key, expiresFs);
  if ((seen?.get(key) ?? 0n) > startFs) return { ...step, taken, ceiling: step.ceiling ?? Number.MAX_SAFE_INTEGER };
  const ceiling = within - 1 - step.net;
  // What is given back before it makes room, but never more than there is.
  if (within < 1 || ceiling < 0) return undefined;
  return { ...step, taken, ceiling: Math.min(step.ceiling ?? ceiling, ceiling), net: step.net + 1 };
}

/** The step followed by a lease that gives its slot back. A slot that is not there any more makes no room. Undefined when the step is full. */
export function thenFree(step: SlotStep, key: string, seen: Slots | undefined, nowFs: bigint): SlotStep | undefined {
  if (step.freed.has(key)) return step;
  if (isFull(step)) return undefined;
  const inUse = (seen?.get(key) ?? 0n) > nowFs;
  return { ...step, freed: new Set(step.freed).add(key), net: step.net - (inUse ? 1 : 0) };
}

/** Whether a taking in the step finds no slot where these are taken. */
export function refusesSlots({ ceiling }: SlotStep, slots: Slots | undefined, nowFs: bigint): boolean {
  return ceiling !== undefined && inFlight(slots, nowFs) > ceiling;
}

/** The slots are these, if none were ever taken. */
export interface FirstSlots {
  readonly kind: 'firstSlots';
  readonly taken: Slots;
}

/** Takes and removes slots, if all of `present` are there, and at most `most` in all. */
export interface HoldSlots {
  readonly kind: 'holdSlots';
  readonly taken: Slots;
  readonly removed: readonly string[];
  /** Those of the removed that make room for the taken. */
  readonly present: readonly string[];
  readonly most: number;
}

/** Removes slots, whatever else is there; if any were ever taken. */
export interface FreeSlots {
  readonly kind: 'freeSlots';
  readonly removed: readonly string[];
}

/** The slots are these, if they are still exactly `seen`: for so many expired ones that one write cannot name them. */
export interface RewriteSlots {
  readonly kind: 'rewriteSlots';
  readonly slots: Slots;
  readonly seen: Slots;
}

export type SlotBranch = FirstSlots | HoldSlots | FreeSlots | RewriteSlots;

/**
 * The branch that the slots seen last predict. `seen` undefined: nothing is known, or no slot was ever taken. Expired slots are removed with it.
 * When what was seen is what is stored it fails only where `refusesSlots`, or where it only gives back and no slots are stored.
 */
export function predictSlots(step: SlotStep, seen: Slots | undefined, nowFs: bigint): SlotBranch {
  const { taken, freed, ceiling } = step;
  if (ceiling === undefined) return { kind: 'freeSlots', removed: [...freed] };
  if (seen === undefined) return { kind: 'firstSlots', taken };
  const expired = [...seen].flatMap(([key, expiresFs]) =>
    expiresFs <= nowFs && !freed.has(key) && !taken.has(key) ? [key] : [],
  );
  const returned = [...freed].filter((key) => (seen.get(key) ?? 0n) > nowFs);
  // Removing an expired one that another has removed already is no harm, unless its room is counted on.
  const crowded = seen.size > ceiling;
  if (crowded && expired.length > MOST_SLOT_CHANGES) return { kind: 'rewriteSlots', seen, slots: heldAfter(step, seen, nowFs) };
  const removed = [...freed, ...expired.slice(0, MOST_SLOT_CHANGES)];
  const gone = crowded ? [...freed, ...expired].filter((key) => seen.has(key) && (seen.get(key) ?? 0n) <= nowFs) : [];
  return { kind: 'holdSlots', taken, removed, present: [...returned, ...gone], most: ceiling + gone.length };
}

/** Where the step takes slots that it does not refuse, without the expired ones. */
export function heldAfter({ taken, freed }: SlotStep, slots: Slots | undefined, nowFs: bigint): Slots {
  const held = [...(slots ?? [])].filter(([key, expiresFs]) => expiresFs > nowFs && !freed.has(key));
  return new Map([...held, ...taken]);
}

/** What a branch leaves, or undefined where its condition fails. What a store without conditional writes evaluates. */
export function evaluatedSlots(branch: SlotBranch, stored: Slots | undefined): Slots | undefined {
  if (branch.kind === 'firstSlots') return stored === undefined ? branch.taken : undefined;
  if (stored === undefined) return undefined;
  if (branch.kind === 'rewriteSlots') return sameSlots(branch.seen, stored) ? branch.slots : undefined;
  if (branch.kind === 'holdSlots' && (stored.size > branch.most || branch.present.some((key) => !stored.has(key))))
    return undefined;
  const slots = new Map(stored);
  for (const key of branch.removed) slots.delete(key);
  if (branch.kind === 'holdSlots') for (const [key, expiresFs] of branch.taken) slots.set(key, expiresFs);
  return slots;
}

function sameSlots(a: Slots, b: Slots): boolean {
  return a.size === b.size && [...a].every(([key, expiresFs]) => b.get(key) === expiresFs);
}

const wholeMs = (fs: bigint): bigint => ((fs + FS_PER_MS - 1n) / FS_PER_MS) * FS_PER_MS;
