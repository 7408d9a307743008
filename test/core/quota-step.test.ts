import { describe, expect, it } from 'vitest';
import {
  evaluatedUse,
  movedUse,
  NOTHING_USED,
  predictUse,
  type Quota,
  refusesUse,
  type Session,
  thenAdjustUse,
  thenUse,
  type WindowBranch,
  type WindowLimit,
  type WindowStep,
  type WindowUse,
  windowEnded,
} from '../../lib/core/quota.js';

const FS_PER_MS = 1_000_000_000_000n;
const HOUR_FS = 3_600_000n * FS_PER_MS;
const DAY_FS = 24n * HOUR_FS;
const TODAY = BigInt(Date.parse('2026-03-01T00:00:00Z')) * FS_PER_MS;
const TOMORROW = TODAY + DAY_FS;
const SECOND_FS = 1_000n * FS_PER_MS;
const CAPACITY = 4;

const quota: Quota = { kind: 'quota', capacity: CAPACITY, per: 'day', timeZone: 'UTC' };
const session: Session = { kind: 'session', capacity: CAPACITY, everyMs: 3_600_000 };

/** A use, or the settlement of one that was charged in the window `lease`. */
type Operation =
  | { readonly kind: 'use'; readonly nowFs: bigint; readonly cost: number; readonly within: number }
  | { readonly kind: 'adjust'; readonly lease: bigint; readonly tokens: bigint };
type Stored = WindowUse | undefined;

const uses = (nows: readonly bigint[], costs: readonly number[], bounds: readonly number[]): Operation[] =>
  nows.flatMap((nowFs) => costs.flatMap((cost) => bounds.map((within): Operation => ({ kind: 'use', nowFs, cost, within }))));
const adjusts = (leases: readonly bigint[], tokens: readonly bigint[]): Operation[] =>
  leases.flatMap((lease) => tokens.map((d): Operation => ({ kind: 'adjust', lease, tokens: d })));
const states = (starts: readonly bigint[], useds: readonly bigint[]): Stored[] => [
  undefined,
  ...starts.flatMap((windowStartFs) => useds.map((used) => ({ windowStartFs, used }))),
];

/** What operations come to one after the other. */
interface Outcome {
  readonly refused: boolean;
  /** Each use: `s` charged in the stored window, `+` starting one, `i` charged in that one. */
  readonly charged: string;
  /** Settlements that found another window than theirs, or none. */
  readonly idle: number;
  readonly use: Stored;
}

const isRunning = (limit: WindowLimit, { windowStartFs }: WindowUse, nowFs: bigint): boolean =>
  limit.kind === 'quota' ? windowStartFs >= dayOf(nowFs) : windowStartFs + HOUR_FS > nowFs;
const dayOf = (nowFs: bigint): bigint => (nowFs < TOMORROW ? TODAY : TOMORROW);

function oneByOne(limit: WindowLimit, operations: readonly Operation[], stored: Stored): Outcome {
  let [use, charged, idle] = [stored, '', 0];
  for (const operation of operations) {
    if (operation.kind === 'adjust') {
      if (use?.windowStartFs !== operation.lease) idle += 1;
      else use = { ...use, used: use.used + operation.tokens < 0n ? 0n : use.used + operation.tokens };
      continue;
    }
    const { nowFs, cost, within } = operation;
    if (cost > within) return { refused: true, charged, idle, use: stored };
    if (use === undefined || !isRunning(limit, use, nowFs)) {
      use = { windowStartFs: limit.kind === 'quota' ? dayOf(nowFs) : nowFs, used: BigInt(cost) };
      charged += '+';
      continue;
    }
    const tooFarAhead = limit.kind === 'quota' && use.windowStartFs > nowFs + 2n * SECOND_FS;
    if (tooFarAhead || use.used + BigInt(cost) > BigInt(within)) return { refused: true, charged, idle, use: stored };
    use = { ...use, used: use.used + BigInt(cost) };
    charged += charged.includes('+') ? 'i' : 's';
  }
  return { refused: false, charged, idle, use };
}

/** Every use and settlement in the stored window. */
const inStored = ({ refused, charged, idle }: Outcome): boolean => !refused && /^s*$/.test(charged) && idle === 0;
/** Every use in the one window that they start. */
const inStarted = ({ refused, charged }: Outcome): boolean => !refused && /^[+]i*$/.test(charged);
const same = (a: Stored, b: Stored): boolean => a?.windowStartFs === b?.windowStartFs && a?.used === b?.used;

/** What a walk over all sequences met, and where the algebra differed from one-by-one (the first few). */
interface Tally {
  /** Sequences that one step composes, and those that it leaves out of the batch. */
  batches: number;
  leftOut: number;
  /** Batches times states. */
  cases: number;
  admitted: number;
  /** Cases times the branches that any state predicts. */
  branches: number;
  /** Those whose condition held. */
  readonly kinds: Record<WindowBranch['kind'], number>;
  readonly differences: string[];
}

const shown = (_key: string, value: unknown) =>
  typeof value !== 'bigint' ? value : value > DAY_FS ? `${(value - TODAY) / FS_PER_MS} ms` : Number(value);

