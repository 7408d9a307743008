import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Branch, evaluated, type LimitWrite, movesPosition, predict } from '../../lib/core/branch.js';
import { fillFs, type Position } from '../../lib/core/bucket.js';
import { Limit, rateOf, type TokenBucketLimit } from '../../lib/core/limit.js';
import { type Guesses, guessed, learned, NO_GUESSES } from '../../lib/core/prediction.js';
import { NOTHING_STORED, type Stored } from '../../lib/core/standing.js';
import { IDENTITY, moved, refuses, type Step, thenAcquire, thenAdjust } from '../../lib/core/step.js';
import { short } from '../support/long.js';

/** `npm run verify:long` tries more. */
const RUNS = short(5_000, 100_000);
const NOW = 1_000_000n;
const TOKEN = 100n;
/** Tokens of 100 fs. */
const bucketOf = (capacity: number, name = 'n') =>
  Limit.custom({ name, capacity, refillAmount: 10_000_000_000, refillPeriodMs: 1 });
const at = (limit: TokenBucketLimit, fullAtFs: bigint): Position => ({ fullAtFs, windowFs: rateOf(limit).windowFs });
const acquire = (limit: TokenBucketLimit, cost: number, within = limit.capacity, nowFs = NOW): Step => {
  const step = thenAcquire(IDENTITY, nowFs, fillFs(limit, cost), fillFs(limit, within));
  if (step === undefined) throw new Error('the cost is above what may be in use');
  return step;
};

type Memory = Partial<{ doubt: number; busyGuesses: number; headStarts: number; corrected: boolean }>;
const remembering = ({ doubt = 0, busyGuesses = 0, headStarts = 0, corrected = false }: Memory, ...names: string[]): Guesses => ({
  limits: new Map((names.length > 0 ? names : ['n']).map((name) => [name, { doubt, busyGuesses, headStarts }])),
  corrected,
});

const idleAhead = (fs: bigint): Branch => ({ kind: 'idle', fullAtFs: 1_000_100n + fs, belowFs: 1_000_000n + fs });
const busy = (maxFs: bigint): Branch => ({ kind: 'busy', addFs: 100n, minFs: 1_000_000n, maxFs });

describe('a guess for one token of a bucket that was full long ago', () => {
  it.each([
    { when: 'nothing is remembered', capacity: 250, memory: undefined, branch: idleAhead(0n) },
    { when: 'idle guesses lost before', capacity: 250, memory: { busyGuesses: 1 }, branch: busy(1_024_900n) },
    { when: 'the last write failed', capacity: 250, memory: { busyGuesses: 1, corrected: true }, branch: idleAhead(0n) },
    {
      when: 'others contend, and 1 % is two and a half tokens',
      capacity: 250,
      memory: { headStarts: 1 },
      branch: idleAhead(200n),
    },
    { when: 'others contend, and 1 % is a token', capacity: 100, memory: { headStarts: 1 }, branch: idleAhead(100n) },
    { when: 'others contend, and 1 % is less than a token', capacity: 99, memory: { headStarts: 1 }, branch: idleAhead(0n) },
    {
      when: 'others contend, as a failed write shows',
      capacity: 100,
      memory: { headStarts: 9, corrected: true },
      branch: idleAhead(100n),
    },
  ])('is right when $when', ({ capacity, memory, branch }) => {
    const limit = bucketOf(capacity);
    const guesses = memory === undefined ? NO_GUESSES : remembering(memory);
    expect(guessed(acquire(limit, 1), limit, at(limit, 5n), NOW, guesses)).toEqual(branch);
  });

  it.each([{ busyGuesses: 9 }, { headStarts: 9 }])('is the plain one where the item was never seen, remembering %o', (memory) => {
    const limit = bucketOf(1_000);
    expect(guessed(acquire(limit, 1), limit, undefined, NOW, remembering(memory))).toEqual(idleAhead(0n));
  });

  it('is the plain one where its limit was changed', () => {
    const limit = bucketOf(1_000);
    const [step, seen] = [acquire(limit, 1), { fullAtFs: 5n, windowFs: 7n }];
    const plain = predict(step, limit, seen, NOW);
    expect(plain.kind).toBe('replace');
    expect(guessed(step, limit, seen, NOW, remembering({ busyGuesses: 9, headStarts: 9 }))).toEqual(plain);
  });

  it('takes no head start beyond what its priority may use', () => {
    const limit = bucketOf(1_000);
    const ahead = (within: number) =>
      guessed(acquire(limit, 1, within), limit, at(limit, 5n), NOW, remembering({ headStarts: 1 }));
    expect([1_000, 11, 10, 2, 1].map(ahead)).toEqual([1_000n, 1_000n, 900n, 100n, 0n].map(idleAhead));
  });
});

/** Every memory that changes a guess. */
const MEMORIES: readonly Memory[] = [{}, { busyGuesses: 1 }, { headStarts: 1 }, { busyGuesses: 1, headStarts: 1 }].flatMap(
  (memory) => [memory, { ...memory, corrected: true }],
);

