import { BoundedMap } from '../bounded-map.js';
import { type Clock, nowMs } from '../clock.js';
import type { Level } from '../config/resolution.js';
import type { TokenBucketLimit } from '../core/limit.js';
import type { ToldLevel } from '../told-level.js';
import { type ToldRemaining, toldRemaining } from './told-remaining.js';

/** A call that has not ended by then is taken for one that nobody ends, such as one whose body is never read. */
const LONGEST_CALL_MS = 600_000;
const RESOURCES_REMEMBERED = 1_000;

/** What one answer said. */
interface Reading {
  readonly told: readonly ToldRemaining[];
  /** When its call was sent: what it says was so no earlier. */
  readonly sentAtMs: number;
  /** The call that was made last when it came. */
  readonly lastCall: number;
}

/** The calls to one resource. */
interface Traffic {
  /** Those under way, with when they began, the oldest first. */
  readonly underWay: Map<number, number>;
  calls: number;
  /** The answer that is believed next, and the latest one since. */
  next: Reading | undefined;
  latest: Reading | undefined;
}

/**
 * Lowers the limits that stand for an account at a provider to what the provider says is left of it, for others may use the same account. Nothing is
 * read for it, and nothing more is written: what an answer said goes with the settlement of a call. A level is set, not changed by a difference, so
 * that it does not matter how many answers tell the same.
 *
 * What an answer says of calls that were under way when it came is not known: the provider may have counted more of one than its caller reserved, and
 * the caller will settle that once more. So an answer is believed when they all have ended:
 *
 *     call 1   |-------- told -------------|
 *     call 2              |--------------------|    here what call 1 was told is written, with the settlement of call 2
 *     call 3                                 |------ ...
 */
export class UpstreamFeedback {
  readonly #entity: string;
  readonly #clock: Clock;
  readonly #warn: (message: string) => void;
  readonly #traffic = new BoundedMap<string, Traffic>(RESOURCES_REMEMBERED);
  #warned = false;

  /** `entity`: whose limits are the account's: the caller, or an entity above it. `warn` is told, once, that a call has no such limits. */
  constructor(entity: string, clock: Clock, warn: (message: string) => void) {
    this.#entity = entity;
    this.#clock = clock;
    this.#warn = warn;
  }

  /** A call was let through by the limits of these levels. */
  begun(resource: string, levels: readonly Level[]): FeedbackOfCall {
    const limits = levels
      .filter(({ entity, shards = 1, bypass = false }) => entity === this.#entity && shards === 1 && !bypass)
      .flatMap((level) => level.limits)
      .filter((limit) => limit.kind === 'bucket');
    if (limits.length === 0 && !this.#warned) {
      this.#warned = true;
      this.#warn(
        `No feedback of the provider: ${this.#entity} has no limits on ${resource}, or none that is a token bucket in one piece`,
      );
    }
    const traffic = this.#traffic.get(resource) ?? { underWay: new Map(), calls: 0, next: undefined, latest: undefined };
    this.#traffic.set(resource, traffic);
    return new FeedbackOfCall(traffic, this.#entity, limits, this.#clock);
  }
}

/** One call under way. It is to be ended, or left, once. */
export class FeedbackOfCall {
  readonly #traffic: Traffic;
  readonly #entity: string;
  readonly #limits: readonly TokenBucketLimit[];
  readonly #clock: Clock;
  readonly #id: number;
  readonly #begunAtMs: number;
  #sentAtMs: number;

  constructor(traffic: Traffic, entity: string, limits: readonly TokenBucketLimit[], clock: Clock) {
    this.#traffic = traffic;
    this.#entity = entity;
    this.#limits = limits;
    this.#clock = clock;
    this.#begunAtMs = nowMs(clock);
    this.#sentAtMs = this.#begunAtMs;
    traffic.calls += 1;
    this.#id = traffic.calls;
    traffic.underWay.set(this.#id, this.#begunAtMs);
  }

  /** It is sent now, for the first time or again. */
  sent(): void {
    this.#sentAtMs = nowMs(this.#clock);
  }

  /** These headers came. */
  answered(headers: Headers): void {
    const told = toldRemaining(headers);
    if (told.length === 0) return;
    const reading: Reading = { told, sentAtMs: this.#sentAtMs, lastCall: this.#traffic.calls };
    if (this.#traffic.next === undefined) this.#traffic.next = reading;
    else if ((this.#traffic.latest?.sentAtMs ?? 0) <= reading.sentAtMs) this.#traffic.latest = reading;
  }

  /** The call ends: what is to be written with its settlement. */
  ended(): readonly ToldLevel[] {
    this.left();
    const { underWay } = this.#traffic;
    const longAgoMs = nowMs(this.#clock) - LONGEST_CALL_MS;
    for (const [id, begunAtMs] of underWay) if (begunAtMs < longAgoMs) underWay.delete(id);
    const [oldest = Number.POSITIVE_INFINITY] = underWay.keys();
    const levels: ToldLevel[] = [];
    while (this.#traffic.next !== undefined && this.#traffic.next.lastCall < oldest) {
      levels.push(...this.#levelsOf(this.#traffic.next));
      this.#traffic.next = this.#traffic.latest;
      this.#traffic.latest = undefined;
    }
    return levels;
  }

  /** The call was given up, and settles nothing. */
  left(): void {
    this.#traffic.underWay.delete(this.#id);
  }

  #levelsOf({ told, sentAtMs }: Reading): readonly ToldLevel[] {
    const afterMs = Math.floor(sentAtMs - this.#begunAtMs);
    return told.flatMap((one) => {
      const limit = limitFor(one, this.#limits);
      return limit === undefined ? [] : [{ entity: this.#entity, limit: limit.name, tokens: one.remaining, afterMs }];
    });
  }
}

/** Which of several limits that count the same is meant: the one that holds as much, else the one over the shortest time, as providers' are. */
function limitFor({ counts, capacity }: ToldRemaining, limits: readonly TokenBucketLimit[]): TokenBucketLimit | undefined {
  const windowMs = (limit: TokenBucketLimit): number => (limit.capacity / limit.refillAmount) * limit.refillPeriodMs;
  const alike = limits.filter((limit) => limit.counts === counts).sort((a, b) => windowMs(a) - windowMs(b));
  return alike.find((limit) => limit.capacity === capacity) ?? alike[0];
}
