import type { LimitWrite } from '../core/branch.js';
import { fillFs } from '../core/bucket.js';
import { type Demand, equalDemands } from '../core/decision.js';
import { rateOf } from '../core/limit.js';

/** Where a reservation stands in a token bucket: full-at before it and after it. */
interface Stretch {
  readonly beforeFs: bigint;
  readonly afterFs: bigint;
  readonly windowFs: bigint;
}

type Ends = ReadonlyMap<string, Stretch>;

/**
 * The reservation of one waiter: when it starts, and which stretch of each limit's time is its own. It moves forward when a waiter of this
 * process right before it leaves.
 */
export class Place {
  readonly demands: readonly Demand[];
  readonly #movable: boolean;
  #startFs: bigint;
  #ends: Ends;
  #tellMoved: () => void = () => {};

  /** `behindFs`: full-at behind it, by limit. */
  constructor(demands: readonly Demand[], startFs: bigint, behindFs: ReadonlyMap<string, bigint>, movable: boolean) {
    this.demands = demands;
    this.#movable = movable;
    this.#startFs = startFs;
    const ends = new Map<string, Stretch>();
    for (const { limit, cost } of demands) {
      if (limit.kind !== 'bucket') continue;
      const afterFs = behindFs.get(limit.name) ?? startFs;
      ends.set(limit.name, { beforeFs: afterFs - fillFs(limit, cost), afterFs, windowFs: rateOf(limit).windowFs });
    }
    this.#ends = ends;
  }

  get startFs(): bigint {
    return this.#startFs;
  }

  /** Resolves when the place has moved forward since the call. */
  moved(): Promise<void> {
    return new Promise((resolve) => {
      this.#tellMoved = resolve;
    });
  }

  /** Whether the other may take this place: its stretch begins where this one ends, on every limit, for the same costs. */
  isRightBefore(other: Place): boolean {
    if (!other.#movable || !equalDemands(this.demands, other.demands)) return false;
    for (const [name, { afterFs }] of this.#ends) if (other.#ends.get(name)?.beforeFs !== afterFs) return false;
    return true;
  }

  /** Takes the place of the one right before it, which gets this one's. */
  swap(before: Place): void {
    [this.#startFs, before.#startFs] = [before.#startFs, this.#startFs];
    [this.#ends, before.#ends] = [before.#ends, this.#ends];
    this.#tellMoved();
  }

  /** The write that takes the place back: only where nothing was reserved or charged behind it. */
  removal(): readonly LimitWrite[] {
    return this.demands.flatMap(({ limit: { name }, cost }) => {
      const ends = this.#ends.get(name);
      if (ends === undefined) return [];
      const { beforeFs, afterFs, windowFs } = ends;
      const branch = { kind: 'replace' as const, fullAtFs: beforeFs, seen: { fullAtFs: afterFs, windowFs } };
      return [{ name, windowFs, branch, consumed: -BigInt(cost) }];
    });
  }
}

/** The waiters of one bucket in this process, in the order of their starts. */
export class Places {
  readonly #waiting: Place[] = [];

  add(place: Place): void {
    const index = this.#waiting.findLastIndex((other) => other.startFs <= place.startFs);
    this.#waiting.splice(index + 1, 0, place);
  }

  /** Its time has come. */
  start(place: Place): void {
    this.#remove(place);
  }

  /**
   * A waiter leaves: the ones that stand right behind it, one after the other, move forward. What is free in the end is the last one's old
   * place, which the returned place now is.
   */
  leave(place: Place): Place {
    let index = this.#waiting.indexOf(place);
    let next = this.#waiting[index + 1];
    while (index >= 0 && next !== undefined && place.isRightBefore(next)) {
      next.swap(place);
      this.#waiting[index] = next;
      this.#waiting[index + 1] = place;
      index += 1;
      next = this.#waiting[index + 1];
    }
    this.#remove(place);
    return place;
  }

  #remove(place: Place): void {
    const index = this.#waiting.indexOf(place);
    if (index >= 0) this.#waiting.splice(index, 1);
  }
}
