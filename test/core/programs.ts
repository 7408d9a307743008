import fc from 'fast-check';
import { Limit, rateOf, type TokenBucketLimit } from '../../lib/core/limit.js';
import { Bucket, type Decision, demandsOf, Lease, Writer } from './bucket-writers.js';

/** What happens next to a bucket with several writers. Costs are twelfths of the capacity, so that every program fits every limit. */
export type Event =
  /** The writer makes the next write of what it is deciding; when it decides nothing, it starts on these costs by these limits. */
  | { readonly kind: 'write'; readonly writer: number; readonly version: number; readonly twelfths: readonly number[] }
  /** So many tokens of one of the limits come back, a femtosecond less or more. */
  | { readonly kind: 'tick'; readonly of: number; readonly tokens: number; readonly offset: number }
  /** A lease is settled to these costs, 0 being a refund of all. */
  | { readonly kind: 'settle'; readonly lease: number; readonly twelfths: readonly number[] }
  /** The writer forgets what it saw, unless it is deciding. */
  | { readonly kind: 'forget'; readonly writer: number }
  /** The item is deleted. */
  | { readonly kind: 'vanish' };

export const WRITERS = 4;
/** How many sets of limits a bucket goes by in turns. */
export const VERSIONS = 4;
export const START = 1_800_000_000_000_000_000_000_000_000n;

const ofName = (name: string) =>
  fc.constantFrom(
    Limit.perSecond(name, 3),
    Limit.perMinute(name, 7),
    Limit.perMinute(name, 10, { burst: 15 }),
    Limit.perDay(name, 24, { burst: 2 }),
    Limit.perMinute(name, 700_000),
    Limit.custom({ name, capacity: 5, refillAmount: 3, refillPeriodMs: 7 }),
    Limit.custom({ name, capacity: 12, refillAmount: 10_000_000_000, refillPeriodMs: 1 }),
  );

/** Two limits of one bucket. */
export const twoLimits: fc.Arbitrary<readonly [TokenBucketLimit, TokenBucketLimit]> = fc.tuple(ofName('rpm'), ofName('tpm'));

export const twelfths = fc.tuple(fc.nat(12), fc.nat(12));
const writer = fc.nat(WRITERS - 1);

export const write: fc.Arbitrary<Event> = fc.record({
  kind: fc.constant('write'),
  writer,
  version: fc.nat(VERSIONS - 1),
  twelfths,
});
export const tick: fc.Arbitrary<Event> = fc.record({
  kind: fc.constant('tick'),
  of: fc.nat(1),
  tokens: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, fc.nat(40)),
  offset: fc.integer({ min: -1, max: 1 }),
});
const forget: fc.Arbitrary<Event> = fc.record({ kind: fc.constant('forget'), writer });
const vanish: fc.Arbitrary<Event> = fc.record({ kind: fc.constant('vanish') });
const settledTo = (most: number): fc.Arbitrary<Event> =>
  fc.record({ kind: fc.constant('settle'), lease: fc.nat(9), twelfths: fc.tuple(fc.nat(most), fc.nat(most)) });

const programOf = (...weighted: fc.WeightedArbitrary<Event>[]) => fc.array(fc.oneof(...weighted), { maxLength: 60, size: 'max' });
const of = (weight: number, arbitrary: fc.Arbitrary<Event>) => ({ weight, arbitrary });

/** Acquires of several writers while time passes. */
export const acquiring = programOf(of(8, write), of(3, tick), of(1, forget));
/** The same with settlements: refunds, and charges of up to four capacities. */
export const settling = programOf(of(8, write), of(3, tick), of(1, forget), of(2, settledTo(12)), of(1, settledTo(48)));
/** The same while the item is deleted at any time. */
export const anything = programOf(
  of(8, write),
  of(3, tick),
  of(1, forget),
  of(2, settledTo(12)),
  of(1, settledTo(48)),
  of(1, vanish),
);

export const costsOf = (limits: readonly TokenBucketLimit[], parts: readonly number[]): readonly number[] =>
  limits.map(({ capacity }, index) => Math.floor((capacity * (parts[index] ?? 0)) / 12));

/** Something that happened to the bucket, to be compared with what had to happen. */
export type Happening =
  | { readonly kind: 'decided'; readonly decision: Decision; readonly writer: number; readonly startedFs: bigint }
  | { readonly kind: 'undecided'; readonly request: Pick<Decision, 'demands' | 'atFs'> }
  | { readonly kind: 'settled'; readonly lease: Lease; readonly before: Lease['charges'] }
  | { readonly kind: 'vanished' };

/** Several writers at one bucket, and the real time. Version i of the limits is `limitsOf(i)`; writer i's clock is `skewFs(i)` fast. */
export class Play {
  readonly bucket = new Bucket();
  readonly writers = Array.from({ length: WRITERS }, () => new Writer());
  readonly leases: Lease[] = [];
  nowFs = START;
  readonly #startedFs = new Map<Writer, bigint>();

  constructor(
    readonly limitsOf: (version: number) => readonly TokenBucketLimit[],
    readonly skewFs: (writer: number) => bigint = () => 0n,
  ) {}

  perform(event: Event): Happening | undefined {
    switch (event.kind) {
      case 'write':
        return this.#write(event.writer, this.limitsOf(event.version), event.twelfths);
      case 'tick': {
        const limit = this.limitsOf(0)[event.of] ?? this.limitsOf(0)[0];
        const spanFs = limit === undefined ? 0n : BigInt(event.tokens) * rateOf(limit).tokenFs + BigInt(event.offset);
        if (spanFs > 0n) this.nowFs += spanFs;
        return undefined;
      }
      case 'settle': {
        const lease = this.leases.at(-1 - event.lease);
        if (lease === undefined) return undefined;
        const before = lease.charges;
        lease.settle(
          this.bucket,
          before.map(({ windowFs, tokenFs }, index) =>
            Math.floor((Number(windowFs / tokenFs) * (event.twelfths[index] ?? 0)) / 12),
          ),
        );
        return { kind: 'settled', lease, before };
      }
      case 'forget':
        if (this.#writer(event.writer).deciding === undefined) this.#writer(event.writer).seen = undefined;
        return undefined;
      case 'vanish':
        this.bucket.positions = new Map();
        return { kind: 'vanished' };
    }
  }

  #write(index: number, limits: readonly TokenBucketLimit[], parts: readonly number[]): Happening | undefined {
    const by = this.#writer(index);
    if (by.deciding === undefined) {
      this.#startedFs.set(by, this.nowFs);
      by.start(demandsOf(limits, costsOf(limits, parts)), this.nowFs + this.skewFs(index));
    }
    const request = by.deciding;
    const decision = by.step(this.bucket);
    if (decision === undefined) return request && { kind: 'undecided', request };
    if (decision.granted) this.leases.push(new Lease(decision));
    return { kind: 'decided', decision, writer: index, startedFs: this.#startedFs.get(by) ?? this.nowFs };
  }

  #writer(index: number): Writer {
    const found = this.writers[index];
    if (found === undefined) throw new Error(`there is no writer ${index}`);
    return found;
  }
}
