import { fc, it as property } from '@fast-check/vitest';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { scheduledWaitFs } from '../../lib/core/coming-forms.js';
import { admits, judge, rescaleWrites } from '../../lib/core/decision.js';
import { inForce } from '../../lib/core/forms.js';
import { Limit, rateOf } from '../../lib/core/limit.js';
import type { Stored } from '../../lib/core/standing.js';
import { FS_PER_MS } from '../../lib/core/time.js';
import { CostExceedsCapacity } from '../../lib/errors.js';
import { eachStore, START_MS, type StoreUnderTest, type TestBed } from '../support/stores.js';
import { VirtualClock } from '../support/virtual-time.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const on = { entity: 'key-123', resource: 'gpt-4' };

/** The clock starts at 08:00 UTC on a Friday. */
describe.each(eachStore)('scheduled limits on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let clock: VirtualClock;
  beforeEach(async () => {
    clock = new VirtualClock();
    bed = await fresh(clock);
  });
  const tried = (consume: Record<string, number>, limits: readonly Limit[], more = {}) =>
    bed.limiter().tryAcquire({ ...on, consume, limits, ...more });
  const waitOf = async (consume: Record<string, number>, limits: readonly Limit[]) => {
    const outcome = await tried(consume, limits);
    return outcome.granted ? 0 : outcome.denial.retryAfterMs;
  };

  it('change at their boundaries, minute-exact, for a process that goes on', async () => {
    const limits = [Limit.perMinute('rpm', 10, { schedule: [{ cron: '* 9 * * *', scale: 3 }] })];
    const limiter = bed.limiter();
    const count = async () => {
      let granted = 0;
      while ((await limiter.tryAcquire({ ...on, consume: { rpm: 1 }, limits })).granted) granted += 1;
      return granted;
    };
    expect(await count()).toBe(10);
    bed.clock.advance(HOUR - 1);
    expect(await count()).toBe(10);
    bed.clock.advance(1);
    // The share in use stays: it was all of 10, and is all of 30.
    expect(await count()).toBe(0);
    bed.clock.advance(MINUTE);
    expect(await count()).toBe(30);
    bed.clock.advance(HOUR);
    expect(await count()).toBe(10);
  });

  it('have a status of the form in force, whole or in shards, and say until when', async () => {
    const schedule = [
      { cron: '* 9 * * *', scale: 3 },
      { cron: '* 22-23 * * 5', timeZone: 'Asia/Tokyo', capacity: 4 },
    ];
    await bed
      .admin()
      .setLimits({ resource: 'gpt-4' }, [Limit.perMinute('rpm', 40, { schedule }), Limit.perDay('rpd', 8)], { shards: 4 });
    const status = async () => (await bed.limiter().status(on)).limits.map(({ capacity, form }) => ({ capacity, form }));

    expect(await status()).toEqual([
      { capacity: 40, form: { entry: null, until: '2027-01-15T09:00:00.000Z' } },
      { capacity: 8, form: undefined },
    ]);
    bed.clock.advance(HOUR);
    expect((await status())[0]).toEqual({ capacity: 120, form: { entry: schedule[0], until: '2027-01-15T10:00:00.000Z' } });
    bed.clock.advance(4 * HOUR);
    expect((await status())[0]).toEqual({ capacity: 4, form: { entry: schedule[1], until: '2027-01-15T15:00:00.000Z' } });
  });

  it('say that no other form comes into force where that is more than eight days ahead', async () => {
    const limits = [Limit.perMinute('rpm', 40, { schedule: [{ cron: '* * 1 7 *', scale: 3 }] })];

    expect((await bed.limiter().status({ ...on, limits })).limits[0]?.form).toEqual({ entry: null, until: null });
  });

  it('deny what is too large for now until they are larger, and wait for that', async () => {
    const limits = [Limit.perMinute('rpm', 10, { schedule: [{ cron: '* 9 * * *', scale: 10 }] })];
    expect(await waitOf({ rpm: 50 }, limits)).toBe(HOUR);
    expect(await bed.limiter().timeUntilAvailable({ ...on, limits, needed: { rpm: 50 } })).toBe(HOUR);

    expect((await clock.drive(tried({ rpm: 50 }, limits, { maxWaitMs: 2 * HOUR }))).granted).toBe(true);
    expect(clock.elapsedMs).toBe(HOUR);
    await expect(tried({ rpm: 101 }, limits)).rejects.toThrow(CostExceedsCapacity);
  });

  it('state waits that walk the boundary where the refill becomes faster', async () => {
    // One a minute until nine, then sixty: a full minute's worth a second.
    const faster = { cron: '* 9 * * *', refillAmount: 60 };
    const limits = [Limit.perMinute('rpm', 1, { burst: 120, schedule: [faster] })];
    expect((await tried({ rpm: 120 }, limits)).granted).toBe(true);
    // 60 come back until nine; half is there, and 30 more take 30 s.
    expect(await waitOf({ rpm: 60 }, limits)).toBe(HOUR);
    expect(await waitOf({ rpm: 90 }, limits)).toBe(HOUR + 30 * SECOND);
    bed.clock.advance(HOUR + 30 * SECOND - 1);
    expect((await tried({ rpm: 90 }, limits)).granted).toBe(false);
    bed.clock.advance(1);
    expect((await tried({ rpm: 90 }, limits)).granted).toBe(true);
  });

  it('of calendar quotas and slots change as well', async () => {
    const quota = [Limit.quota('usd', 100, { per: 'day', schedule: [{ cron: '* 9-23 * * *', capacity: 150 }] })];
    expect((await tried({ usd: 100 }, quota)).granted).toBe(true);
    expect(await waitOf({ usd: 40 }, quota)).toBe(HOUR);
    expect(await waitOf({ usd: 60 }, quota)).toBe(16 * HOUR);
    const slots = [Limit.concurrent('inflight', 1, { leaseMs: 4 * HOUR, schedule: [{ cron: '* 9 * * *', capacity: 2 }] })];
    expect((await tried({ inflight: 1 }, slots)).granted).toBe(true);
    expect(await waitOf({ inflight: 1 }, slots)).toBe(HOUR);
  });

  it('let nobody queue beyond a boundary: whoever would wait longer asks again then', async () => {
    const limits = [Limit.perHour('rph', 10, { schedule: [{ cron: '* 9-23 * * *', scale: 2 }] })];
    expect((await tried({ rph: 10 }, limits)).granted).toBe(true);
    const limiter = bed.limiter();
    const started = (rph: number) =>
      limiter.acquire({ ...on, consume: { rph }, limits, maxWaitMs: 3 * HOUR }).then(() => clock.elapsedMs);
    const first = started(5);
    await vi.waitFor(() => expect(clock.asleep).toBe(1));
    const second = started(13);
    await vi.waitFor(() => expect(clock.asleep).toBe(2));
    // Half an hour for the first. At nine o'clock half is in use, of twice as much: of 13 tokens 3 are missing, which take nine minutes.
    expect(await clock.drive(Promise.all([first, second]))).toEqual([30 * MINUTE, 69 * MINUTE]);
  });

  it('are stored, cached and bypassed as any other', async () => {
    const admin = bed.admin();
    const limits = [Limit.perMinute('rpm', 10, { schedule: [{ cron: '* 9 * * *', scale: 3 }] })];
    await admin.setLimits({ system: true }, limits, { shards: 2 });
    expect(await admin.getLimits({ system: true })).toEqual(limits);
    const limiter = bed.limiter();
    expect(await limiter.available(on)).toEqual({ rpm: 10 });
    bed.clock.advance(HOUR);
    expect(await limiter.available(on)).toEqual({ rpm: 30 });
  });
});

