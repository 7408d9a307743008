/** A scheduled limit by time: the forms it takes, and which of them is in force when. */
import type { Limit } from './limit.js';
import { type Period, periodAt, startedAt } from './schedule.js';
import type { ScheduleEntry } from './schedule-entry.js';

interface Scheduled {
  readonly schedule: readonly ScheduleEntry[];
  /** One for each entry of the schedule, and at the end the one of times without any. */
  readonly forms: readonly Limit[];
}

/** A form, and until when it is in force. Milliseconds since 1970. */
export interface FormPeriod {
  readonly limit: Limit;
  /** The entry that makes it; undefined: none matches. */
  readonly entry: ScheduleEntry | undefined;
  readonly untilMs: number;
}

/** By the limit, and by each of its forms. */
const scheduled = new WeakMap<Limit, Scheduled>();

/** Says which forms a limit takes. `forms`: one for each entry, and the one of times without any. */
export function takesForms(limit: Limit, schedule: readonly ScheduleEntry[], forms: readonly Limit[]): void {
  const known: Scheduled = { schedule, forms };
  for (const one of [limit, ...forms]) scheduled.set(one, known);
}

/** The forms of a limit or of one of its forms; undefined: it has no schedule. */
export const formsOf = (limit: Limit): Scheduled | undefined => scheduled.get(limit);

/** The form of a limit that is in force at an instant; a limit without a schedule is its own. */
export function inForce<L extends Limit>(limit: L, atMs: number): L {
  const known = scheduled.get(limit);
  return known === undefined ? limit : (formOf(known, periodAt(known.schedule, atMs)) as L);
}

/** The same with its end; undefined: the limit has no schedule. */
export function formAt(limit: Limit, atMs: number): FormPeriod | undefined {
  const known = scheduled.get(limit);
  if (known === undefined) return undefined;
  const period = periodAt(known.schedule, atMs);
  const entry = period.entry === undefined ? undefined : known.schedule[period.entry];
  return { limit: formOf(known, period), entry, untilMs: period.untilMs };
}

/** The forms of a limit that were in force before an instant and the one in force then, each with its start; the latest first, without end. */
export function* formsBefore(limit: Limit, atMs: number): Generator<{ readonly limit: Limit; readonly startMs: number }> {
  const known = scheduled.get(limit);
  if (known === undefined) return;
  for (let ms = atMs; ; ) {
    const startMs = startedAt(known.schedule, ms);
    yield { limit: formOf(known, periodAt(known.schedule, ms)), startMs };
    ms = startMs - 1;
  }
}

const formOf = ({ forms }: Scheduled, { entry = forms.length - 1 }: Period): Limit => forms[entry] as Limit;
