/**
 * When which entry of a schedule is in force. Pure arithmetic over cron expressions: an entry is in force in every minute that its expression
 * matches, and the first entry that matches wins.
 *
 *     entry 0   ----|=====|-----------------|=====|--------
 *     entry 1   --------|==========|------------|=========|
 *     in force    -  0    0     1     none    0     1   none
 */
import { Cron } from 'croner';
import { InvalidArgument } from '../errors.js';
import { checkTimeZone } from './calendar.js';

/** What makes an entry match. */
export interface CronTime {
  /** Five fields: minute, hour, day of the month, month, day of the week (0 to 7 or SUN to SAT). `* 9-17 * * 1-5` is business hours. */
  readonly cron: string;
  /** An IANA name. @default 'UTC' */
  readonly timeZone?: string | undefined;
}

/** The entry in force in a span of time. Milliseconds since 1970. */
export interface Period {
  /** Its place in the schedule; undefined: none matches. */
  readonly entry: number | undefined;
  readonly fromMs: number;
  /** The first instant that may be another entry's. */
  readonly untilMs: number;
}

const MINUTE_MS = 60_000;
/** Every time zone is a whole number of these from UTC, now and in the last decades. */
const QUARTER_MS = 15 * MINUTE_MS;
const DAY_MS = 86_400_000;
/** How far ahead boundaries are looked for: a week and a day. */
export const SCHEDULE_HORIZON_MS = 8 * DAY_MS;
const PERIODS_REMEMBERED = 64;
const SCHEDULES_REMEMBERED = 1_000;

const patterns = new Map<string, Cron>();
const periods = new Map<string, readonly Period[]>();

/** Checks one entry's times. Throws `InvalidArgument`. */
export function checkCronTime({ cron, timeZone = 'UTC' }: CronTime, field: string): void {
  const refused = (cause: unknown) =>
    new InvalidArgument({
      field: `${field}.cron`,
      value: cron,
      expected:
        'five fields: minute 0-59, hour 0-23, day of the month 1-31, month 1-12, day of the week 0-7, such as "* 9-17 * * 1-5"',
      cause,
    });
  if (typeof cron !== 'string' || cron.trim().split(/\s+/).length !== 5) throw refused(undefined);
  checkTimeZone(timeZone, `${field}.timeZone`);
  let next: Date | null;
  try {
    next = pattern({ cron, timeZone }).nextRun(new Date(0));
  } catch (error) {
    throw refused(error);
  }
  if (next === null)
    throw new InvalidArgument({ field: `${field}.cron`, value: cron, expected: 'a time that comes: this one never does' });
}

/** The entry in force at an instant, and until when. */
export function periodAt(schedule: readonly CronTime[], atMs: number): Period {
  const id = schedule.map(({ cron, timeZone = 'UTC' }) => `${timeZone} ${cron}`).join('\n');
  const known = periods.get(id) ?? [];
  const found = known.find(({ fromMs, untilMs }) => fromMs <= atMs && atMs < untilMs);
  if (found !== undefined) return found;
  const period = computed(schedule, atMs);
  remembered(periods, id, [period, ...known].slice(0, PERIODS_REMEMBERED));
  return period;
}

/** When the entry that is in force at an instant came into force; at most a week and a day before. */
export function startedAt(schedule: readonly CronTime[], atMs: number): number {
  const { entry, fromMs } = periodAt(schedule, atMs);
  const current = entry === undefined ? undefined : schedule[entry];
  const earliestMs = fromMs - SCHEDULE_HORIZON_MS;
  const ends = schedule.slice(0, entry ?? schedule.length).map((time) => endBefore(time, fromMs));
  return Math.max(current === undefined ? earliestMs : startOfMatch(current, fromMs), ...ends, earliestMs);
}

function startOfMatch(time: CronTime, atMs: number): number {
  const stepMs = isWholeHours(time) ? QUARTER_MS : MINUTE_MS;
  let startMs = Math.floor(atMs / stepMs) * stepMs;
  while (atMs - startMs < SCHEDULE_HORIZON_MS && matches(time, startMs - stepMs)) startMs -= stepMs;
  return startMs;
}

/** The end of the last minute before an instant that an expression matches. */
function endBefore(time: CronTime, ms: number): number {
  const [last] = pattern(time).previousRuns(1, new Date(ms));
  return last === undefined ? Number.NEGATIVE_INFINITY : last.getTime() + MINUTE_MS;
}

function computed(schedule: readonly CronTime[], atMs: number): Period {
  const fromMs = Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
  const matching = schedule.findIndex((time) => matches(time, fromMs));
  const entry = matching === -1 ? undefined : matching;
  const current = entry === undefined ? undefined : schedule[entry];
  const endMs = current === undefined ? fromMs + SCHEDULE_HORIZON_MS : endOfMatch(current, fromMs);
  // Those before it take over as soon as they match; those after it not while it does.
  const starts = schedule.slice(0, entry ?? schedule.length).map((time) => startAfter(time, fromMs));
  return { entry, fromMs, untilMs: Math.min(endMs, ...starts) };
}

function endOfMatch(time: CronTime, fromMs: number): number {
  const stepMs = isWholeHours(time) ? QUARTER_MS : MINUTE_MS;
  let atMs = Math.floor(fromMs / stepMs) * stepMs + stepMs;
  while (atMs - fromMs < SCHEDULE_HORIZON_MS && matches(time, atMs)) atMs += stepMs;
  return atMs;
}

/** Whether the minute makes no difference. */
const isWholeHours = ({ cron }: CronTime): boolean => /^\s*(\*|\*\/1|0-59)\s/.test(cron);

function startAfter(time: CronTime, ms: number): number {
  const next = pattern(time).nextRun(new Date(ms))?.getTime() ?? Number.POSITIVE_INFINITY;
  return Math.min(next, ms + SCHEDULE_HORIZON_MS);
}

const matches = (time: CronTime, ms: number): boolean => pattern(time).match(new Date(ms));

function pattern({ cron, timeZone = 'UTC' }: CronTime): Cron {
  const id = `${timeZone} ${cron}`;
  const known = patterns.get(id);
  if (known !== undefined) return known;
  const made = new Cron(cron, { timezone: timeZone, paused: true, mode: '5-part' });
  remembered(patterns, id, made);
  return made;
}

/** So many schedules are never changed by one process; if they are, it begins anew. */
function remembered<V>(map: Map<string, V>, id: string, value: V): void {
  if (map.size >= SCHEDULES_REMEMBERED) map.clear();
  map.set(id, value);
}
