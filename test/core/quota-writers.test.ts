import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { calendarWindow } from '../../lib/core/calendar.js';
import {
  evaluatedUse,
  LARGEST_SKEW_FS,
  NOTHING_USED,
  predictUse,
  type Quota,
  refusesUse,
  type Session,
  thenAdjustUse,
  thenUse,
  type WindowLimit,
  type WindowStep,
  type WindowUse,
  windowEnded,
  windowEndFs,
  windowLevel,
} from '../../lib/core/quota.js';

const FS_PER_MS = 1_000_000_000_000n;
const HOUR_MS = 3_600_000;
const CAPACITY = 10;
/** Its second day is the one that clocks there show in two parts. */
const FIRST_MS = Date.parse('2010-11-06T12:00:00Z');
const quota: Quota = { kind: 'quota', capacity: CAPACITY, per: 'day', timeZone: 'America/St_Johns' };
const session: Session = { kind: 'session', capacity: CAPACITY, everyMs: 5 * HOUR_MS };

/** A use that was admitted: in which window it is charged, and what. */
interface Lease {
  readonly windowFs: bigint;
  charged: bigint;
}

type Operation =
  | { readonly kind: 'use'; readonly nowFs: bigint; readonly cost: number }
  | { readonly kind: 'settle'; readonly lease: Lease; readonly tokens: bigint };

/** One process: how far its clock is ahead, and what the last answer showed it. */
interface Writer {
  readonly aheadFs: bigint;
  seen: WindowUse | undefined;
}

/** One stored limit, and the books beside it. */
interface Books {
  readonly limit: WindowLimit;
  stored: WindowUse | undefined;
  /** What was charged in each window, net of refunds, by its start, in the order in which they started. */
  readonly charged: Map<bigint, bigint>;
  readonly leases: Lease[];
  /** What each window held when it was stored last. */
  readonly last: Map<bigint, bigint>;
  readonly counts: { writes: number; granted: number; denied: number; settled: number; ended: number };
}

function behind(step: WindowStep, limit: WindowLimit, operation: Operation): WindowStep | undefined {
  return operation.kind === 'use'
    ? thenUse(step, limit, operation.nowFs, operation.cost)
    : thenAdjustUse(step, operation.lease.windowFs, operation.tokens);
}

/** Sends what a writer has queued, in as few writes as it can, until every operation is decided. */
function decide(books: Books, writer: Writer, operations: readonly Operation[]): void {
  let queue = operations;
  let informed = false;
  while (queue.length > 0) {
    let step = NOTHING_USED;
    let taken: Operation[] = [];
    let left: Operation[] = [];
    for (const operation of queue) {
      if (operation.kind === 'settle' && informed && windowEnded(writer.seen, operation.lease.windowFs)) {
        books.counts.ended += 1;
        continue;
      }
      const next = behind(step, books.limit, operation);
      if (next === undefined || refusesUse(next, writer.seen)) left.push(operation);
      else {
        step = next;
        taken.push(operation);
      }
    }
    const [first, ...others] = left;
    if (taken.length === 0 && first !== undefined) {
      if (informed) {
        deny(books, first);
        queue = others;
        continue;
      }
      // Refused where it was seen last, which may be long ago: ask.
      step = behind(NOTHING_USED, books.limit, first) ?? NOTHING_USED;
      [taken, left] = [[first], others];
    }
    if (taken.length === 0) return;
    books.counts.writes += 1;
    const written = evaluatedUse(predictUse(step, writer.seen), books.stored);
    if (written !== undefined) book(books, taken, written);
    queue = written === undefined ? queue : left;
    writer.seen = books.stored;
    informed = true;
  }
}

function book(books: Books, taken: readonly Operation[], written: WindowUse): void {
  const { windowStartFs } = written;
  books.stored = written;
  books.last.set(windowStartFs, written.used);
  for (const operation of taken) {
    const charge = (tokens: bigint) => books.charged.set(windowStartFs, (books.charged.get(windowStartFs) ?? 0n) + tokens);
    if (operation.kind === 'use') {
      charge(BigInt(operation.cost));
      books.leases.push({ windowFs: windowStartFs, charged: BigInt(operation.cost) });
      books.counts.granted += 1;
    } else if (operation.lease.windowFs === windowStartFs) {
      charge(operation.tokens);
      operation.lease.charged += operation.tokens;
      books.counts.settled += 1;
    } else books.counts.ended += 1;
  }
}

