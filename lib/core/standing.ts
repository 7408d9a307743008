/** Where a bucket's limits stand, whatever their kind: what is stored of each, and what that means at an instant. */
import { fullAtUnder, level, type Position, waitFs } from './bucket.js';
import { type Limit, rateOf } from './limit.js';
import { type WindowUse, windowLevel, windowSpanFs, windowWaitFs } from './quota.js';
import { inFlight, type Slots, slotsFreeFs, slotWaitFs } from './slots.js';
import { FS_PER_MS } from './time.js';

/** What is stored of a bucket's limits. A limit of which nothing is stored is full. */
export interface Stored {
  /** Token buckets, by limit name. */
  readonly positions: ReadonlyMap<string, Position>;
  /** Quotas and sessions, by limit name. */
  readonly uses: ReadonlyMap<string, WindowUse>;
  /** Concurrency limits, by limit name. */
  readonly slots: ReadonlyMap<string, Slots>;
}

export const NOTHING_STORED: Stored = { positions: new Map(), uses: new Map(), slots: new Map() };

/** Where one limit stands at an instant. */
export interface Standing {
  /** Whole tokens there, rounded down; negative: debt. */
  readonly available: number;
  /** When all of it is there again; not after now: it is. */
  readonly fullAtFs: bigint;
}

export function standingOf(limit: Limit, stored: Stored, nowFs: bigint): Standing {
  if (limit.kind === 'bucket') {
    const fullAtFs = fullAtUnder(limit, stored.positions.get(limit.name), nowFs) ?? nowFs;
    return { available: level(limit, fullAtFs, nowFs), fullAtFs };
  }
  if (limit.kind === 'concurrent') {
    const slots = stored.slots.get(limit.name);
    return { available: limit.capacity - inFlight(slots, nowFs), fullAtFs: nowFs + slotsFreeFs(slots, nowFs) };
  }
  const use = stored.uses.get(limit.name);
  return { available: windowLevel(limit, use, nowFs), fullAtFs: nowFs + windowWaitFs(limit, use, nowFs, limit.capacity) };
}

/** How long until `cost` fits; 0n when it does now. An observed limit never makes anybody wait. */
export function limitWaitFs(limit: Limit, stored: Stored, nowFs: bigint, cost: number, within: number | undefined): bigint {
  if (limit.mode === 'observe') return 0n;
  if (limit.kind === 'concurrent') return slotWaitFs(limit, stored.slots.get(limit.name), nowFs, cost, within);
  if (limit.kind !== 'bucket') return windowWaitFs(limit, stored.uses.get(limit.name), nowFs, cost, within);
  return waitFs(limit, fullAtUnder(limit, stored.positions.get(limit.name), nowFs) ?? nowFs, nowFs, cost, within);
}

/** How long it takes until all of a limit is there again: from empty, from the start of its window, or when nothing is given back. */
export function spanFs(limit: Limit, nowFs: bigint): bigint {
  if (limit.kind === 'concurrent') return BigInt(limit.leaseMs) * FS_PER_MS;
  return limit.kind === 'bucket' ? rateOf(limit).windowFs : windowSpanFs(limit, nowFs);
}

/** Whether two limits mean the same to what is stored of them. */
export function sameRule(a: Limit, b: Limit): boolean {
  if (a === b) return true;
  if (a.name !== b.name || a.kind !== b.kind || a.mode !== b.mode || a.capacity !== b.capacity) return false;
  if (a.kind === 'bucket') return b.kind === 'bucket' && rateOf(a).tokenFs === rateOf(b).tokenFs;
  if (a.kind === 'quota') return b.kind === 'quota' && a.per === b.per && a.timeZone === b.timeZone;
  if (a.kind === 'session') return b.kind === 'session' && a.everyMs === b.everyMs;
  return b.kind === 'concurrent' && a.leaseMs === b.leaseMs;
}
