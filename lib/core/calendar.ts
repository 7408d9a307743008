import { InvalidArgument } from '../errors.js';

/** Days or months of a time zone. */
export interface Calendar {
  readonly per: 'day' | 'month';
  /** An IANA name, in any case: `Europe/Paris`, `UTC`. */
  readonly timeZone: string;
}

/** One day or month: every instant from the first of this window to before the first of the next. Femtoseconds since the epoch. */
export interface CalendarWindow {
  readonly startFs: bigint;
  readonly nextFs: bigint;
}

/** A time zone's clock, and the windows it was asked for last. */
interface Zone {
  readonly clock: Intl.DateTimeFormat;
  readonly latest: { day: CalendarWindow | undefined; month: CalendarWindow | undefined };
}

// Not imported from limit.ts, which checks the time zones of its limits here.
const FS_PER_MS = 1_000_000_000_000n;
const SECOND_MS = 1_000;
/** More than any clock is ahead of UTC (14 hours since 1970). */
const FURTHEST_AHEAD_MS = 16 * 3_600_000;
/** There are about 600 time zones; names in other cases count as their own, so that there has to be an end to them. */
const MOST_ZONES = 1_000;

const zones = new Map<string, Zone>();

/**
 * The window that contains the instant `nowFs`. Windows follow each other without a gap: the next one starts at `nextFs`. A window starts when
 * the zone's clock first shows its midnight, or is set from before that midnight to after it. It may last 23, 24 1/2 or 25 hours; a day that a
 * zone left out (Apia's 30 December 2011) has none.
 *
 * A second call within the same window costs no look at the zone's rules. Processes whose time zone data differ may disagree where a window
 * starts. From 1970 to the year 9999. Throws `InvalidArgument` when the time zone is not known here.
 */
export function calendarWindow({ per, timeZone }: Calendar, nowFs: bigint): CalendarWindow {
  const zone = zoneOf(timeZone, 'timeZone');
  const latest = zone.latest[per];
  if (latest !== undefined && nowFs >= latest.startFs && nowFs < latest.nextFs) return latest;
  const window = computed(zone.clock, per, wholeMs(nowFs));
  zone.latest[per] = window;
  return window;
}

/** Throws `InvalidArgument`, naming `field`, unless the value is the name of a time zone that is known here. */
export function checkTimeZone(value: unknown, field: string): asserts value is string {
  zoneOf(value, field);
}

function computed(clock: Intl.DateTimeFormat, per: Calendar['per'], nowMs: number): CalendarWindow {
  let shownMs = midnight(per, nowMs + offsetMs(clock, nowMs), 0);
  let startMs = firstShowing(clock, shownMs);
  for (;;) {
    shownMs = midnight(per, shownMs, 1);
    const nextMs = firstShowing(clock, shownMs);
    // Not so where the clock was set back over midnight: it shows the day before once more, but the next window has begun.
    if (nowMs < nextMs) return { startFs: BigInt(startMs) * FS_PER_MS, nextFs: BigInt(nextMs) * FS_PER_MS };
    startMs = nextMs;
  }
}

/** The midnight, as a clock shows it, at which the day or month of `shownMs` began, or that of the day or month `later`. */
function midnight(per: Calendar['per'], shownMs: number, later: 0 | 1): number {
  const shown = new Date(shownMs);
  const [year, month] = [shown.getUTCFullYear(), shown.getUTCMonth()];
  return per === 'day' ? Date.UTC(year, month, shown.getUTCDate() + later) : Date.UTC(year, month + later);
}

/**
 * The first instant at which the clock shows `shownMs` or later. What a clock shows is written as the milliseconds at which UTC shows the same.
 * A clock runs like time itself, but for the instants at which it is set; so it gets to `shownMs` as its present offset says, or it is set before:
 *
 *               never set               set forwards over it    set back after it       set back before it
 *     clock                  .'                    |.'                   .|     .'                     .'
 *     shownMs   - - - - - -.'- - -      - - - - - -|- - -       - - - -.'-|- -.'- -     - - - - - - -.'- -
 *                        .'                       .|                 .'   | .'               .|    .'
 *                      .'                       .'                 .'     |'               .' |  .'
 *     instants  -----------^----->      -----------^----->      -------^---------->     -------------^---->
 *
 * The zone's rules are asked for single offsets. That finds every change as long as a clock is not set twice within 28 hours to show at last
 * what it would have shown unset: none was since 1970.
 */
function firstShowing(clock: Intl.DateTimeFormat, shownMs: number): number {
  let fromMs = shownMs - FURTHEST_AHEAD_MS;
  for (;;) {
    const offset = offsetMs(clock, fromMs);
    const reachedMs = shownMs - offset;
    if (offsetMs(clock, reachedMs) === offset) return reachedMs;
    fromMs = firstSet(clock, fromMs, reachedMs);
    if (fromMs + offsetMs(clock, fromMs) >= shownMs) return fromMs;
  }
}

/** The instant, after `fromMs` and not after `toMs`, at which the clock was set: its offset changed, at a whole second. */
function firstSet(clock: Intl.DateTimeFormat, fromMs: number, toMs: number): number {
  const before = offsetMs(clock, fromMs);
  let [low, high] = [fromMs, toMs];
  while (high - low > SECOND_MS) {
    const middle = low + Math.floor((high - low) / 2 / SECOND_MS) * SECOND_MS;
    if (offsetMs(clock, middle) === before) low = middle;
    else high = middle;
  }
  return high;
}

/** How far the clock is ahead of UTC; whole seconds. */
function offsetMs(clock: Intl.DateTimeFormat, atMs: number): number {
  const wholeSecondMs = Math.floor(atMs / SECOND_MS) * SECOND_MS;
  const shown: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of clock.formatToParts(wholeSecondMs)) shown[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = shown;
  return Date.UTC(year, month - 1, day, hour, minute, second) - wholeSecondMs;
}

function zoneOf(timeZone: unknown, field: string): Zone {
  const known = zones.get(timeZone as string);
  if (known !== undefined) return known;
  const zone: Zone = { clock: clockOf(timeZone, field), latest: { day: undefined, month: undefined } };
  if (zones.size >= MOST_ZONES) zones.clear();
  zones.set(timeZone as string, zone);
  return zone;
}

function clockOf(timeZone: unknown, field: string): Intl.DateTimeFormat {
  const unknown = (cause?: unknown) =>
    new InvalidArgument({ field, value: timeZone, expected: 'an IANA time zone such as Europe/Paris', cause });
  // Left out, it would be this machine's zone; an offset such as +01:00 is known to some versions of Node only.
  if (typeof timeZone !== 'string' || /^[+-]/.test(timeZone)) throw unknown();
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch (cause) {
    throw unknown(cause);
  }
}

/** Milliseconds since the epoch, rounded down. */
function wholeMs(fs: bigint): number {
  const ms = Number(fs / FS_PER_MS);
  return fs % FS_PER_MS < 0n ? ms - 1 : ms;
}
