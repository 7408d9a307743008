/** What a limit is at other times: the entries of its schedule, and what each makes of it. */
import { InvalidArgument } from '../errors.js';
import type { Limit } from './limit.js';
import { type CronTime, checkCronTime } from './schedule.js';

/**
 * What a limit is while a cron expression matches: scaled, or with other amounts. The first entry of a schedule that matches is in force, minute by
 * minute; where none does, the limit stands as it is.
 */
export interface ScheduleEntry extends CronTime {
  /** Capacity and refill are multiplied, rounded down, at least 1; above 0, up to 1,000,000. Instead of amounts. */
  readonly scale?: number | undefined;
  readonly capacity?: number | undefined;
  /** Of a token bucket. */
  readonly refillAmount?: number | undefined;
  readonly refillPeriodMs?: number | undefined;
}

const MOST_ENTRIES = 16;
const MOST_SCALE = 1_000_000;
const AMOUNTS = ['capacity', 'refillAmount', 'refillPeriodMs'] as const;
const FIELDS: readonly string[] = ['cron', 'timeZone', 'scale', ...AMOUNTS];

/** A schedule from outside, checked but for its amounts, which are the limit's to check. Throws `InvalidArgument`. */
export function checkedSchedule(value: unknown, at: string): readonly ScheduleEntry[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_ENTRIES)
    throw new InvalidArgument({
      field: at,
      value,
      expected: `a list of 1 to ${MOST_ENTRIES} entries { cron, timeZone?, scale | capacity … }`,
    });
  return Object.freeze(value.map((entry: unknown, index) => checkedEntry(entry, `${at}[${index}]`)));
}

function checkedEntry(value: unknown, at: string): ScheduleEntry {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidArgument({ field: at, value, expected: 'an object { cron, timeZone?, scale | capacity … }' });
  const entry = Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as unknown as ScheduleEntry;
  for (const [field, one] of Object.entries(entry)) {
    if (!FIELDS.includes(field))
      throw new InvalidArgument({
        field: `${at}.${field}`,
        value: one,
        expected: `left out: the known fields are ${FIELDS.join(', ')}`,
      });
  }
  checkCronTime(entry, at);
  const { scale } = entry;
  const amounts = AMOUNTS.filter((field) => entry[field] !== undefined);
  if ((scale === undefined) === (amounts.length === 0))
    throw new InvalidArgument({
      field: at,
      value,
      expected: 'an entry with scale, or with capacity and the like, and not with both',
    });
  if (scale !== undefined && !(typeof scale === 'number' && scale > 0 && scale <= MOST_SCALE))
    throw new InvalidArgument({ field: `${at}.scale`, value: scale, expected: `a number above 0, up to ${MOST_SCALE}` });
  return Object.freeze(entry);
}

/** The fields of a limit while an entry is in force; of an empty one: while none is. */
export function formFields(scheduled: Limit, entry: Partial<ScheduleEntry>): Record<string, unknown> {
  const { schedule: _, ...limit } = scheduled;
  const { scale, capacity, refillAmount, refillPeriodMs } = entry;
  if (scale === undefined) {
    const amounts = Object.entries({ capacity, refillAmount, refillPeriodMs }).filter(([, amount]) => amount !== undefined);
    return { ...limit, ...Object.fromEntries(amounts) };
  }
  const scaled = (amount: number) => Math.max(1, Math.floor(amount * scale));
  return {
    ...limit,
    capacity: scaled(limit.capacity),
    ...(limit.kind === 'bucket' && { refillAmount: scaled(limit.refillAmount) }),
  };
}
