/** What of a bucket's queue goes out in the next write: all that fits together, in the order in which it came. */
import { type Batch, batchWrites, emptyBatch, sameLimits, startBehind, withAcquire, withDifferences } from '../core/batch.js';
import type { LimitWrite } from '../core/branch.js';
import { rescaleWrites } from '../core/decision.js';
import type { Guesses } from '../core/prediction.js';
import { settlementWrites } from '../core/settlement.js';
import { MOST_SLOT_CHANGES } from '../core/slots.js';
import type { Stored } from '../core/standing.js';
import type { AcquireOperation, Operation, PostOperation } from './operation.js';

/** One write, and the operations that it decides. */
export interface Flight {
  readonly operations: readonly Operation[];
  readonly limits: readonly LimitWrite[];
  /** Added to the bucket's count of admitted requests. */
  readonly requests: number;
  /** It only stores a changed limit's rescaled position: once that is there, its operation is denied. */
  readonly denies: boolean;
}

export interface Composition {
  /** Undefined: nothing goes out before an answer comes. */
  readonly flight: Flight | undefined;
  /** Requests that do not fit where the bucket stands. */
  readonly denied: readonly AcquireOperation[];
  readonly left: Operation[];
}

/** What the writer knows of its bucket. */
export interface Knowledge {
  /** Where it stood at the last answer; undefined before the first. */
  readonly seen: Stored | undefined;
  /** What became of its guesses so far. */
  readonly guesses: Guesses;
  /** How many answers have come. */
  readonly answers: number;
  /** Writes are under way whose answers may change where it stands. */
  readonly undecided: boolean;
}

export function compose(queue: readonly Operation[], known: Knowledge, atFs: bigint): Composition {
  const first = queue.find((operation) => operation.kind === 'acquire');
  if (first === undefined) return settlements(queue, known.seen);
  let batch = emptyBatch(first.demands, known.seen, atFs);
  const taken: Operation[] = [];
  const denied: AcquireOperation[] = [];
  const left: Operation[] = [];
  for (const operation of queue) {
    const next = behind(batch, operation, atFs);
    if (next !== undefined) {
      batch = next;
      taken.push(operation);
    } else if (taken.length === 0 && isDenied(operation, batch, known)) denied.push(operation);
    else left.push(operation);
  }
  if (batch.acquires > 0) {
    const limits = batchWrites(batch, known.seen, atFs, known.guesses);
    return { flight: { operations: taken, limits, requests: batch.requests, denies: false }, denied, left };
  }
  if (queue.some(({ kind }) => kind === 'post')) return settlements(queue, known.seen);
  if (known.undecided) return { flight: undefined, denied: [], left: [...queue] };
  return denials(queue, first, known, atFs);
}

/** Whether a request that does not fit is denied: nothing undecided stands before it, and where the bucket stands is news to it. */
function isDenied(operation: Operation, batch: Batch, { seen, answers, undecided }: Knowledge): operation is AcquireOperation {
  if (operation.kind === 'post' || undecided || seen === undefined || operation.answersBefore >= answers) return false;
  if (!sameLimits(batch, operation.demands)) return false;
  return rescaleWrites(operation.demands, seen, operation.nowFs ?? 0n) === undefined;
}

/** The batch with the operation behind it; undefined when it does not fit there, now or by the time it may wait for. */
function behind(batch: Batch, operation: Operation, atFs: bigint): Batch | undefined {
  if (operation.kind === 'post') return withDifferences(batch, operation.settlement.differences, operation.requests, atFs);
  if (!sameLimits(batch, operation.demands)) return undefined;
  const nowFs = judgedAt(operation, atFs);
  const { demands, maxWaitFs, earliestFs } = operation;
  operation.startFs = nowFs;
  if (maxWaitFs > 0n) {
    operation.startFs = startBehind(batch, demands, nowFs > earliestFs ? nowFs : earliestFs);
    if (operation.startFs > nowFs + maxWaitFs) return undefined;
  }
  const next = withAcquire(batch, demands, operation.startFs, nowFs);
  operation.overdrawn = next?.overdrawn ?? [];
  return next;
}

/** The settlements in the queue, as one write: all of them, unless they give back more slots than one write can. */
function settlements(queue: readonly Operation[], seen: Stored | undefined): Composition {
  let slots = 0;
  const posts: PostOperation[] = [];
  const left: Operation[] = [];
  for (const operation of queue) {
    if (operation.kind === 'post')
      slots += operation.settlement.differences.filter(({ charge }) => charge.kind === 'slot').length;
    if (operation.kind === 'post' && slots <= MOST_SLOT_CHANGES) posts.push(operation);
    else left.push(operation);
  }
  const limits = settlementWrites(
    posts.map(({ settlement, attempts }) => ({ ...settlement, answered: attempts > 0 })),
    seen,
  );
  const requests = posts.reduce((sum, post) => sum + post.requests, 0);
  return { flight: { operations: posts, limits, requests, denies: false }, denied: [], left };
}

/**
 * None of the requests with the first one's limits fits where the bucket was seen last, and nothing undecided stands before them: those to which
 * that is news are denied. Is it news to none, the first asks the store, by a write that fails if the bucket is as it was seen.
 */
function denials(queue: readonly Operation[], first: AcquireOperation, known: Knowledge, atFs: bigint): Composition {
  const { seen, answers } = known;
  const limits = emptyBatch(first.demands, seen, atFs);
  const denied: AcquireOperation[] = [];
  const left: Operation[] = [];
  let flight: Flight | undefined;
  for (const operation of queue) {
    if (flight !== undefined || operation.kind === 'post' || !sameLimits(limits, operation.demands)) left.push(operation);
    else if (seen === undefined || operation.answersBefore >= answers) flight = question(operation, known, atFs);
    else {
      const rescaled = rescaleWrites(operation.demands, seen, operation.nowFs ?? atFs);
      if (rescaled === undefined) denied.push(operation);
      else flight = { operations: [operation], limits: rescaled, requests: 0, denies: true };
    }
  }
  return { flight, denied, left };
}

/** The instant a request is judged at: now, until it is first sent; the same in all attempts from then on. */
function judgedAt(operation: AcquireOperation, atFs: bigint): bigint {
  if (operation.attempts === 0 || operation.nowFs === undefined) operation.nowFs = atFs;
  return operation.nowFs;
}

function question(operation: AcquireOperation, { seen, guesses }: Knowledge, atFs: bigint): Flight {
  const nowFs = judgedAt(operation, atFs);
  operation.startFs = nowFs;
  const batch = withAcquire(emptyBatch(operation.demands, undefined, atFs), operation.demands, nowFs, nowFs);
  if (batch === undefined) throw new RangeError('a cost is above its capacity');
  operation.overdrawn = batch.overdrawn;
  return { operations: [operation], limits: batchWrites(batch, seen, nowFs, guesses), requests: 1, denies: false };
}
