import { describe, expect, it } from 'vitest';
import { formAt, inForce } from '../../lib/core/forms.js';
import { Limit } from '../../lib/core/limit.js';
import { type CronTime, periodAt } from '../../lib/core/schedule.js';
import { shardsOf } from '../../lib/core/shards.js';

const at = (iso: string) => Date.parse(iso);
const iso = (ms: number) => new Date(ms).toISOString();
/** 0 to 9 and 17 to 24 o'clock, and the weekend, are outside. */
const BUSINESS: CronTime = { cron: '* 9-16 * * 1-5', timeZone: 'Europe/Berlin' };

describe('the entry of a schedule in force', () => {
  it.each([
    // Monday, 23 November 2026: Berlin is an hour ahead.
    { when: '2026-11-23T07:59:59.999Z', entry: undefined, until: '2026-11-23T08:00:00.000Z' },
    { when: '2026-11-23T08:00:00.000Z', entry: 0, until: '2026-11-23T16:00:00.000Z' },
    { when: '2026-11-23T15:59:59.999Z', entry: 0, until: '2026-11-23T16:00:00.000Z' },
    { when: '2026-11-27T16:00:00.000Z', entry: undefined, until: '2026-11-30T08:00:00.000Z' },
    // The clocks go forward on 28 March 2027, and back on 31 October 2027.
    { when: '2027-03-26T16:00:00.000Z', entry: undefined, until: '2027-03-29T07:00:00.000Z' },
    { when: '2027-10-29T15:00:00.000Z', entry: undefined, until: '2027-11-01T08:00:00.000Z' },
  ])('of business hours in Berlin at $when is $entry until $until', ({ when, entry, until }) => {
    const period = periodAt([BUSINESS], at(when));
    expect([period.entry, iso(period.untilMs)]).toEqual([entry, until]);
  });

  it('is the first that matches, minute by minute', () => {
    const schedule: CronTime[] = [{ cron: '30-34 12 * * *' }, { cron: '* 12 * * *' }];
    const steps: [number | undefined, string][] = [];
    for (let ms = at('2026-11-23T11:00:00Z'); steps.length < 5; ) {
      const { entry, untilMs } = periodAt(schedule, ms);
      steps.push([entry, iso(untilMs).slice(11, 16)]);
      ms = untilMs;
    }
    expect(steps).toEqual([
      [undefined, '12:00'],
      [1, '12:30'],
      [0, '12:35'],
      [1, '13:00'],
      [undefined, '12:00'],
    ]);
  });

  it('is what every single minute says, also where clocks change', () => {
    const schedules: CronTime[][] = [
      [
        { cron: '15-44 0-3 * * *', timeZone: 'Europe/Berlin' },
        { cron: '* 2 * * *', timeZone: 'Australia/Lord_Howe' },
      ],
      [
        { cron: '*/7 * * 3,10 SUN', timeZone: 'Europe/Berlin' },
        { cron: '* 22-23 * * *', timeZone: 'Asia/Kathmandu' },
      ],
    ];
    for (const schedule of schedules) {
      // Two days around each change of Berlin's clocks.
      for (const start of ['2027-03-27T00:00:00Z', '2027-10-30T00:00:00Z']) {
        let { entry, untilMs } = periodAt(schedule, at(start));
        for (let ms = at(start); ms < at(start) + 2 * 86_400_000; ms += 60_000) {
          if (ms >= untilMs) ({ entry, untilMs } = periodAt(schedule, ms));
          const alone = schedule.findIndex((time) => periodAt([time], ms).entry === 0);
          expect([iso(ms), entry]).toEqual([iso(ms), alone === -1 ? undefined : alone]);
        }
      }
    }
  });
});

