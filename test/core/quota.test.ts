import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  evaluatedUse,
  LARGEST_SKEW_FS,
  NOTHING_USED,
  predictUse,
  type Quota,
  refusesUse,
  type Session,
  thenUse,
  type WindowLimit,
  type WindowUse,
  windowEnded,
  windowEndFs,
  windowLevel,
  windowSpanFs,
  windowWaitFs,
} from '../../lib/core/quota.js';

const FS_PER_MS = 1_000_000_000_000n;
const HOUR_MS = 3_600_000;
const fs = (iso: string): bigint => BigInt(Date.parse(iso)) * FS_PER_MS;
const iso = (instantFs: bigint): string => new Date(Number(instantFs / FS_PER_MS)).toISOString().replace('.000Z', 'Z');
const use = (start: string, used: number): WindowUse => ({ windowStartFs: fs(start), used: BigInt(used) });

const monthly: Quota = { kind: 'quota', capacity: 1_000, per: 'month', timeZone: 'Europe/Paris' };
const daily: Quota = { ...monthly, per: 'day' };
const fiveHours: Session = { kind: 'session', capacity: 50, everyMs: 5 * HOUR_MS };

/** One use, decided against what is stored by the branch that this very state predicts. */
function decided(limit: WindowLimit, stored: WindowUse | undefined, nowFs: bigint, cost: number) {
  const step = thenUse(NOTHING_USED, limit, nowFs, cost);
  if (step === undefined) throw new Error('the cost is above the capacity');
  const left = evaluatedUse(predictUse(step, stored), stored);
  return left === undefined ? { granted: false, use: stored } : { granted: true, use: left };
}

it('a monthly quota spent on the 20th comes back on the 1st at 00:00 in Paris, and nothing of it before', () => {
  const spent = decided(monthly, undefined, fs('2026-10-20T10:00:00Z'), 1_000);
  expect(spent).toEqual({ granted: true, use: use('2026-09-30T22:00:00Z', 1_000) });
  const waitFs = windowWaitFs(monthly, spent.use, fs('2026-10-20T10:00:00Z'), 1);
  expect(waitFs).toBe(fs('2026-10-31T23:00:00Z') - fs('2026-10-20T10:00:00Z'));
  for (const at of ['2026-10-20T10:00:01Z', '2026-10-31T12:00:00Z', '2026-10-31T22:59:59.999Z']) {
    expect(windowLevel(monthly, spent.use, fs(at))).toBe(0);
    expect(decided(monthly, spent.use, fs(at), 1)).toEqual({ granted: false, use: spent.use });
  }
  expect(windowLevel(monthly, spent.use, fs('2026-10-31T23:00:00Z'))).toBe(1_000);
  expect(decided(monthly, spent.use, fs('2026-10-31T23:00:00Z'), 7)).toEqual({
    granted: true,
    use: use('2026-10-31T23:00:00Z', 7),
  });
});

it('sessions of 5 hours first used at 09:00 and next at 14:30 end at 14:00 and at 19:30', () => {
  const first = decided(fiveHours, undefined, fs('2026-05-04T09:00:00Z'), 50);
  expect(first).toEqual({ granted: true, use: use('2026-05-04T09:00:00Z', 50) });
  expect(iso(windowEndFs(fiveHours, first.use!.windowStartFs))).toBe('2026-05-04T14:00:00Z');
  // Denials do not move it.
  const denied = decided(fiveHours, first.use, fs('2026-05-04T13:59:59Z'), 1);
  expect(denied).toEqual({ granted: false, use: first.use });
  expect(windowWaitFs(fiveHours, denied.use, fs('2026-05-04T13:59:59Z'), 1)).toBe(1_000n * FS_PER_MS);
  const second = decided(fiveHours, denied.use, fs('2026-05-04T14:30:00Z'), 1);
  expect(second).toEqual({ granted: true, use: use('2026-05-04T14:30:00Z', 1) });
  expect(iso(windowEndFs(fiveHours, second.use!.windowStartFs))).toBe('2026-05-04T19:30:00Z');
});

