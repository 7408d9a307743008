/** Random programs over quotas and sessions, each run against a limiter and against a ledger beside it. */
import { expect } from 'vitest';
import { FakeClock, nowMs } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import type { Lease } from '../../lib/lease.js';
import type { RateLimiter } from '../../lib/limiter.js';
import type { StoreUnderTest } from '../support/stores.js';
import { seeded } from '../support/virtual-time.js';
import { type LedgerLimit, QuotaLedger } from './quota-ledger.js';

/** A few hours before something happens to a calendar. */
const STARTS = [
  '2026-03-28T20:00:00Z', // Summer time in Europe.
  '2026-10-24T20:00:00Z', // And its end.
  '2026-03-07T22:00:00Z', // Summer time in North America.
  '2026-10-31T22:00:00Z', // And its end, which is a month's end in some zones.
  '2027-02-28T09:00:00Z', // No leap day.
  '2028-02-28T09:00:00Z', // A leap day.
  '2099-12-31T09:00:00Z', // A new century, whose first year has no leap day.
  '2026-04-30T09:00:00Z', // A month of 30 days, and the end of summer time in the south a month before.
  '2026-12-31T09:00:00Z', // A new year.
  '2026-04-04T09:00:00Z', // The end of summer time in Australia and Chile, in Chile at midnight.
  '2026-09-05T20:00:00Z', // And its start: a day in Chile that begins at 01:00.
  '2011-12-29T09:00:00Z', // The day that Samoa left out.
];
const ZONES = [
  'UTC',
  'Europe/Paris',
  'America/New_York',
  'America/St_Johns',
  'Australia/Lord_Howe',
  'America/Santiago',
  'Asia/Kathmandu',
  'Pacific/Kiritimati',
  'Pacific/Apia',
  'Antarctica/Troll',
];
const PROCESSES = 3;
const STEPS = 12;
const HOUR_MS = 3_600_000;
/** For so long a process repeats a denial, whatever other processes do meanwhile. */
const REMEMBERED_MS = 250;

/** How often each thing happened: so that a program that does nothing proves nothing. */
export interface Seen {
  granted: number;
  denied: number;
  /** Settlements, adjustments and releases. */
  settled: number;
  /** Of these: after the window of one of the charges had ended. */
  settledLate: number;
  /** Jumps in time to a window's last millisecond, its end, or the one after. */
  edges: number;
}

export const nothingSeen = (): Seen => ({ granted: 0, denied: 0, settled: 0, settledLate: 0, edges: 0 });

interface Held {
  lease: Lease;
  /** The process that settles it. */
  by: RateLimiter;
  readonly charges: ReturnType<QuotaLedger['admit']>;
}

