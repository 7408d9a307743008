import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Position } from '../../lib/core/bucket.js';
import { judge } from '../../lib/core/decision.js';
import type { TokenBucketLimit } from '../../lib/core/limit.js';
import { type Decision, decide, demandsOf, type Lease, storedOf, Writer, waitOf } from './bucket-writers.js';
import { acquiring, anything, costsOf, Play, settling, twelfths, twoLimits, WRITERS } from './programs.js';

const RUNS = { numRuns: 250 };
const FS_PER_MS = 1_000_000_000_000n;
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** The grants of a play, in the order in which they were written. */
interface Grant {
  readonly decision: Decision;
  /** When it was started and when it was written, in real time. */
  readonly startedFs: bigint;
  readonly writtenFs: bigint;
}

function grantsOf(play: Play, program: Parameters<Play['perform']>[0][]): Grant[] {
  const grants: Grant[] = [];
  for (const event of program) {
    const happened = play.perform(event);
    if (happened?.kind === 'decided' && happened.decision.granted) {
      grants.push({ decision: happened.decision, startedFs: happened.startedFs, writtenFs: play.nowFs });
    }
  }
  return grants;
}

/** Limits that granted more, in some window, than capacity + rate x (window + slack). In whole tokens and the limit's own rate. */
function exceeded(
  limits: readonly TokenBucketLimit[],
  grants: readonly Grant[],
  instant: (grant: Grant) => bigint,
  slackFs = 0n,
): string[] {
  const instants = grants.map(instant);
  return limits.flatMap(({ name, capacity, refillAmount, refillPeriodMs }, index) =>
    instants.flatMap((fromFs) =>
      instants.flatMap((toFs) => {
        let admitted = 0n;
        for (const grant of grants) {
          const at = instant(grant);
          if (at >= fromFs && at <= toFs) admitted += BigInt(grant.decision.demands[index]?.cost ?? 0);
        }
        const refilled = (toFs - fromFs + slackFs) * BigInt(refillAmount);
        const over = (admitted - BigInt(capacity)) * BigInt(refillPeriodMs) * FS_PER_MS > refilled;
        return toFs >= fromFs && over ? [`${name}: ${admitted} in ${toFs - fromFs} fs`] : [];
      }),
    ),
  );
}

describe('several writers with stale views', () => {
  it('never get more than capacity + rate x elapsed in any window', () => {
    fc.assert(
      fc.property(twoLimits, acquiring, (limits, program) => {
        const grants = grantsOf(new Play(() => limits), program);
        expect(exceeded(limits, grants, ({ decision }) => decision.atFs)).toEqual([]);
      }),
      RUNS,
    );
  });

  it('never get more than capacity + rate x (elapsed + 2 x skew + lag) in any real window when clocks differ and writes are late', () => {
    const skews = fc.array(fc.bigInt({ min: -2n, max: 2n }), { minLength: WRITERS, maxLength: WRITERS });
    fc.assert(
      fc.property(
        twoLimits,
        acquiring,
        skews,
        fc.constantFrom(1n, FS_PER_MS, 700n * FS_PER_MS),
        (limits, program, tilts, unitFs) => {
          const grants = grantsOf(
            new Play(
              () => limits,
              (writer) => (tilts[writer] ?? 0n) * unitFs,
            ),
            program,
          );
          const skewFs = tilts.reduce((most, tilt) => max(most, max(tilt, -tilt) * unitFs), 0n);
          const lagFs = grants.reduce((most, { startedFs, writtenFs }) => max(most, writtenFs - startedFs), 0n);
          expect(exceeded(limits, grants, ({ writtenFs }) => writtenFs, 2n * skewFs + lagFs)).toEqual([]);
        },
      ),
      RUNS,
    );
  });

  it('decide each request within two writes more than there are limits', () => {
    fc.assert(
      fc.property(twoLimits, acquiring, (limits, program) => {
        const play = new Play(() => limits);
        for (const event of program) {
          const happened = play.perform(event);
          if (happened?.kind === 'decided') expect(happened.decision.writes).toBeLessThanOrEqual(4);
        }
      }),
      RUNS,
    );
  });

  it('decide and leave what one-by-one evaluation does, while limits change, leases settle and the item is deleted', () => {
    fc.assert(
      fc.property(twoLimits, twoLimits, anything, ([rpm, tpm], [otherRpm, otherTpm], program) => {
        const versions = [[rpm, tpm], [otherRpm, tpm], [tpm], [otherRpm, otherTpm]];
        const play = new Play((version) => versions[version] ?? []);
        let expected = new Map<string, Position>();
        for (const event of program) {
          const happened = play.perform(event);
          if (happened?.kind === 'decided') {
            const oneByOne = acquiredOneByOne(expected, happened.decision);
            expect(happened.decision.granted).toBe(oneByOne.granted);
            expected = oneByOne.granted ? oneByOne.charged : oneByOne.rescaled;
          }
          if (happened?.kind === 'undecided') {
            // A write that decides nothing consumes nothing: at most it stores a position as the changed limit has it.
            const { rescaled } = acquiredOneByOne(expected, happened.request);
            for (const [name, position] of play.bucket.positions) {
              if (position.windowFs !== expected.get(name)?.windowFs) expected.set(name, rescaled.get(name) ?? position);
            }
          }
          if (happened?.kind === 'settled') expected = settledOneByOne(expected, happened.lease, happened.before);
          if (happened?.kind === 'vanished') expected = new Map();
          expect(play.bucket.positions).toEqual(expected);
        }
      }),
      RUNS,
    );
  });
});

