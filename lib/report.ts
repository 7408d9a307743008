import { fillFs } from './core/bucket.js';
import type { Counts } from './core/counts.js';
import { type Demand, judge, type Verdict } from './core/decision.js';
import { type Stored, spanFs, standingOf } from './core/standing.js';
import { FS_PER_MS } from './core/time.js';

/** How one limit of one level stood towards one request. Tokens are whole, times whole milliseconds rounded up. */
export interface LimitReport {
  readonly entity: string;
  readonly resource: string;
  readonly limit: string;
  readonly counts: Counts;
  readonly capacity: number;
  /** Tokens there; negative: debt. */
  readonly available: number;
  readonly requested: number;
  /** 0 where this limit did not deny. */
  readonly retryAfterMs: number;
  /** Until the limit is full again. */
  readonly resetMs: number;
  /** How long the whole capacity takes to refill. */
  readonly windowMs: number;
}

interface Level {
  readonly entity: string;
  readonly resource: string;
}

/** Milliseconds, rounded up: a wait is never stated short. */
export const ceilMs = (fs: bigint): number => Number((fs + FS_PER_MS - 1n) / FS_PER_MS);

/** Nanoseconds, rounded up. */
export const ceilNs = (fs: bigint): number => Number((fs + FS_PER_NS - 1n) / FS_PER_NS);

const FS_PER_NS = 1_000_000n;

/** The reports of a bucket that denied, or that would have granted, its demands. */
export function reports(levelOf: Level, demands: readonly Demand[], stored: Stored, nowFs: bigint): readonly LimitReport[] {
  return judge(demands, stored, nowFs).map((verdict) => report(levelOf, verdict, nowFs));
}

/** The reports after a grant: what is left. */
export function remaining(levelOf: Level, demands: readonly Demand[], stored: Stored, nowFs: bigint): readonly LimitReport[] {
  return demands.map(({ limit, cost }) =>
    report(levelOf, { limit, cost, waitFs: 0n, ...standingOf(limit, stored, nowFs) }, nowFs),
  );
}

/** The reports that a granted level contributes to a denial by another: as it stands once its charge is given back. */
export function givenBack(levelOf: Level, demands: readonly Demand[], stored: Stored, nowFs: bigint): readonly LimitReport[] {
  return demands.map(({ limit, cost }) => {
    const after = standingOf(limit, stored, nowFs);
    const available = Math.min(limit.capacity, after.available + cost);
    const backFs = limit.kind === 'bucket' ? fillFs(limit, cost) : 0n;
    const fullAtFs = available === limit.capacity ? nowFs : after.fullAtFs - backFs;
    return report(levelOf, { limit, cost, waitFs: 0n, available, fullAtFs }, nowFs);
  });
}

function report({ entity, resource }: Level, { limit, cost, available, waitFs, fullAtFs }: Verdict, nowFs: bigint): LimitReport {
  return {
    entity,
    resource,
    limit: limit.name,
    counts: limit.counts,
    capacity: limit.capacity,
    available,
    requested: cost,
    retryAfterMs: ceilMs(waitFs),
    resetMs: fullAtFs > nowFs ? ceilMs(fullAtFs - nowFs) : 0,
    windowMs: ceilMs(spanFs(limit, nowFs)),
  };
}