function deny(books: Books, operation: Operation): void {
  if (operation.kind === 'settle') throw new Error('a settlement was refused');
  expect(windowLevel(books.limit, books.stored, operation.nowFs)).toBeLessThan(operation.cost);
  books.counts.denied += 1;
}

/** What happens next: time passes, then a writer sends uses, and settlements of some leases of anybody's. */
const events = fc.array(
  fc.record({
    passesMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 0, max: 9 * HOUR_MS })),
    writer: fc.integer({ min: 0, max: 2 }),
    costs: fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 4 }),
    settlements: fc.array(fc.record({ lease: fc.nat(), to: fc.bigInt(0n, 6n) }), { maxLength: 3 }),
    settlesFirst: fc.boolean(),
  }),
  { minLength: 1, maxLength: 40 },
);
type Event = typeof events extends fc.Arbitrary<readonly (infer T)[]> ? T : never;
/** Three clocks within 2 s of each other. */
const clocks = fc.array(fc.bigInt(0n, LARGEST_SKEW_FS), { minLength: 3, maxLength: 3 });

function played(limit: WindowLimit, aheads: readonly bigint[], happenings: readonly Event[], mayCostMore: boolean): Books {
  const counts = { writes: 0, granted: 0, denied: 0, settled: 0, ended: 0 };
  const books: Books = { limit, stored: undefined, charged: new Map(), leases: [], last: new Map(), counts };
  const writers = aheads.map((aheadFs): Writer => ({ aheadFs, seen: undefined }));
  let timeFs = BigInt(FIRST_MS) * FS_PER_MS;
  for (const { passesMs, writer: at, costs, settlements, settlesFirst } of happenings) {
    timeFs += BigInt(passesMs) * FS_PER_MS;
    const writer = writers[at]!;
    const uses = costs.map((cost): Operation => ({ kind: 'use', nowFs: timeFs + writer.aheadFs, cost }));
    const chosen = new Map(
      settlements.flatMap(({ lease, to }) => {
        const one = books.leases[lease % books.leases.length];
        return one === undefined || (to > one.charged && !mayCostMore) ? [] : [[one, to - one.charged] as const];
      }),
    );
    const settles = [...chosen].map(([lease, tokens]): Operation => ({ kind: 'settle', lease, tokens }));
    const before = books.counts.writes;
    decide(books, writer, settlesFirst ? [...settles, ...uses] : [...uses, ...settles]);
    // A write that fails shows the truth, and nobody comes between: what then is sent fails no more.
    expect(books.counts.writes - before).toBeLessThanOrEqual(1 + uses.length + settles.length);
  }
  return books;
}

describe.each([{ limit: quota }, { limit: session }])(
  'writers of one $limit.kind whose clocks differ, crossing its windows,',
  ({ limit }) => {
    it('lose no charge and count none twice: each window holds what was charged in it', () => {
      const total = { granted: 0, denied: 0, settled: 0, ended: 0, windows: 0 };
      fc.assert(
        fc.property(clocks, events, (aheads, happenings) => {
          const { charged, last, counts } = played(limit, aheads, happenings, true);
          expect(last).toEqual(charged);
          for (const key of ['granted', 'denied', 'settled', 'ended'] as const) total[key] += counts[key];
          total.windows += charged.size;
        }),
        { numRuns: 500 },
      );
      // All of it happened, and often.
      expect(Math.min(...Object.values(total))).toBeGreaterThan(100);
    });

    it('never use more than the capacity of a window, when no work costs more than it was charged', () => {
      fc.assert(
        fc.property(clocks, events, (aheads, happenings) => {
          for (const used of played(limit, aheads, happenings, false).charged.values())
            expect(Number(used)).toBeLessThanOrEqual(CAPACITY);
        }),
        { numRuns: 500 },
      );
    });

    it('start each window once, in order, and none before the last has ended by any of their clocks', () => {
      fc.assert(
        fc.property(clocks, events, (aheads, happenings) => {
          const starts = [...played(limit, aheads, happenings, true).last.keys()];
          for (const [index, startFs] of starts.entries()) {
            const before = starts[index - 1];
            if (before !== undefined) expect(startFs).toBeGreaterThanOrEqual(windowEndFs(limit, before));
            if (limit.kind === 'quota') expect(calendarWindow(limit, startFs).startFs).toBe(startFs);
          }
        }),
        { numRuns: 500 },
      );
    });
  },
);