export async function runProgram(seed: number, { fresh }: Pick<StoreUnderTest, 'fresh'>, seen: Seen): Promise<void> {
  const random = seeded(seed);
  const whole = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  const oneOf = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

  const clock = new FakeClock(Date.parse(oneOf(STARTS)) + whole(0, 12 * HOUR_MS));
  const kinds: LedgerLimit[] = [
    { name: 'day', capacity: whole(1, 20), per: 'day', timeZone: oneOf(ZONES) },
    { name: 'month', capacity: whole(1, 60), per: 'month', timeZone: oneOf(ZONES) },
    { name: 'session', capacity: whole(1, 20), everyMs: oneOf([1_000, 5 * HOUR_MS, 30 * HOUR_MS]) },
  ];
  const ledgerLimits = kinds.filter(() => random() < 0.6);
  if (ledgerLimits.length === 0) ledgerLimits.push(kinds[0]!);
  const limits = ledgerLimits.map((limit) =>
    'everyMs' in limit
      ? Limit.window(limit.name, limit.capacity, { everyMs: limit.everyMs })
      : Limit.quota(limit.name, limit.capacity, { per: limit.per, timeZone: limit.timeZone }),
  );
  const ledger = new QuotaLedger(ledgerLimits);
  const bed = await fresh(clock);
  const limiters = Array.from({ length: PROCESSES }, () => bed.limiter());
  const deniedAtMs = new Map<RateLimiter, number>();
  const subject = { entity: 'key-123', resource: 'gpt-4', limits };
  const held: Held[] = [];

  const consume = () =>
    Object.fromEntries(
      ledgerLimits.map((limit) => [limit.name, whole('everyMs' in limit ? 1 : 0, Math.min(limit.capacity, oneOf([3, 8, 60])))]),
    );

  function book(by: RateLimiter, lease: Lease, costs: Record<string, number>): void {
    held.push({ lease, by, charges: ledger.admit(costs, nowMs(clock)) });
    expect(lease.charged).toEqual(costs);
    seen.granted += 1;
  }

  /** What another process does now is no news to one that remembers a denial. */
  function outliveDenials(by: RateLimiter | undefined): void {
    for (const [other, atMs] of deniedAtMs) {
      if (other !== by && nowMs(clock) < atMs + REMEMBERED_MS) clock.advance(REMEMBERED_MS);
    }
  }

  async function acquire(limiter: RateLimiter): Promise<void> {
    outliveDenials(limiter);
    const costs = consume();
    const waitMs = ledger.waitMs(costs, nowMs(clock));
    const outcome = await limiter.tryAcquire({ ...subject, consume: costs });
    if (outcome.granted) {
      expect(waitMs).toBe(0);
      book(limiter, outcome.lease, costs);
      return;
    }
    expect(outcome.denial.retryAfterMs).toBe(waitMs);
    deniedAtMs.set(limiter, nowMs(clock));
    seen.denied += 1;
  }

  /** Several callers of all processes at once, for the same. */
  async function burst(): Promise<void> {
    outliveDenials(undefined);
    const costs = consume();
    const outcomes = await Promise.all(limiters.map((limiter) => limiter.tryAcquire({ ...subject, consume: costs })));
    for (const [index, outcome] of outcomes.entries()) {
      if (!outcome.granted) continue;
      expect(ledger.waitMs(costs, nowMs(clock))).toBe(0);
      book(limiters[index]!, outcome.lease, costs);
    }
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.granted) continue;
      expect(outcome.denial.retryAfterMs).toBe(ledger.waitMs(costs, nowMs(clock)));
      deniedAtMs.set(limiters[index]!, nowMs(clock));
      seen.denied += 1;
    }
  }

  /** Settles, adjusts or releases a lease, in the process that holds it or in another. */
  async function settle(limiter: RateLimiter): Promise<void> {
    if (held.length === 0) return;
    const index = whole(0, held.length - 1);
    const one = held[index]!;
    const { id, entity, resource, grants } = one.lease;
    if (random() < 0.5) {
      one.lease = limiter.reopen({ id, entity, resource, grants });
      one.by = limiter;
    }
    outliveDenials(one.by);
    seen.settled += 1;
    if (ledger.ended(one.charges, nowMs(clock))) seen.settledLate += 1;
    const charge = oneOf(one.charges);
    switch (oneOf(['settle', 'settle', 'adjust', 'release'])) {
      case 'settle':
        charge.tokens = whole(0, 25);
        await one.lease.settle({ [charge.limit]: charge.tokens });
        break;
      case 'adjust': {
        const difference = whole(-charge.tokens, 10);
        charge.tokens += difference;
        await one.lease.adjust({ [charge.limit]: difference });
        break;
      }
      default:
        for (const each of one.charges) each.tokens = 0;
        held.splice(index, 1);
        await one.lease.release();
    }
    expect(one.lease.unposted).toBe(0);
  }

  function advance(): void {
    if (random() < 0.6) {
      const toMs = ledger.endMs(oneOf(ledgerLimits), nowMs(clock)) + whole(-1, 1);
      if (toMs > nowMs(clock)) clock.advance(toMs - nowMs(clock));
      seen.edges += 1;
    } else clock.advance(whole(0, oneOf([10, HOUR_MS, 30 * HOUR_MS, 40 * 24 * HOUR_MS, 370 * 24 * HOUR_MS])));
  }

  for (let step = 0; step < STEPS; step += 1) {
    const limiter = oneOf(limiters);
    const what = random();
    if (what < 0.4) await acquire(limiter);
    else if (what < 0.5) await burst();
    else if (what < 0.75) await settle(limiter);
    else advance();
    expect(await oneOf(limiters).available(subject)).toEqual(ledger.available(nowMs(clock)));
  }
}
