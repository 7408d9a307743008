/** What a discrete-event simulation stands on: a queue of events by time, and random numbers that a seed repeats. */

interface Entry {
  readonly atMs: number;
  /** Events of one instant happen in the order in which they were planned. */
  readonly order: number;
  readonly happens: (atMs: number) => void;
}

const before = (a: Entry, b: Entry): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** Events that are still to happen, the earliest first: a binary heap. */
export class EventQueue {
  readonly #heap: Entry[] = [];
  #planned = 0;

  plan(atMs: number, happens: (atMs: number) => void): void {
    const entry = { atMs, order: this.#planned, happens };
    this.#planned += 1;
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || before(parent, entry)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = entry;
  }

  /** Lets everything happen that is planned, and that is planned meanwhile. */
  run(): void {
    for (let entry = this.#take(); entry !== undefined; entry = this.#take()) entry.happens(entry.atMs);
  }

  #take(): Entry | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const leftAt = 2 * at + 1;
      const [left, right] = [heap[leftAt], heap[leftAt + 1]];
      if (left === undefined) break;
      const [child, childAt] = right !== undefined && before(right, left) ? [right, leftAt + 1] : [left, leftAt];
      if (before(last, child)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
    return first;
  }
}

/** Numbers from 0 to 1, exclusive, the same ones for the same seed: mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 4_294_967_296;
  };
}

/** How long until the next event of a Poisson process with this mean distance. */
export const exponential = (random: () => number, mean: number): number => -Math.log(random()) * mean;