describe('a scheduled limit', () => {
  const night = { cron: '* 0-5 * * *' };
  const day = at('2026-11-23T12:00:00Z');
  const dark = at('2026-11-23T03:00:00Z');

  it('takes scaled amounts, rounded down and at least 1, or those it is given', () => {
    const halved = Limit.perMinute('rpm', 61, { burst: 1, schedule: [{ ...night, scale: 0.5 }] });
    expect(inForce(halved, dark)).toEqual({ ...Limit.perMinute('rpm', 30, { burst: 1 }) });
    expect(inForce(halved, day)).toEqual({ ...Limit.perMinute('rpm', 61, { burst: 1 }) });
    const given = Limit.perMinute('rpm', 60, { schedule: [{ ...night, capacity: 500, refillAmount: 7 }] });
    expect(inForce(given, dark)).toEqual({ ...Limit.perMinute('rpm', 7, { burst: 500 }) });
    const quota = Limit.quota('usd', 100, { per: 'day', schedule: [{ ...night, capacity: 5 }] });
    expect([inForce(quota, dark).capacity, inForce(quota, day).capacity]).toEqual([5, 100]);
    const slots = Limit.concurrent('inflight', 20, { leaseMs: 1_000, schedule: [{ ...night, scale: 0.01 }] });
    expect([inForce(slots, dark).capacity, inForce(slots, day).capacity]).toEqual([1, 20]);
  });

  it('comes back from a record as it was, and is the same form each time', () => {
    const limit = Limit.perMinute('rpm', 60, { schedule: [{ ...night, timeZone: 'Asia/Tokyo', scale: 2 }] });
    expect(JSON.parse(JSON.stringify(limit)).schedule).toEqual([{ ...night, timeZone: 'Asia/Tokyo', scale: 2 }]);
    expect(inForce(limit, dark)).toBe(inForce(limit, dark + 60_000));
    const { untilMs } = formAt(limit, day)!;
    expect(iso(untilMs)).toBe('2026-11-23T15:00:00.000Z');
  });

  it('is divided over shards in each of its forms', () => {
    const limit = Limit.perMinute('rpm', 60, { schedule: [{ ...night, capacity: 7 }] });
    const byDay = shardsOf(inForce(limit, day), 4);
    const byNight = shardsOf(inForce(limit, dark), 4);
    expect([byDay, byNight].map((shards) => shards.map(({ capacity }) => capacity))).toEqual([
      [15, 15, 15, 15],
      [2, 2, 2, 1],
    ]);
    expect(byDay.map((shard) => inForce(shard, dark))).toEqual(byNight);
    expect(inForce(byNight[3]!, day)).toBe(byDay[3]);
  });

  it.each([
    { schedule: [], field: 'options.schedule', says: 'a list of 1 to 16 entries' },
    { schedule: [{ cron: '* * * *', scale: 1 }], field: 'schedule[0].cron', says: 'five fields' },
    { schedule: [{ cron: '60 * * * *', scale: 1 }], field: 'schedule[0].cron', says: 'five fields' },
    { schedule: [{ cron: '0 0 31 2 *', scale: 1 }], field: 'schedule[0].cron', says: 'never' },
    { schedule: [{ ...night, timeZone: 'Mars/Olympus', scale: 1 }], field: 'schedule[0].timeZone', says: 'zone' },
    { schedule: [{ ...night, scale: 0 }], field: 'schedule[0].scale', says: 'above 0' },
    { schedule: [night], field: 'schedule[0]', says: 'scale, or with capacity' },
    { schedule: [{ ...night, scale: 1, capacity: 1 }], field: 'schedule[0]', says: 'not with both' },
    { schedule: [night, { ...night, capacity: 0 }].slice(1), field: 'schedule[0].capacity', says: 'from 1 to' },
    { schedule: [{ ...night, scale: 1, every: 'day' }], field: 'schedule[0].every', says: 'left out' },
  ])('refuses $schedule, and names $field', ({ schedule, field, says }) => {
    const made = () => Limit.perMinute('rpm', 60, { schedule });
    expect(made).toThrow(field.replace('options.', ''));
    expect(made).toThrow(says);
  });

  it('is refused fields that its kind has not', () => {
    const schedule = [{ ...night, refillAmount: 5 }];
    expect(() => Limit.quota('usd', 100, { per: 'day', schedule })).toThrow('schedule[0].refillAmount');
  });
});