/** What a guess may do to a bucket: nothing at all, or what the plain step does, and at most 1 % of the capacity more. */
function judged(step: Step, limit: TokenBucketLimit, branch: Branch, stored: Position | undefined) {
  const after = evaluated(branch, rateOf(limit).windowFs, stored);
  if (after === undefined) return { applied: false, aheadFs: 0n };
  const plainFs = moved(step, stored?.fullAtFs);
  expect(refuses(step, stored?.fullAtFs)).toBe(false);
  return { applied: true, aheadFs: after.fullAtFs - (plainFs ?? 0n) };
}

it('never admits what the plain step refuses, nor moves z less, nor by more than 1 % further, at any z', () => {
  let [headStarts, applied] = [0, 0];
  for (const capacity of [3, 99, 100, 250]) {
    const limit = bucketOf(capacity);
    const mostFs = TOKEN * BigInt(Math.floor(capacity / 100));
    for (const cost of [0, 1, 2, capacity - 1, capacity]) {
      for (const within of new Set([cost, Math.min(cost + 1, capacity), capacity])) {
        const step = acquire(limit, cost, within);
        const marks = [NOW, NOW + TOKEN, NOW + mostFs, NOW + fillFs(limit, within - cost), NOW + rateOf(limit).windowFs];
        const instants = marks.flatMap((mark) => [-TOKEN, -1n, 0n, 1n, TOKEN].map((offset) => mark + offset));
        for (const memory of MEMORIES) {
          for (const seenFs of instants) {
            const branch = guessed(step, limit, at(limit, seenFs), NOW, remembering(memory));
            for (const stored of [undefined, ...instants.map((fs) => at(limit, fs))]) {
              const outcome = judged(step, limit, branch, stored);
              applied += outcome.applied ? 1 : 0;
              headStarts += outcome.aheadFs > 0n ? 1 : 0;
              if (outcome.aheadFs < 0n || outcome.aheadFs > mostFs) expect.fail(`${outcome.aheadFs} fs ahead`);
            }
          }
        }
      }
    }
  }
  expect(applied).toBeGreaterThan(50_000);
  expect(headStarts).toBeGreaterThan(500);
});

/** A batch: acquires at one instant, and adjustments between them. */
const batches = fc.array(
  fc.oneof(fc.record({ cost: fc.nat(120) }), fc.record({ adjustFs: fc.integer({ min: -9_000, max: 9_000 }) })),
  {
    minLength: 1,
    maxLength: 6,
  },
);
const memories = fc.record({
  doubt: fc.nat(12),
  busyGuesses: fc.nat(64),
  headStarts: fc.nat(32),
  corrected: fc.boolean(),
});
const offsets = fc.integer({ min: -20_000, max: 60_000 });

it('leaves any batch within its bounds, and in whole tokens beyond the plain one', () => {
  const limit = bucketOf(400);
  fc.assert(
    fc.property(batches, memories, offsets, offsets, (operations, memory, seenAt, storedAt) => {
      let step: Step = IDENTITY;
      for (const operation of operations) {
        if ('adjustFs' in operation) step = thenAdjust(step, BigInt(operation.adjustFs));
        else step = thenAcquire(step, NOW, fillFs(limit, operation.cost), rateOf(limit).windowFs) ?? step;
      }
      fc.pre(step.floorFs !== undefined);
      const [seen, stored] = [at(limit, NOW + BigInt(seenAt)), at(limit, NOW + BigInt(storedAt))];
      const plain = predict(step, limit, seen, NOW);
      const branch = guessed(step, limit, seen, NOW, remembering(memory));
      const { applied, aheadFs } = judged(step, limit, branch, stored);
      if (branch.kind === 'idle' && plain.kind === 'idle') {
        const takenFs = branch.fullAtFs - plain.fullAtFs;
        expect([takenFs >= 0n, takenFs <= 4n * TOKEN, takenFs % TOKEN]).toEqual([true, true, 0n]);
        if (takenFs > 0n) expect(branch.fullAtFs).toBeLessThanOrEqual(NOW + rateOf(limit).windowFs);
      }
      if (applied) expect([aheadFs >= 0n, aheadFs <= 4n * TOKEN]).toEqual([true, true]);
    }),
    { numRuns: RUNS },
  );
});

/** One process at a bucket that others move as well. */
class Process {
  seen: Stored | undefined;
  guesses: Guesses = NO_GUESSES;

  constructor(readonly limits: readonly TokenBucketLimit[]) {}

  /** One write of an acquire; whether it was applied, and the bucket after it. */
  write(costs: readonly number[], nowFs: bigint, stored: Stored): { readonly applied: boolean; readonly state: Stored } {
    const sent = this.limits.map((limit, index): LimitWrite => {
      const step = acquire(limit, costs[index] ?? 0, limit.capacity, nowFs);
      const branch = guessed(step, limit, this.seen?.positions.get(limit.name), nowFs, this.guesses);
      return { name: limit.name, windowFs: rateOf(limit).windowFs, branch, consumed: 0n };
    });
    const positions = new Map<string, Position>();
    for (const { name, branch, windowFs } of sent) {
      const position = movesPosition(branch) ? evaluated(branch, windowFs, stored.positions.get(name)) : undefined;
      if (position !== undefined) positions.set(name, position);
    }
    const applied = positions.size === sent.length;
    const state = applied ? { ...NOTHING_STORED, positions } : stored;
    this.guesses = learned(this.guesses, sent, this.seen, { applied, state });
    this.seen = state;
    return { applied, state };
  }

