/** One process at a contended bucket: its clock, what it saw of the bucket, what it remembers of its guesses, its queue, one write at a time. */
import { compose, type Flight } from '../lib/admission/composition.js';
import type { AcquireOperation, Operation } from '../lib/admission/operation.js';
import { evaluated, type LimitWrite, movesPosition } from '../lib/core/branch.js';
import type { Position } from '../lib/core/bucket.js';
import type { Demand } from '../lib/core/decision.js';
import { type Guesses, learned, NO_GUESSES, type Outcome } from '../lib/core/prediction.js';
import { NOTHING_STORED, type Stored } from '../lib/core/standing.js';
import { FS_PER_MS } from '../lib/core/time.js';

/** What a process learns from an answer: the shipped way, or another one to compare it with. */
export type Learning = typeof learned;

export const SHIPPED: Learning = learned;

/** Guesses by what was seen last, and nothing else. */
export const WITHOUT_MEMORY: Learning = () => NO_GUESSES;

export const femtoseconds = (ms: number): bigint => (BigInt(Math.round(ms * 1e6)) * FS_PER_MS) / 1_000_000n;

/** The bucket's item, changed only by writes all of whose conditions hold: what one conditional update does. */
export class StoredBucket {
  #stored: Stored = NOTHING_STORED;

  write(writes: readonly LimitWrite[]): Outcome {
    const positions = new Map<string, Position>(this.#stored.positions);
    for (const { name, branch, windowFs } of writes) {
      const position = movesPosition(branch) ? evaluated(branch, windowFs, positions.get(name)) : undefined;
      if (position === undefined) return { applied: false, state: this.#stored };
      positions.set(name, position);
    }
    this.#stored = { ...NOTHING_STORED, positions };
    return { applied: true, state: this.#stored };
  }
}

export interface Ending {
  readonly kind: 'granted' | 'denied' | 'contended';
  /** Writes that it took part in. */
  readonly attempts: number;
}

export interface ProcessParts {
  /** What every acquire asks. */
  readonly demands: readonly Demand[];
  /** What this process takes for now. */
  readonly clockFs: (atMs: number) => bigint;
  readonly learning: Learning;
  /** Takes a write to the bucket, and the answer back. */
  readonly send: (flight: Flight, landed: (outcome: Outcome, atMs: number) => void, atMs: number) => void;
  readonly ended: (ending: Ending, atMs: number) => void;
}

const DEADLINE_MS = 1_000;

/**
 * The writer of the bucket in one process, in simulated time. What goes out is composed, guessed and learned by the shipped code; restated here,
 * from admission/bucket-writer.ts, is only what hangs on real time there: one write after the other, and when to give up.
 */
export class SimulatedProcess {
  readonly #parts: ProcessParts;
  #seen: Stored | undefined;
  #guesses: Guesses = NO_GUESSES;
  #answers = 0;
  #queue: Operation[] = [];
  #flying = false;

  constructor(parts: ProcessParts) {
    this.#parts = parts;
  }

  acquire(atMs: number): void {
    this.#queue.push({
      kind: 'acquire',
      demands: this.#parts.demands,
      maxWaitFs: 0n,
      earliestFs: 0n,
      movable: true,
      overdrawn: [],
      startFs: 0n,
      nowFs: undefined,
      attempts: 0,
      untilMs: atMs + DEADLINE_MS,
      answersBefore: this.#answers,
      resolve: () => undefined,
      reject: () => undefined,
    });
    this.#pump(atMs);
  }

  #pump(atMs: number): void {
    while (!this.#flying && this.#queue.length > 0) {
      const known = { seen: this.#seen, guesses: this.#guesses, answers: this.#answers, undecided: false };
      const { flight, denied, left } = compose(this.#queue, known, this.#parts.clockFs(atMs));
      this.#queue = left;
      for (const { attempts } of denied) this.#parts.ended({ kind: 'denied', attempts }, atMs);
      if (flight !== undefined) this.#fly(flight, atMs);
      else if (denied.length === 0) throw new Error('operations are left, and no write is under way');
    }
  }

  #fly(flight: Flight, sentAtMs: number): void {
    this.#flying = true;
    this.#parts.send(flight, (outcome, atMs) => this.#land(flight, outcome, atMs), sentAtMs);
  }

  #land({ operations, limits }: Flight, outcome: Outcome, atMs: number): void {
    this.#flying = false;
    this.#answers += 1;
    this.#guesses = this.#parts.learning(this.#guesses, limits, this.#seen, outcome);
    this.#seen = outcome.state;
    for (const operation of operations) operation.attempts += 1;
    if (outcome.applied) for (const { attempts } of operations) this.#parts.ended({ kind: 'granted', attempts }, atMs);
    else this.#queue = [...operations.filter((operation) => this.#mayTryAgain(operation, atMs)), ...this.#queue];
    this.#pump(atMs);
  }

  #mayTryAgain(operation: Operation, atMs: number): boolean {
    if (operation.kind === 'post') return true;
    const perNow = operation.demands.length + 3;
    if (operation.attempts >= 4 * perNow || atMs >= operation.untilMs) {
      this.#parts.ended({ kind: 'contended', attempts: operation.attempts }, atMs);
      return false;
    }
    if (operation.attempts % perNow === 0) operation.nowFs = undefined;
    return true;
  }
}

/** The instants at which the requests are judged that a write decides. */
export function judgedAtFs({ operations }: Flight): readonly bigint[] {
  return operations.flatMap((operation) => (isAcquire(operation) && operation.nowFs !== undefined ? [operation.nowFs] : []));
}

const isAcquire = (operation: Operation): operation is AcquireOperation => operation.kind === 'acquire';
