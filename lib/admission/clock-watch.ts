import { type Clock, correctedByFs } from '../clock.js';
import { takenBack } from '../core/correction.js';
import { StoreFailure, type WriteResult } from '../store/store.js';
import type { Flight } from './composition.js';
import type { AcquireOperation, Operation } from './operation.js';

/**
 * Watches the clock that a bucket's requests are judged by. When an answer shows that it was wrong, what is not decided yet is judged anew, and
 * what the answered write did by it is taken back by one more write.
 */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #undecided: () => readonly Operation[];
  /** The instants of all that is undecided were read when the clock was corrected by this. */
  #correctedByFs: bigint;

  /** `undecided`: every operation that waits or is on its way; one may stand there twice. */
  constructor(clock: Clock, undecided: () => readonly Operation[]) {
    this.#clock = clock;
    this.#undecided = undecided;
    this.#correctedByFs = correctedByFs(clock);
  }

  /** Moves the instants that undecided requests are judged at by what the clock was corrected since they were read. */
  follow(): void {
    const byFs = correctedByFs(this.#clock) - this.#correctedByFs;
    if (byFs === 0n) return;
    this.#correctedByFs += byFs;
    for (const operation of new Set(this.#undecided())) if (operation.kind === 'acquire') move(operation, byFs);
  }

  /** The answer to a flight, once what it did by a wrong clock is taken back: its bucket is the one after that. */
  async sent(flight: Flight, send: (flight: Flight) => Promise<WriteResult>): Promise<WriteResult> {
    const judgedByFs = this.#correctedByFs;
    const result = await send(flight);
    this.follow();
    const takingBack = result.applied ? takingBackOf(flight, judgedByFs - this.#correctedByFs, result.met) : undefined;
    if (takingBack === undefined) return result;
    try {
      return { ...result, state: (await send(takingBack)).state };
    } catch (error) {
      // The requests are decided all the same, and what is wrong lasts no longer than the clock was wrong by.
      if (!(error instanceof StoreFailure)) throw error;
      return result;
    } finally {
      this.follow();
    }
  }
}

/** A place in the queue keeps its start: it was read off the bucket, not off the clock. */
const isPlace = ({ startFs, nowFs }: AcquireOperation): boolean => startFs !== nowFs;

function move(operation: AcquireOperation, byFs: bigint): void {
  if (operation.nowFs === undefined) return;
  if (!isPlace(operation)) operation.startFs += byFs;
  operation.nowFs += byFs;
}

/** The flight that takes back what one did that was judged by a clock ahead by `errorFs`; undefined when there is nothing. */
function takingBackOf({ operations, limits }: Flight, errorFs: bigint, met: WriteResult['state']): Flight | undefined {
  if (errorFs === 0n) return undefined;
  const acquires = operations.filter((operation) => operation.kind === 'acquire');
  const [first] = acquires;
  if (first?.nowFs === undefined || acquires.some(isPlace)) return undefined;
  const back = takenBack(limits, first.nowFs + errorFs, errorFs, met);
  return back.length === 0 ? undefined : { operations: [], limits: back, requests: 0, denies: false };
}