describe('one use of a daily quota, at 2026-03-10 12:00 in Paris,', () => {
  const nowFs = fs('2026-03-10T11:00:00Z');
  it.each([
    { when: 'nothing is stored', stored: undefined, cost: 1, left: use('2026-03-09T23:00:00Z', 1) },
    { when: 'yesterday is stored', stored: use('2026-03-08T23:00:00Z', 1_000), cost: 1, left: use('2026-03-09T23:00:00Z', 1) },
    { when: 'just enough is left', stored: use('2026-03-09T23:00:00Z', 990), cost: 10, left: use('2026-03-09T23:00:00Z', 1_000) },
    { when: 'one too little is left', stored: use('2026-03-09T23:00:00Z', 991), cost: 10, left: 'refused' },
    {
      when: 'all is used and it costs 0',
      stored: use('2026-03-09T23:00:00Z', 1_000),
      cost: 0,
      left: use('2026-03-09T23:00:00Z', 1_000),
    },
    { when: 'more than all is used and it costs 0', stored: use('2026-03-09T23:00:00Z', 1_001), cost: 0, left: 'refused' },
    { when: 'nothing is stored and it costs 0', stored: undefined, cost: 0, left: use('2026-03-09T23:00:00Z', 0) },
    {
      when: 'yesterday is stored and it costs 0',
      stored: use('2026-03-08T23:00:00Z', 5),
      cost: 0,
      left: use('2026-03-09T23:00:00Z', 0),
    },
    { when: 'the month is stored', stored: use('2026-02-28T23:00:00Z', 900), cost: 5, left: use('2026-03-09T23:00:00Z', 5) },
    {
      when: 'an hour of today is stored',
      stored: use('2026-03-10T10:00:00Z', 900),
      cost: 5,
      left: use('2026-03-10T10:00:00Z', 905),
    },
    {
      when: 'a window 2 s ahead is stored',
      stored: use('2026-03-10T11:00:02Z', 3),
      cost: 5,
      left: use('2026-03-10T11:00:02Z', 8),
    },
    { when: 'a window more than 2 s ahead is stored', stored: use('2026-03-10T11:00:02.001Z', 3), cost: 5, left: 'refused' },
  ])('leaves the right use when $when', ({ stored, cost, left }) => {
    const wanted = left === 'refused' ? { granted: false, use: stored } : { granted: true, use: left };
    expect(decided(daily, stored, nowFs, cost)).toEqual(wanted);
  });
});

describe('one use of a session of 5 hours, at 12:00,', () => {
  const nowFs = fs('2026-03-10T12:00:00Z');
  it.each([
    { when: 'nothing is stored', stored: undefined, cost: 1, left: use('2026-03-10T12:00:00Z', 1) },
    { when: 'it has ended this instant', stored: use('2026-03-10T07:00:00Z', 50), cost: 1, left: use('2026-03-10T12:00:00Z', 1) },
    {
      when: 'it ends in a millisecond',
      stored: use('2026-03-10T07:00:00.001Z', 49),
      cost: 1,
      left: use('2026-03-10T07:00:00.001Z', 50),
    },
    { when: 'it ends in a millisecond, all used', stored: use('2026-03-10T07:00:00.001Z', 50), cost: 1, left: 'refused' },
    {
      when: 'it has ended and it costs 0',
      stored: use('2026-03-10T06:00:00Z', 50),
      cost: 0,
      left: use('2026-03-10T12:00:00Z', 0),
    },
    {
      when: 'another clock has started it',
      stored: use('2026-03-10T12:00:09Z', 1),
      cost: 1,
      left: use('2026-03-10T12:00:09Z', 2),
    },
  ])('leaves the right use when $when', ({ stored, cost, left }) => {
    const wanted = left === 'refused' ? { granted: false, use: stored } : { granted: true, use: left };
    expect(decided(fiveHours, stored, nowFs, cost)).toEqual(wanted);
  });
});

describe('what is left and how long it takes', () => {
  const sevenTenths = { cost: 100, within: 700 };
  it.each([
    { when: 'nothing is stored', stored: undefined, cost: 1_000, left: 1_000, waitMs: 0 },
    { when: 'it fits', stored: use('2026-03-09T23:00:00Z', 400), cost: 600, left: 600, waitMs: 0 },
    { when: 'it does not fit', stored: use('2026-03-09T23:00:00Z', 401), cost: 600, left: 599, waitMs: 12 * HOUR_MS },
    { when: 'it is in debt', stored: use('2026-03-09T23:00:00Z', 1_300), cost: 0, left: -300, waitMs: 12 * HOUR_MS },
    { when: 'yesterday was in debt', stored: use('2026-03-08T23:00:00Z', 1_300), cost: 1_000, left: 1_000, waitMs: 0 },
    { when: 'a share just takes it', stored: use('2026-03-09T23:00:00Z', 600), ...sevenTenths, left: 400, waitMs: 0 },
    {
      when: 'a share does not take it',
      stored: use('2026-03-09T23:00:00Z', 601),
      ...sevenTenths,
      left: 399,
      waitMs: 12 * HOUR_MS,
    },
    {
      when: 'a window an hour ahead is stored',
      stored: use('2026-03-10T12:00:00Z', 10),
      cost: 1,
      left: 0,
      waitMs: HOUR_MS - 2_000,
    },
    {
      when: 'tomorrow is stored, all used',
      stored: use('2026-03-10T23:00:00Z', 1_010),
      cost: 1,
      left: -10,
      waitMs: 36 * HOUR_MS,
    },
  ])('in a daily quota, noon in Paris, when $when', ({ stored, cost, left, waitMs, ...bound }) => {
    const nowFs = fs('2026-03-10T11:00:00Z');
    const within = 'within' in bound ? bound.within : undefined;
    expect(windowLevel(daily, stored, nowFs)).toBe(left);
    expect(windowWaitFs(daily, stored, nowFs, cost, within)).toBe(BigInt(waitMs) * FS_PER_MS);
  });

  it('counts the hours that a day really has', () => {
    const spent = use('2026-10-24T22:00:00Z', 1_000); // 25 October in Paris
    expect(windowWaitFs(daily, spent, fs('2026-10-24T22:00:00Z'), 1)).toBe(BigInt(25 * HOUR_MS) * FS_PER_MS);
  });
});

