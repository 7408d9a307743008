import type { Demand } from '../core/decision.js';
import type { Settlement } from '../core/settlement.js';
import type { Stored } from '../core/standing.js';
import type { Place } from './places.js';

/** A bucket's answer: at which instant it was decided, and where its limits stood then (after the charge, when granted). */
export interface Decision {
  readonly granted: boolean;
  readonly nowFs: bigint;
  /** Observed limits that would have denied it, and were not charged. */
  readonly overdrawn?: readonly string[] | undefined;
  /** Its place in the queue, when it was granted for later than now. */
  readonly place?: Place | undefined;
  readonly stored: Stored;
  /** Of a grant: the writes that it took, those that lost their race included. Absent: none. */
  readonly attempts?: number;
}

/** What waits for a write of its bucket. */
interface Waiting {
  /** When it is too late to send it again, on the clock of performance.now(). */
  readonly untilMs: number;
  /** How many answers had come from the store when it was queued: any later one is news to it. */
  readonly answersBefore: number;
  readonly reject: (error: unknown) => void;
}

export interface AcquireOperation extends Waiting {
  readonly kind: 'acquire';
  readonly demands: readonly Demand[];
  /** How long it may wait for its start; 0n: not at all. */
  readonly maxWaitFs: bigint;
  /** Its place may move forward: not when it must start together with others. */
  readonly movable: boolean;
  /** It starts no earlier than this. */
  readonly earliestFs: bigint;
  readonly resolve: (decision: Decision) => void;
  /** Observed limits that its last write did not charge. */
  overdrawn: readonly string[];
  /** The start that its last write declared. */
  startFs: bigint;
  /** The instant it is judged at, the same in all attempts; set when it is first tried. */
  nowFs: bigint | undefined;
  attempts: number;
}

export interface PostOperation extends Waiting {
  readonly kind: 'post';
  readonly settlement: Settlement;
  /** Added to the count of admitted requests. */
  readonly requests: number;
  readonly resolve: () => void;
  /** Writes of it that failed on their conditions. */
  attempts: number;
}

export type Operation = AcquireOperation | PostOperation;

/**
 * What of an operation whose answer was lost may be sent again: its refunds may have been given, and are not given twice. Undefined: nothing. Slots
 * are freed again: their keys make it harmless.
 */
export function withoutRefunds(operation: Operation): Operation | undefined {
  if (operation.kind === 'acquire') return operation;
  const { differences } = operation.settlement;
  const again = differences.filter(({ charge, tokens }) => tokens >= 0 || charge.kind === 'slot');
  if (again.length === differences.length && operation.requests >= 0) return operation;
  return again.length === 0
    ? undefined
    : { ...operation, requests: 0, settlement: { ...operation.settlement, differences: again } };
}
