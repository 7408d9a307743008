/**
 * Several operations on one bucket as one: their steps composed limit by limit, in the order in which they came. A batch is one conditional
 * write, and decides as the operations would one after the other (see core/step.ts).
 */
import { type Branch, type LimitWrite, predict } from './branch.js';
import { fillFs, fullAtUnder, type Position, type Positions } from './bucket.js';
import type { Demand } from './decision.js';
import { type Limit, rateOf } from './limit.js';
import { type Difference, scaledFs } from './settlement.js';
import { IDENTITY, moved, refuses, type Step, thenAcquire, thenAdjust } from './step.js';

/** One limit's part of a batch. */
interface Part {
  readonly limit: Limit;
  /** Where the limit stands as far as is known, under its present window; undefined: full, or unknown. */
  readonly fullAtFs: bigint | undefined;
  readonly step: Step;
  /** Tokens added to the limit's running total, net of refunds. */
  readonly consumed: bigint;
}

export interface Batch {
  readonly parts: readonly Part[];
  /** Added to the bucket's count of admitted requests. */
  readonly requests: number;
  /** Acquires in the batch. Without one it is a settlement, which is written another way. */
  readonly acquires: number;
  /** Observed limits that would have denied the last acquire, and are not charged by it. */
  readonly overdrawn: readonly string[];
}

/** A batch of nothing yet, for a bucket with these limits that was last seen at `positions`. */
export function emptyBatch(demands: readonly Demand[], positions: Positions | undefined, nowFs: bigint): Batch {
  const parts = demands.map(({ limit }) => {
    return { limit, fullAtFs: fullAtUnder(limit, positions?.get(limit.name), nowFs), step: IDENTITY, consumed: 0n };
  });
  return { parts, requests: 0, acquires: 0, overdrawn: [] };
}

/** Whether a request is decided by the very limits of the batch, in their order. */
export function sameLimits(batch: Batch, demands: readonly Demand[]): boolean {
  return (
    batch.parts.length === demands.length &&
    batch.parts.every(({ limit }, index) => {
      const other = demands[index]?.limit;
      return (
        limit === other ||
        (other !== undefined && limit.name === other.name && limit.mode === other.mode && sameRate(limit, other))
      );
    })
  );
}

function sameRate(a: Limit, b: Limit): boolean {
  const [one, other] = [rateOf(a), rateOf(b)];
  return one.tokenFs === other.tokenFs && one.windowFs === other.windowFs;
}

/**
 * The batch followed by an acquire that starts at `startFs`: now, or, for a place in the queue, later. Every limit is judged as if it were that
 * instant. Undefined when it could not be admitted behind the batch: not even on a full bucket, or not where the bucket is known to stand.
 */
export function withAcquire(batch: Batch, demands: readonly Demand[], startFs: bigint): Batch | undefined {
  const parts: Part[] = [];
  const overdrawn: string[] = [];
  for (const [index, { limit, fullAtFs, step, consumed }] of batch.parts.entries()) {
    const { cost = 0, within = limit.capacity } = demands[index] ?? {};
    const next = thenAcquire(step, startFs, fillFs(limit, cost), fillFs(limit, within));
    const fits = next !== undefined && !refuses(next, fullAtFs);
    if (!fits && limit.mode !== 'observe') return undefined;
    if (!fits) overdrawn.push(limit.name);
    parts.push({ limit, fullAtFs, step: fits ? next : step, consumed: consumed + BigInt(cost) });
  }
  return { parts, requests: batch.requests + 1, acquires: batch.acquires + 1, overdrawn };
}

/**
 * The earliest instant from `nowFs` on at which all demands fit behind the batch, where the bucket is known to stand:
 *
 *     now ------ start ------------------- z' ----> time
 *                  | <---- window ----> |       z' + fill = start + window
 */
export function startBehind(batch: Batch, demands: readonly Demand[], nowFs: bigint): bigint {
  let startFs = nowFs;
  for (const [index, { limit, fullAtFs, step }] of batch.parts.entries()) {
    const behindFs = moved(step, fullAtFs);
    if (behindFs === undefined || limit.mode === 'observe') continue;
    const { cost = 0, within = limit.capacity } = demands[index] ?? {};
    const fitsFs = behindFs + fillFs(limit, cost) - fillFs(limit, within);
    if (fitsFs > startFs) startFs = fitsFs;
  }
  return startFs;
}

/** The batch followed by a settlement. Undefined when it concerns a limit that the batch does not write. */
export function withDifferences(batch: Batch, differences: readonly Difference[], requests: number): Batch | undefined {
  let { parts } = batch;
  for (const { charge, tokens } of differences) {
    const at = parts.findIndex(({ limit }) => limit.name === charge.name);
    const part = parts[at];
    if (part === undefined) return undefined;
    const step = charge.overdrawn ? part.step : thenAdjust(part.step, scaledFs(charge, tokens, rateOf(part.limit).windowFs));
    parts = parts.with(at, { ...part, step, consumed: part.consumed + BigInt(tokens) });
  }
  return { ...batch, parts, requests: batch.requests + requests };
}

/** The batch's write, each limit in the branch that the positions seen last predict. `seen` undefined: nothing is known of the bucket. */
export function batchWrites({ parts }: Batch, seen: Positions | undefined, nowFs: bigint): readonly LimitWrite[] {
  return parts.map(({ limit, step, consumed }) => ({
    name: limit.name,
    windowFs: rateOf(limit).windowFs,
    branch:
      step.floorFs === undefined
        ? adjusted(step.addFs, limit, seen?.get(limit.name), nowFs)
        : predict(step, limit, seen?.get(limit.name), nowFs),
    consumed,
  }));
}

/** The branch of an observed limit that no acquire of the batch charges: what is settled of it moves it, and nothing refuses that. */
function adjusted(addFs: bigint, limit: Limit, seen: Position | undefined, nowFs: bigint): Branch {
  if (addFs === 0n) return { kind: 'unmoved' };
  if (seen === undefined || seen.windowFs === rateOf(limit).windowFs) return { kind: 'shift', addFs, ifAbsentFs: nowFs };
  return { kind: 'replace', fullAtFs: (fullAtUnder(limit, seen, nowFs) ?? nowFs) + addFs, seen };
}