const dividedUp = (n: bigint, d: bigint): bigint => n / d + (n > 0n && n % d !== 0n ? 1n : 0n);
const tokenOf = ({ refillPeriodMs, refillAmount }: TokenBucketLimit): bigint =>
  dividedUp(BigInt(refillPeriodMs) * FS_PER_MS, BigInt(refillAmount));

/** The decision written as sums: each limit at max(z, now) + fill <= now + window, z rescaled first where the window is another. */
function acquiredOneByOne(positions: ReadonlyMap<string, Position>, { demands, atFs }: Pick<Decision, 'demands' | 'atFs'>) {
  const [charged, rescaled] = [new Map(positions), new Map(positions)];
  let granted = true;
  for (const { limit, cost } of demands) {
    const [tokenFs, stored] = [tokenOf(limit), positions.get(limit.name)];
    const windowFs = BigInt(limit.capacity) * tokenFs;
    let fullAtFs = stored?.fullAtFs ?? atFs;
    if (stored !== undefined && stored.windowFs !== windowFs) {
      if (fullAtFs > atFs) fullAtFs = atFs + dividedUp((fullAtFs - atFs) * windowFs, stored.windowFs);
      rescaled.set(limit.name, { fullAtFs, windowFs });
    }
    const afterFs = max(fullAtFs, atFs) + BigInt(cost) * tokenFs;
    charged.set(limit.name, { fullAtFs: afterFs, windowFs });
    if (afterFs > atFs + windowFs) granted = false;
  }
  return { granted, charged, rescaled };
}

/** The settlement written as sums: the difference, at the lease's own rate or scaled to the window that is stored now. */
function settledOneByOne(positions: ReadonlyMap<string, Position>, lease: Lease, before: Lease['charges']) {
  const settled = new Map(positions);
  for (const [index, { name, tokens, tokenFs, windowFs }] of before.entries()) {
    const stored = positions.get(name) ?? { fullAtFs: lease.atFs + BigInt(tokens) * tokenFs, windowFs };
    const differenceFs = BigInt((lease.charges[index]?.tokens ?? 0) - tokens) * tokenFs;
    settled.set(name, { ...stored, fullAtFs: stored.fullAtFs + dividedUp(differenceFs * stored.windowFs, windowFs) });
  }
  return settled;
}

describe('a bucket in any state', () => {
  /** A bucket after any program, and the positions that it had on the way: what some writer may still believe. */
  const after = (limits: readonly TokenBucketLimit[], program: Parameters<Play['perform']>[0][]) => {
    const play = new Play(() => limits);
    const seen = program.map((event) => {
      play.perform(event);
      return play.bucket.positions;
    });
    return { bucket: play.bucket, nowFs: play.nowFs, seen: [undefined, ...seen] };
  };

  it('grants a denied request after the stated wait, and one femtosecond earlier does not', () => {
    fc.assert(
      fc.property(twoLimits, twoLimits, settling, twelfths, fc.nat(), (limits, changed, program, parts, stale) => {
        const { bucket, nowFs, seen } = after(limits, program);
        for (const present of [limits, changed]) {
          const bucketNow = bucket.copy();
          const demands = demandsOf(present, costsOf(present, parts));
          const decision = decide(bucketNow, demands, nowFs, new Writer(seen[stale % seen.length]));
          if (decision.granted) continue;
          const waitFs = waitOf(decision);
          expect(waitFs).toBeGreaterThan(0n);
          expect(decide(bucketNow.copy(), demands, nowFs + waitFs - 1n).granted).toBe(false);
          expect(decide(bucketNow.copy(), demands, nowFs + waitFs).granted).toBe(true);
        }
      }),
      RUNS,
    );
  });

  it('grants its level at once and nothing more, which is never above the capacity, whatever was refunded', () => {
    fc.assert(
      fc.property(twoLimits, settling, fc.nat(), (limits, program, stale) => {
        const { bucket, nowFs, seen } = after(limits, program);
        const writer = new Writer(seen[stale % seen.length]);
        const levels = judge(demandsOf(limits, []), storedOf(bucket.positions), nowFs).map(({ available }) => available);
        for (const [index, { capacity }] of limits.entries()) expect(levels[index]).toBeLessThanOrEqual(capacity);
        const inDebt = levels.some((tokens) => tokens < 0);
        expect(
          decide(
            bucket,
            demandsOf(
              limits,
              levels.map((tokens) => Math.max(0, tokens)),
            ),
            nowFs,
            writer,
          ).granted,
        ).toBe(!inDebt);
        for (const one of [[1], [0, 1]]) expect(decide(bucket.copy(), demandsOf(limits, one), nowFs, writer).granted).toBe(false);
      }),
      RUNS,
    );
  });
});
