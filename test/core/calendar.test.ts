import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Calendar, calendarWindow, checkTimeZone } from '../../lib/core/calendar.js';
import { InvalidArgument } from '../../lib/errors.js';

const FS_PER_MS = 1_000_000_000_000n;
const fs = (iso: string): bigint => BigInt(Date.parse(iso)) * FS_PER_MS;
const ms = (instantFs: bigint): number => Number(instantFs / FS_PER_MS);
/** Without the milliseconds, which are 0 at every start. */
const iso = (instantFs: bigint): string => new Date(ms(instantFs)).toISOString().replace('.000Z', 'Z');
const windowAt = (calendar: Calendar, at: string): readonly [string, string] => {
  const { startFs, nextFs } = calendarWindow(calendar, fs(at));
  return [iso(startFs), iso(nextFs)];
};

describe('the day that contains an instant', () => {
  it.each([
    // Europe/Paris: on 29 March 2026 01:00Z from +1 to +2, on 25 October 01:00Z back.
    ['Europe/Paris', '2026-03-28T22:59:59.999Z', '2026-03-27T23:00:00Z', '2026-03-28T23:00:00Z', 'the day before summer time'],
    ['Europe/Paris', '2026-03-28T23:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z', '23 hours into summer time'],
    ['Europe/Paris', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z', 'after the change'],
    ['Europe/Paris', '2026-10-25T00:30:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z', '25 hours, 02:30 the first time'],
    ['Europe/Paris', '2026-10-25T01:30:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z', '25 hours, 02:30 once more'],
    ['Europe/Paris', '2028-02-29T12:00:00Z', '2028-02-28T23:00:00Z', '2028-02-29T23:00:00Z', 'the leap day'],
    ['Europe/Paris', '2026-12-31T22:59:59Z', '2026-12-30T23:00:00Z', '2026-12-31T23:00:00Z', 'the last second of a year'],
    ['Europe/Paris', '2026-12-31T23:00:00Z', '2026-12-31T23:00:00Z', '2027-01-01T23:00:00Z', 'the first of the next'],
    ['America/New_York', '2026-03-08T12:00:00Z', '2026-03-08T05:00:00Z', '2026-03-09T04:00:00Z', '23 hours'],
    ['America/New_York', '2026-11-01T12:00:00Z', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z', '25 hours'],
    ['America/New_York', '2026-07-04T03:59:59Z', '2026-07-03T04:00:00Z', '2026-07-04T04:00:00Z', 'still the day before there'],
    // Half an hour of summer time.
    ['Australia/Lord_Howe', '2026-04-05T00:00:00Z', '2026-04-04T13:00:00Z', '2026-04-05T13:30:00Z', '24 1/2 hours'],
    ['Australia/Lord_Howe', '2026-10-04T00:00:00Z', '2026-10-03T13:30:00Z', '2026-10-04T13:00:00Z', '23 1/2 hours'],
    ['Asia/Kathmandu', '2026-05-10T12:00:00Z', '2026-05-09T18:15:00Z', '2026-05-10T18:15:00Z', 'quarters of an hour'],
    ['UTC', '2026-05-10T23:59:59.999Z', '2026-05-10T00:00:00Z', '2026-05-11T00:00:00Z', 'UTC'],
    ['UTC', '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '1970-01-02T00:00:00Z', 'the epoch'],
    ['America/New_York', '1970-01-01T00:00:00Z', '1969-12-31T05:00:00Z', '1970-01-01T05:00:00Z', 'the epoch, a day before it'],
    ['Asia/Tokyo', '9999-12-31T23:59:59Z', '9999-12-31T15:00:00Z', '+010000-01-01T15:00:00Z', 'the year 9999'],
    ['Africa/Monrovia', '1971-06-01T12:00:00Z', '1971-06-01T00:44:30Z', '1971-06-02T00:44:30Z', '44 1/2 minutes behind UTC'],
    // Clocks set forwards from midnight: the day starts at 01:00.
    ['America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-11-04T03:00:00Z', '2018-11-05T02:00:00Z', 'no midnight'],
    ['Africa/Cairo', '2026-04-24T12:00:00Z', '2026-04-23T22:00:00Z', '2026-04-24T21:00:00Z', 'no midnight'],
    ['Asia/Beirut', '2026-03-29T12:00:00Z', '2026-03-28T22:00:00Z', '2026-03-29T21:00:00Z', 'no midnight'],
    // Clocks set back from midnight to 23:00: the day has that hour twice.
    ['America/Sao_Paulo', '2019-02-17T02:30:00Z', '2019-02-16T02:00:00Z', '2019-02-17T03:00:00Z', '23:30 once more'],
    ['Africa/Cairo', '2026-10-29T21:30:00Z', '2026-10-28T21:00:00Z', '2026-10-29T22:00:00Z', '23:30 once more'],
    ['Asia/Beirut', '2026-10-24T21:30:00Z', '2026-10-23T21:00:00Z', '2026-10-24T22:00:00Z', '23:30 once more'],
    // Clocks set back from 01:00 to midnight: the first of two midnights.
    ['America/Havana', '2026-11-01T04:30:00Z', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z', '00:30 the first time'],
    ['America/Havana', '2026-11-01T05:30:00Z', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z', '00:30 once more'],
    // Clocks set back from 00:01 to 23:01, and from 02:00 to 23:00: the day before shows once more, but is over.
    ['America/St_Johns', '2010-11-07T02:29:59Z', '2010-11-06T02:30:00Z', '2010-11-07T02:30:00Z', 'the second before midnight'],
    ['America/St_Johns', '2010-11-07T02:30:30Z', '2010-11-07T02:30:00Z', '2010-11-08T03:30:00Z', 'half a minute after it'],
    ['America/St_Johns', '2010-11-07T03:00:00Z', '2010-11-07T02:30:00Z', '2010-11-08T03:30:00Z', '23:30 of the day before'],
    ['America/St_Johns', '2010-11-07T12:00:00Z', '2010-11-07T02:30:00Z', '2010-11-08T03:30:00Z', 'after the second midnight'],
    ['Antarctica/Casey', '2010-03-04T15:30:00Z', '2010-03-04T13:00:00Z', '2010-03-05T16:00:00Z', '23:30 of the day before'],
    // The date line: no 30 December 2011 in Samoa, no 21 August 1993 on Kwajalein.
    ['Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-29T10:00:00Z', '2011-12-30T10:00:00Z', 'the day before the skipped one'],
    ['Pacific/Apia', '2011-12-30T10:00:00Z', '2011-12-30T10:00:00Z', '2011-12-31T10:00:00Z', 'the day after the skipped one'],
    [
      'Pacific/Kwajalein',
      '1993-08-21T12:00:00Z',
      '1993-08-21T12:00:00Z',
      '1993-08-22T12:00:00Z',
      'the day after the skipped one',
    ],
  ])('in %s at %s lasts from %s to %s (%s)', (timeZone, at, start, next) => {
    expect(windowAt({ per: 'day', timeZone }, at)).toEqual([start, next]);
  });
});

describe('the month that contains an instant', () => {
  it.each([
    ['Europe/Paris', '2026-03-15T12:00:00Z', '2026-02-28T23:00:00Z', '2026-03-31T22:00:00Z', 'into summer time'],
    ['Europe/Paris', '2026-10-15T12:00:00Z', '2026-09-30T22:00:00Z', '2026-10-31T23:00:00Z', 'out of summer time'],
    [
      'Europe/Paris',
      '2026-04-30T21:59:59.999Z',
      '2026-03-31T22:00:00Z',
      '2026-04-30T22:00:00Z',
      'the last millisecond of 30 days',
    ],
    ['Europe/Paris', '2026-04-30T22:00:00Z', '2026-04-30T22:00:00Z', '2026-05-31T22:00:00Z', 'the first of 31 days'],
    ['Europe/Paris', '2026-02-10T12:00:00Z', '2026-01-31T23:00:00Z', '2026-02-28T23:00:00Z', '28 days'],
    ['Europe/Paris', '2028-02-10T12:00:00Z', '2028-01-31T23:00:00Z', '2028-02-29T23:00:00Z', '29 days'],
    ['Europe/Paris', '2026-12-31T22:59:59Z', '2026-11-30T23:00:00Z', '2026-12-31T23:00:00Z', 'the end of a year'],
    ['Europe/Paris', '2026-12-31T23:00:00Z', '2026-12-31T23:00:00Z', '2027-01-31T23:00:00Z', 'the start of a year'],
    ['America/New_York', '2026-11-01T05:30:00Z', '2026-11-01T04:00:00Z', '2026-12-01T05:00:00Z', 'a change on the first'],
    ['Asia/Kathmandu', '2026-06-30T18:14:59Z', '2026-05-31T18:15:00Z', '2026-06-30T18:15:00Z', 'quarters of an hour'],
    [
      'Pacific/Apia',
      '2011-12-30T12:00:00Z',
      '2011-12-01T10:00:00Z',
      '2011-12-31T10:00:00Z',
      '30 days and 10 minus 14 hours: a day less',
    ],
    ['UTC', '9999-12-15T00:00:00Z', '9999-12-01T00:00:00Z', '+010000-01-01T00:00:00Z', 'the year 9999'],
    ['UTC', '2100-02-28T12:00:00Z', '2100-02-01T00:00:00Z', '2100-03-01T00:00:00Z', 'a hundredth year is no leap year'],
  ])('in %s at %s lasts from %s to %s (%s)', (timeZone, at, start, next) => {
    expect(windowAt({ per: 'month', timeZone }, at)).toEqual([start, next]);
  });
});

it('belongs to the next window from its first femtosecond on, and not one earlier', () => {
  const calendar: Calendar = { per: 'month', timeZone: 'Europe/Paris' };
  const firstFs = fs('2026-11-30T23:00:00Z');
  expect(calendarWindow(calendar, firstFs - 1n).nextFs).toBe(firstFs);
  expect(calendarWindow(calendar, firstFs).startFs).toBe(firstFs);
});

it('keeps apart what days, months and zones were asked for last', () => {
  const at = '2026-06-15T12:00:00Z';
  const asked = () => [
    windowAt({ per: 'day', timeZone: 'Asia/Tokyo' }, at),
    windowAt({ per: 'month', timeZone: 'Asia/Tokyo' }, at),
    windowAt({ per: 'day', timeZone: 'America/Lima' }, at),
  ];
  const wanted = [
    ['2026-06-14T15:00:00Z', '2026-06-15T15:00:00Z'],
    ['2026-05-31T15:00:00Z', '2026-06-30T15:00:00Z'],
    ['2026-06-15T05:00:00Z', '2026-06-16T05:00:00Z'],
  ];
  expect([asked(), asked()]).toEqual([wanted, wanted]);
});

describe('the rules of a zone', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('are looked at for the first instant of a window, and for no other one in it', () => {
    const calendar: Calendar = { per: 'day', timeZone: 'Europe/Vienna' };
    const looks = vi.spyOn(Intl.DateTimeFormat.prototype, 'formatToParts');
    const { startFs, nextFs } = calendarWindow(calendar, fs('2026-06-15T12:00:00Z'));
    const first = looks.mock.calls.length;
    for (let atFs = startFs; atFs < nextFs; atFs += (nextFs - startFs) / 1_000n) calendarWindow(calendar, atFs);
    expect(looks.mock.calls.length - first).toBe(0);
    calendarWindow(calendar, nextFs);
    expect(looks.mock.calls.length).toBeGreaterThan(first);
  });
});

describe('a time zone that is not known', () => {
  it.each([
    { timeZone: 'Mars/Olympus', shown: '"Mars/Olympus"' },
    { timeZone: '', shown: '""' },
    { timeZone: '+01:00', shown: '"+01:00"' },
    { timeZone: undefined, shown: 'undefined' },
    { timeZone: 3, shown: '3' },
  ])('is refused: $shown', ({ timeZone, shown }) => {
    const calendar = { per: 'day', timeZone } as Calendar;
    expect(() => calendarWindow(calendar, 0n)).toThrow(
      new InvalidArgument({ field: 'timeZone', value: timeZone, expected: 'an IANA time zone such as Europe/Paris' }),
    );
    expect(() => checkTimeZone(timeZone, 'limits[0].timeZone')).toThrow(
      `Expected limits[0].timeZone to be an IANA time zone such as Europe/Paris, got ${shown}`,
    );
  });

  it('is told from one that is, whatever its case', () => {
    checkTimeZone('europe/paris', 'timeZone');
    expect(windowAt({ per: 'day', timeZone: 'europe/paris' }, '2026-06-15T12:00:00Z')).toEqual([
      '2026-06-14T22:00:00Z',
      '2026-06-15T22:00:00Z',
    ]);
  });
});

describe('windows of any zone', () => {
  const calendars = fc.record({
    per: fc.constantFrom('day' as const, 'month' as const),
    timeZone: fc.constantFrom(...Intl.supportedValuesOf('timeZone'), 'UTC'),
  });
  const instantsMs = (least: string, end: string) => fc.integer({ min: Date.parse(least), max: Date.parse(end) - 1 });

  /** The date that a clock there shows, as Swedish writes it: 2026-03-29, or its month 2026-03. */
  const dates = new Map<string, Intl.DateTimeFormat>();
  const shown = ({ per, timeZone }: Calendar, atMs: number): string => {
    const date = dates.get(timeZone) ?? new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' });
    dates.set(timeZone, date);
    return date.format(atMs).slice(0, per === 'day' ? undefined : -3);
  };

  const tiles = (calendar: Calendar, atMs: number, within: bigint): void => {
    const atFs = BigInt(atMs) * FS_PER_MS + within;
    const { startFs, nextFs } = calendarWindow(calendar, atFs);
    expect(startFs <= atFs && atFs < nextFs).toBe(true);
    // The windows on both sides, by their own first and last instants, meet this one.
    expect(calendarWindow(calendar, nextFs).startFs).toBe(nextFs);
    expect(calendarWindow(calendar, startFs - 1n).nextFs).toBe(startFs);
    expect(calendarWindow(calendar, nextFs - 1n)).toEqual({ startFs, nextFs });
    // Each starts when the date is a new one, and not a millisecond later.
    for (const firstFs of [startFs, nextFs]) {
      expect(shown(calendar, ms(firstFs)) > shown(calendar, ms(firstFs) - 1)).toBe(true);
    }
  };

  it('follow each other without gap or overlap, each from a change of the date on', () => {
    fc.assert(fc.property(calendars, instantsMs('1970-01-01', '2040-01-01'), fc.bigInt(0n, FS_PER_MS - 1n), tiles), {
      numRuns: 2_000,
    });
  });

  it('do so until the year 9999', () => {
    fc.assert(fc.property(calendars, instantsMs('2040-01-01', '9999-11-01'), fc.bigInt(0n, FS_PER_MS - 1n), tiles), {
      numRuns: 500,
    });
  });

  it('show one date only, but where a clock was set back over midnight', () => {
    fc.assert(
      fc.property(
        calendars,
        instantsMs('2012-01-01', '2040-01-01'),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true })),
        (calendar, atMs, parts) => {
          const { startFs, nextFs } = calendarWindow(calendar, BigInt(atMs) * FS_PER_MS);
          const spanMs = ms(nextFs - startFs) - 1;
          const shownIn = new Set([0, 1, ...parts].map((part) => shown(calendar, ms(startFs) + Math.round(part * spanMs))));
          expect(shownIn.size).toBe(1);
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    'Africa/Cairo',
    'Africa/Casablanca',
    'America/Asuncion',
    'America/Goose_Bay',
    'America/Havana',
    'America/Santiago',
    'America/Sao_Paulo',
    'Asia/Amman',
    'Asia/Beirut',
    'Asia/Tehran',
  ])('leave out no day from 2010 to 2012 where clocks are set about midnight: %s', (timeZone) => {
    const calendar: Calendar = { per: 'day', timeZone };
    const skipped: string[] = [];
    let [atFs, date, days] = [fs('2010-01-01T12:00:00Z'), '2010-01-01', 0];
    for (; date < '2012-12-31'; days += 1) {
      atFs = calendarWindow(calendar, atFs).nextFs;
      const next = shown(calendar, ms(atFs));
      if (shown(calendar, ms(atFs) - 1) !== date || Date.parse(next) - Date.parse(date) !== 86_400_000) skipped.push(next);
      date = next;
    }
    expect({ skipped, days }).toEqual({ skipped: [], days: 1_095 });
  });
});