function walk(limit: WindowLimit, operations: readonly Operation[], longest: number, stateds: readonly Stored[]): Tally {
  const kinds = { add: 0, floor: 0, start: 0 };
  const tally: Tally = { batches: 0, leftOut: 0, cases: 0, admitted: 0, branches: 0, kinds, differences: [] };
  const differs = (what: string, ...where: unknown[]): void => {
    if (tally.differences.length < 5) tally.differences.push(`${what}: ${JSON.stringify(where, shown)}`);
  };
  const extend = (step: WindowStep, before: readonly Operation[]): void => {
    for (const operation of operations) {
      const batch = [...before, operation];
      const next =
        operation.kind === 'adjust'
          ? thenAdjustUse(step, operation.lease, operation.tokens)
          : thenUse(step, limit, operation.nowFs, operation.cost, operation.within);
      if (next === undefined) {
        tally.leftOut += 1;
        const outcomes = stateds.map((stored) => oneByOne(limit, batch, stored));
        if (outcomes.some(inStored) && inStarted(oneByOne(limit, batch, undefined))) differs('left out though admitted', batch);
        continue;
      }
      tally.batches += 1;
      compare(next, batch);
      if (batch.length < longest) extend(next, batch);
    }
  };
  const compare = (step: WindowStep, batch: readonly Operation[]): void => {
    const settlesOnly = batch.every(({ kind }) => kind === 'adjust');
    const branches = new Map(stateds.map((seen) => predictUse(step, seen)).map((branch) => [branch.kind, branch]));
    for (const stored of stateds) {
      const wanted = oneByOne(limit, batch, stored);
      const admitted = settlesOnly || inStored(wanted) || inStarted(wanted);
      tally.cases += 1;
      tally.admitted += admitted ? 1 : 0;
      if (refusesUse(step, stored) === admitted) differs('refused otherwise', batch, stored, wanted);
      if (admitted && !same(movedUse(step, stored), wanted.use))
        differs('moved otherwise', batch, stored, movedUse(step, stored), wanted);
      const foreseen = evaluatedUse(predictUse(step, stored), stored) !== undefined;
      const nothingToSettle =
        settlesOnly && batch.some((adjust) => adjust.kind === 'adjust' && windowEnded(stored, adjust.lease));
      if (foreseen !== (admitted && !nothingToSettle)) differs('the truth predicts otherwise', batch, stored, foreseen);
      for (const branch of branches.values()) {
        tally.branches += 1;
        const left = evaluatedUse(branch, stored);
        if (left === undefined) continue;
        kinds[branch.kind] += 1;
        if (!admitted) differs('written though refused', batch, stored, branch);
        else if (!same(left, wanted.use)) differs('wrote otherwise', batch, stored, branch, left, wanted);
      }
    }
  };
  extend(NOTHING_USED, []);
  return tally;
}

describe('composed and as a write, whatever is stored and whatever was seen, operations equal one-by-one', () => {
  const useds = [0n, 1n, 2n, 3n, 4n, 5n, 7n];

  it('in a quota: all sequences of up to three, at noon, a second before midnight and at midnight', () => {
    const operations = [
      ...uses([TODAY + 12n * HOUR_FS, TOMORROW - SECOND_FS, TOMORROW], [0, 1, 3, CAPACITY], [CAPACITY, 2]),
      ...adjusts([TODAY, TOMORROW], [-3n, -1n, 2n]),
    ];
    const starts = [TODAY - DAY_FS, TODAY, TODAY + HOUR_FS, TOMORROW, TOMORROW + SECOND_FS, TOMORROW + DAY_FS];
    expect(walk(quota, operations, 3, states(starts, useds))).toEqual({
      batches: 3_433,
      leftOut: 6_317,
      cases: 147_619, // 3,433 batches x 43 states
      admitted: 55_840,
      branches: 347_010,
      kinds: { add: 9_338, floor: 2_910, start: 40_784 },
      differences: [],
    });
  });

  it('in a session: all sequences of up to three, at its first use, half an hour later and an hour later', () => {
    const now = TODAY + 12n * HOUR_FS;
    const operations = [
      ...uses([now, now + HOUR_FS / 2n, now + HOUR_FS], [0, 1, 3, CAPACITY], [CAPACITY, 2]),
      ...adjusts([now - HOUR_FS / 2n, now], [-3n, -1n, 2n]),
    ];
    const starts = [-HOUR_FS, 1n - HOUR_FS, -HOUR_FS / 2n, 1n - HOUR_FS / 2n, 0n, 1n, HOUR_FS].map((away) => now + away);
    expect(walk(session, operations, 3, states(starts, useds))).toEqual({
      batches: 3_747,
      leftOut: 6_513,
      cases: 187_350, // 3,747 batches x 50 states
      admitted: 94_214,
      branches: 418_100,
      kinds: { add: 14_827, floor: 2_175, start: 73_858 },
      differences: [],
    });
  });

  it('in a quota: all sequences of four, when a refund may be more than was used', () => {
    const operations = [...uses([TODAY, TODAY + HOUR_FS], [0, 1, CAPACITY], [CAPACITY]), ...adjusts([TODAY], [-3n, -1n, 2n])];
    expect(walk(quota, operations, 4, states([TODAY - DAY_FS, TODAY, TOMORROW], useds))).toEqual({
      batches: 3_880,
      leftOut: 1_106,
      cases: 85_360, // 3,880 batches x 22 states
      admitted: 45_758,
      branches: 214_632,
      kinds: { add: 8_264, floor: 5_614, start: 30_080 },
      differences: [],
    });
  });
});

it('changes and refuses nothing when nothing is composed, and has no branch', () => {
  const stored = { windowStartFs: TODAY, used: 9n };
  expect([movedUse(NOTHING_USED, undefined), movedUse(NOTHING_USED, stored)]).toEqual([undefined, stored]);
  expect([refusesUse(NOTHING_USED, undefined), refusesUse(NOTHING_USED, stored)]).toEqual([false, false]);
  expect(() => predictUse(NOTHING_USED, stored)).toThrow(new TypeError('a predicted step holds at least one operation'));
});
