/** Instants as callers write them. */
import { InvalidArgument } from './errors.js';

/** The last instant whose year has four digits: beyond it ISO 8601 text no longer sorts by time. */
export const LAST_INSTANT_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

const LEGAL_INSTANT = `a Date or an ISO 8601 string from 1970-01-01T00:00:00.000Z to ${new Date(LAST_INSTANT_MS).toISOString()}`;

/** Date, or date and time, with or without an offset. Groups: year, month, day, time, offset. */
const ISO_8601 = /^(\d{4})-(\d{2})(?:-(\d{2})(?:T(\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?)?$/;

/** Milliseconds since 1970 of a Date or an ISO 8601 string, which is UTC where it names no offset. Throws `InvalidArgument`. */
export function instantMs(field: string, value: unknown): number {
  const ms = value instanceof Date ? value.getTime() : typeof value === 'string' ? parseIso8601(value) : Number.NaN;
  if (ms >= 0 && ms <= LAST_INSTANT_MS) return ms;
  throw new InvalidArgument({ field, value, expected: LEGAL_INSTANT });
}

/** The instant, or NaN. Stricter than Date.parse, which takes 30 February for 2 March and a time without offset for local time. */
function parseIso8601(text: string): number {
  const [, year, month, day = '01', time = '00:00', offset = 'Z'] = ISO_8601.exec(text) ?? [];
  if (year === undefined || month === undefined) return Number.NaN;
  const lastDay = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return Number(day) > lastDay ? Number.NaN : Date.parse(`${year}-${month}-${day}T${time}${offset}`);
}
