import fc from 'fast-check';
import { expect, it } from 'vitest';
import { judge } from '../../lib/core/decision.js';
import { rateOf, type TokenBucketLimit } from '../../lib/core/limit.js';
import { Bucket, type Decision, decide, demandsOf, Lease, type Positions, storedOf, Writer } from './bucket-writers.js';
import { costsOf, START, twelfths, twoLimits } from './programs.js';

const RUNS = { numRuns: 250 };

/** What one caller does: time passes, perhaps it polls, then it asks; what it got it may give back at once. */
const steps = fc.array(
  fc.record({
    of: fc.nat(1),
    tokens: fc.nat(3),
    offset: fc.integer({ min: -1, max: 1 }),
    twelfths,
    polls: fc.boolean(),
    refunds: fc.boolean(),
  }),
  { maxLength: 25, size: 'max' },
);
type Step = typeof steps extends fc.Arbitrary<readonly (infer One)[]> ? One : never;

/** How far both full-at instants are ahead of now, in twelfths of the window and femtoseconds. */
const ahead = (least: number, most: number) =>
  fc.tuple(...[0, 1].map(() => fc.tuple(fc.integer({ min: least, max: most }), fc.integer({ min: -1, max: 1 }))));

function standingAt(limits: readonly TokenBucketLimit[], parts: readonly (readonly number[])[]): Positions {
  return new Map(
    limits.map((limit, index) => {
      const { windowFs } = rateOf(limit);
      const [part = 0, offset = 0] = parts[index] ?? [];
      return [limit.name, { fullAtFs: START + (windowFs * BigInt(part)) / 12n + BigInt(offset), windowFs }];
    }),
  );
}

function passed(limits: readonly TokenBucketLimit[], { of, tokens, offset }: Step): bigint {
  const limit = limits[of];
  const spanFs = limit === undefined ? 0n : rateOf(limit).tokenFs * BigInt(tokens) + BigInt(offset);
  return spanFs > 0n ? spanFs : 0n;
}

const standing = (limits: readonly TokenBucketLimit[], { positions }: Bucket, nowFs: bigint) =>
  judge(demandsOf(limits, [1, 1]), storedOf(positions), nowFs).map(({ available, waitFs }) => ({ available, waitFs }));

const refund = (bucket: Bucket, decision: Decision): void => new Lease(decision).settle(bucket, []);

it('a charge and its refund leave every z as without them, whatever came between, while no z is below now', () => {
  let compared = 0;
  fc.assert(
    fc.property(twoLimits, ahead(0, 12), twelfths, steps, (limits, parts, cost, between) => {
      let [charged, other] = [new Bucket(standingAt(limits, parts)), new Bucket(standingAt(limits, parts))];
      const belowNow = (nowFs: bigint) => [...other.positions.values()].some(({ fullAtFs }) => fullAtFs < nowFs);
      if (belowNow(START)) return;
      const charge = decide(charged, demandsOf(limits, costsOf(limits, cost)), START);
      if (!charge.granted) return;
      let nowFs = START;
      for (const step of between) {
        nowFs += passed(limits, step);
        if (belowNow(nowFs)) break;
        const both = [charged.copy(), other.copy()] as const;
        const demands = demandsOf(limits, costsOf(limits, step.twelfths));
        if (both.every((bucket) => decide(bucket, demands, nowFs).granted)) [charged, other] = both;
      }
      refund(charged, charge);
      expect(charged.positions).toEqual(other.positions);
      compared += 1;
    }),
    RUNS,
  );
  expect(compared).toBeGreaterThan(50);
});

it('a denied request leaves no trace', () => {
  fc.assert(
    fc.property(
      twoLimits,
      ahead(-12, 36),
      twelfths,
      fc.constantFrom('truth', 'nothing', 'full'),
      (limits, parts, cost, belief) => {
        const before = standingAt(limits, parts);
        const bucket = new Bucket(before);
        const beliefs = { truth: before, nothing: undefined, full: standingAt(limits, [[0], [0]]) };
        const { granted } = decide(bucket, demandsOf(limits, costsOf(limits, cost)), START, new Writer(beliefs[belief]));
        if (!granted) expect(bucket.positions).toEqual(before);
      },
    ),
    RUNS,
  );
});

it('polling mints no token and delays none', () => {
  fc.assert(
    fc.property(twoLimits, ahead(-12, 36), steps, (limits, parts, asked) => {
      const [polled, quiet] = [new Bucket(standingAt(limits, parts)), new Bucket(standingAt(limits, parts))];
      let nowFs = START;
      for (const step of asked) {
        nowFs += passed(limits, step);
        if (step.polls) decide(polled, demandsOf(limits, [0, 0]), nowFs);
        const demands = demandsOf(limits, costsOf(limits, step.twelfths));
        const [one, other] = [decide(polled, demands, nowFs), decide(quiet, demands, nowFs)];
        expect(one.granted).toBe(other.granted);
        if (one.granted && step.refunds) {
          refund(polled, one);
          refund(quiet, other);
        }
        expect(standing(limits, polled, nowFs)).toEqual(standing(limits, quiet, nowFs));
      }
    }),
    RUNS,
  );
});

it("one limit's traffic never slows another's refill", () => {
  fc.assert(
    fc.property(twoLimits, ahead(-12, 36), steps, fc.nat(1), (limits, parts, asked, busy) => {
      const bucket = new Bucket(standingAt(limits, parts));
      const untouched = new Bucket(standingAt(limits, parts));
      let nowFs = START;
      for (const step of asked) {
        nowFs += passed(limits, step);
        const costs = costsOf(limits, step.twelfths).map((cost, index) => (index === busy ? cost : 0));
        const decision = decide(bucket, demandsOf(limits, costs), nowFs);
        if (decision.granted && step.refunds) refund(bucket, decision);
        expect(standing(limits, bucket, nowFs)[1 - busy]).toEqual(standing(limits, untouched, nowFs)[1 - busy]);
      }
    }),
    RUNS,
  );
});

it('a vanished item acts as a full bucket, to writers who remember it too', () => {
  fc.assert(
    fc.property(twoLimits, twoLimits, ahead(-24, 0), ahead(-12, 36), steps, (limits, earlier, parts, believed, asked) => {
      const full = new Map(
        [...standingAt(earlier, parts)].map(([name, { fullAtFs, windowFs }]) => [name, { fullAtFs: fullAtFs - 1n, windowFs }]),
      );
      const [kept, vanished] = [new Bucket(full), new Bucket()];
      const [one, other] = [new Writer(full), new Writer(standingAt(earlier, believed))];
      let nowFs = START;
      for (const step of asked) {
        nowFs += passed(limits, step);
        expect(standing(limits, kept, nowFs)).toEqual(standing(limits, vanished, nowFs));
        const demands = demandsOf(limits, costsOf(limits, step.twelfths));
        const [ofKept, ofVanished] = [decide(kept, demands, nowFs, one), decide(vanished, demands, nowFs, other)];
        expect(ofKept.granted).toBe(ofVanished.granted);
        if (ofKept.granted && step.refunds) {
          refund(kept, ofKept);
          refund(vanished, ofVanished);
        }
      }
    }),
    RUNS,
  );
});