it.each([
  { limit: daily, at: '2026-10-25T12:00:00Z', hours: 25 },
  { limit: monthly, at: '2026-02-10T12:00:00Z', hours: 28 * 24 },
  { limit: monthly, at: '2026-03-10T12:00:00Z', hours: 31 * 24 - 1 },
  { limit: fiveHours, at: '2026-10-25T12:00:00Z', hours: 5 },
])('a $limit.kind at $at has a window of $hours hours', ({ limit, at, hours }) => {
  expect(windowSpanFs(limit, fs(at))).toBe(BigInt(hours * HOUR_MS) * FS_PER_MS);
});

it('a charge is settled while its window is stored, and not in another', () => {
  const leaseWindowFs = fs('2026-03-09T23:00:00Z');
  expect(windowEnded(use('2026-03-09T23:00:00Z', 0), leaseWindowFs)).toBe(false);
  expect(windowEnded(use('2026-03-10T23:00:00Z', 0), leaseWindowFs)).toBe(true);
  expect(windowEnded(undefined, leaseWindowFs)).toBe(true);
});

describe('for any limit, state and instant', () => {
  const capacity = 10;
  const limits: fc.Arbitrary<WindowLimit> = fc.oneof(
    fc.record({
      kind: fc.constant('quota' as const),
      capacity: fc.constant(capacity),
      per: fc.constantFrom('day' as const, 'month' as const),
      timeZone: fc.constantFrom('UTC', 'Europe/Paris', 'America/Havana', 'America/St_Johns', 'Pacific/Apia'),
    }),
    fc.record({
      kind: fc.constant('session' as const),
      capacity: fc.constant(capacity),
      everyMs: fc.constantFrom(1, HOUR_MS, 5 * HOUR_MS, 40 * 24 * HOUR_MS),
    }),
  );
  const nowsFs = fc
    .integer({ min: Date.parse('2010-11-01T00:00:00Z'), max: Date.parse('2012-01-31T00:00:00Z') })
    .map((ms) => BigInt(ms) * FS_PER_MS);
  /** A window before, at or after now: of this limit, or off its windows, as another clock or a changed limit leaves it. */
  const states = (limit: WindowLimit, nowFs: bigint): fc.Arbitrary<WindowUse | undefined> => {
    const own = fc.constantFrom(-1n, 0n, 1n).map((way) => {
      if (limit.kind === 'session') return nowFs + way * BigInt(limit.everyMs) * FS_PER_MS;
      const startFs = windowEndFs(limit, nowFs);
      return way === 1n ? startFs : nowFs - (way === 0n ? 1n : 20n * 24n * BigInt(HOUR_MS) * FS_PER_MS);
    });
    const near = fc.bigInt(-3n * LARGEST_SKEW_FS, 3n * LARGEST_SKEW_FS).map((awayFs) => nowFs + awayFs);
    const used = fc.bigInt(0n, 14n);
    return fc.option(fc.record({ windowStartFs: fc.oneof(own, near), used }), { nil: undefined });
  };
  const situations = fc
    .tuple(limits, nowsFs)
    .chain(([limit, nowFs]) => fc.record({ limit: fc.constant(limit), nowFs: fc.constant(nowFs), stored: states(limit, nowFs) }));
  const refuses = (limit: WindowLimit, stored: WindowUse | undefined, nowFs: bigint, cost: number): boolean =>
    refusesUse(thenUse(NOTHING_USED, limit, nowFs, cost)!, stored);

  it('the stated wait is the shortest that works', () => {
    fc.assert(
      fc.property(situations, fc.integer({ min: 0, max: capacity }), ({ limit, nowFs, stored }, cost) => {
        const waitFs = windowWaitFs(limit, stored, nowFs, cost);
        expect(waitFs >= 0n).toBe(true);
        expect(refuses(limit, stored, nowFs + waitFs, cost)).toBe(false);
        if (waitFs > 0n) {
          expect(refuses(limit, stored, nowFs, cost)).toBe(true);
          expect(refuses(limit, stored, nowFs + waitFs - 1n, cost)).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('what is left is the most that is admitted', () => {
    fc.assert(
      fc.property(situations, ({ limit, nowFs, stored }) => {
        const left = windowLevel(limit, stored, nowFs);
        if (left > 0) expect(refuses(limit, stored, nowFs, left)).toBe(false);
        if (left >= 0 && left < capacity) expect(refuses(limit, stored, nowFs, left + 1)).toBe(true);
        if (left < 0) expect(refuses(limit, stored, nowFs, 0)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