  denies(costs: readonly number[], nowFs: bigint): boolean {
    return this.limits.some((limit, index) =>
      refuses(acquire(limit, costs[index] ?? 0, limit.capacity, nowFs), this.seen?.positions.get(limit.name)?.fullAtFs),
    );
  }
}

const three = [bucketOf(100, 'a'), bucketOf(300, 'b'), bucketOf(7, 'c')];
const namesOf = (limits: readonly TokenBucketLimit[]) => limits.map(({ name }) => name);
const storedAt = (limits: readonly TokenBucketLimit[], fullAtFs: readonly bigint[]): Stored => ({
  ...NOTHING_STORED,
  positions: new Map(limits.map((limit, index) => [limit.name, at(limit, fullAtFs[index] ?? 0n)])),
});

describe('a decision', () => {
  it('takes at most limits + 2 writes, whatever was remembered and however others charge in between', () => {
    const offset = fc.oneof(fc.constantFrom(-1, 0, 1, 99, 100, 101), fc.integer({ min: -500, max: 900 }));
    const rows = fc.tuple(offset, offset, offset);
    const charges = fc.array(fc.tuple(fc.nat(900), fc.nat(900), fc.nat(900)), { minLength: 8, maxLength: 8 });
    let most = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        memories,
        fc.option(rows),
        rows,
        charges,
        (count, memory, seen, first, later) => {
          const process = new Process(three.slice(0, count));
          const { limits } = process;
          const instants = (from: readonly number[]) => from.map((fs) => NOW + BigInt(fs));
          process.guesses = remembering(memory, ...namesOf(limits));
          process.seen = seen === null ? undefined : storedAt(limits, instants(seen));
          let fullAtFs = instants(first);
          const costs = [1, 3, 2];
          let writes = 0;
          for (;;) {
            writes += 1;
            if (process.write(costs, NOW, storedAt(limits, fullAtFs)).applied || process.denies(costs, NOW)) break;
            const charged = later[writes - 1] ?? [];
            fullAtFs = fullAtFs.map((fs, index) => fs + BigInt(charged[index] ?? 0));
            if (writes > 9) break;
          }
          most = Math.max(most, writes - count);
          expect(writes).toBeLessThanOrEqual(count + 2);
        },
      ),
      { numRuns: RUNS },
    );
    expect(most).toBeGreaterThanOrEqual(1);
  });
});

const pauses = fc.array(fc.record({ laterFs: fc.nat(3_000), cost: fc.nat(2) }), { minLength: 20, maxLength: 20 });

describe('a process that is alone at a bucket', () => {
  it('forgets the others at the first busy guess that finds the bucket where it was left', () => {
    const limit = bucketOf(250);
    const left = storedAt([limit], [5n]);
    const sent = { name: 'n', windowFs: rateOf(limit).windowFs, branch: busy(1_024_900n), consumed: 0n };
    const others = remembering({ doubt: 9, busyGuesses: 3, headStarts: 9 });
    expect(learned(others, [sent], left, { applied: false, state: left })).toEqual({ limits: new Map(), corrected: true });
    const moved = storedAt([limit], [6n]);
    expect(learned(others, [sent], left, { applied: false, state: moved })).toEqual(
      remembering({ doubt: 8, busyGuesses: 0, headStarts: 9, corrected: true }),
    );
  });

  it('loses no guess and remembers none, on an item of its own', () => {
    fc.assert(
      fc.property(pauses, (program) => {
        const process = new Process(three);
        let [stored, nowFs] = [NOTHING_STORED, NOW];
        for (const { laterFs, cost } of program) {
          nowFs += BigInt(laterFs);
          if (process.denies([cost, cost, cost], nowFs)) continue;
          const outcome = process.write([cost, cost, cost], nowFs, stored);
          expect(outcome.applied).toBe(true);
          stored = outcome.state;
        }
        expect(process.guesses).toEqual(NO_GUESSES);
      }),
    );
  });

  it('loses at most one guess to what it remembers of others', () => {
    let lost = 0;
    fc.assert(
      fc.property(pauses, memories, (program, memory) => {
        const process = new Process(three);
        let [stored, nowFs] = [storedAt(three, [NOW, NOW, NOW]), NOW];
        process.seen = stored;
        process.guesses = remembering({ ...memory, corrected: false }, ...namesOf(three));
        let lostNow = 0;
        for (const { laterFs, cost } of program) {
          nowFs += BigInt(laterFs);
          if (process.denies([cost, cost, cost], nowFs)) continue;
          const outcome = process.write([cost, cost, cost], nowFs, stored);
          if (!outcome.applied) lostNow += 1;
          stored = outcome.state;
        }
        lost = Math.max(lost, lostNow);
        expect(lostNow).toBeLessThanOrEqual(1);
      }),
    );
    expect(lost).toBe(1);
  });
});