/** Of the minutes of an hour, which entries match; the schedule of a limit whose amounts jump about. */
const schedules = fc.array(
  fc.record({
    cron: fc
      .tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 9 }))
      .map(([from, for_]) => `${from}-${from + for_} * * * *`),
    capacity: fc.integer({ min: 1, max: 200 }),
    refillAmount: fc.integer({ min: 1, max: 200 }),
  }),
  { minLength: 1, maxLength: 3 },
);

property.prop(
  [
    schedules,
    fc.integer({ min: 1, max: 100 }),
    fc.double({ min: 0, max: 3, noNaN: true }),
    fc.integer({ min: 1, max: 100 }),
    fc.array(fc.integer({ min: 1, max: 1_800 }), { maxLength: 8 }),
  ],
  {
    numRuns: 300,
  },
)(
  'a stated wait holds, whoever asks in between and writes the bucket under the forms of then',
  (schedule, amount, used, cost, asksAfterS) => {
    const limit = Limit.perMinute('rpm', amount, { schedule });
    const now = BigInt(START_MS) * FS_PER_MS;
    const form = (atFs: bigint) => inForce(limit, Number(atFs / FS_PER_MS));
    const { windowFs } = rateOf(form(now));
    const position = { fullAtFs: now + BigInt(Math.floor(used * 1_000)) * (windowFs / 1_000n), windowFs };
    let stored: Stored = { positions: new Map([['rpm', position]]), uses: new Map(), slots: new Map() };
    const waitFs = scheduledWaitFs({ limit: form(now), cost, share: 1 }, stored, now);
    const until = now + waitFs;
    if (waitFs > 24n * 3_600_000n * FS_PER_MS) return;

    let atFs = now;
    for (const seconds of asksAfterS) {
      atFs += BigInt(seconds) * 1_000n * FS_PER_MS;
      if (atFs >= until) break;
      const writes = rescaleWrites([{ limit: form(atFs), cost: 0 }], stored, atFs);
      const [write] = writes ?? [];
      if (write?.branch.kind !== 'replace') continue;
      stored = { ...stored, positions: new Map([['rpm', { fullAtFs: write.branch.fullAtFs, windowFs: write.windowFs }]]) };
    }

    expect(admits(judge([{ limit: form(until), cost }], stored, until))).toBe(true);
  },
);
