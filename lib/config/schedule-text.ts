/** Entries of a schedule as a person writes them after a limit, and reads them: `x0.5 at * 9-16 * * 1-5 Europe/Paris`. */
import type { ScheduleEntry } from '../core/schedule-entry.js';
import { InvalidArgument } from '../errors.js';
import { periodText, timeMs } from './period-text.js';

const EXPECTED =
  'CHANGE at CRON [TIME-ZONE], such as "x0.5 at * 9-16 * * 1-5 Europe/Paris", where CHANGE is x0.5, 30/minute[,burst=N] of a refilled ' +
  'limit, or capacity=N[,refillAmount=N][,refillPeriodMs=N]';
const AMOUNTS = ['capacity', 'refillAmount', 'refillPeriodMs'] as const;

/** The entry that a text stands for; its times and amounts are the limit's to check. Throws `InvalidArgument` for a text of another form. */
export function parseEntryText(text: string, field: string): ScheduleEntry {
  const [, change = '', cron, timeZone] = /^(\S+)\s+at\s+((?:\S+\s+){4}\S+)(?:\s+(\S+))?$/.exec(text.trim()) ?? [];
  const changed = parsedChange(change);
  if (cron === undefined || changed === undefined) throw new InvalidArgument({ field, value: text.trim(), expected: EXPECTED });
  return { cron: cron.replace(/\s+/g, ' '), ...(timeZone !== undefined && { timeZone }), ...changed };
}

function parsedChange(text: string): Omit<ScheduleEntry, 'cron'> | undefined {
  const [, scale] = /^x(.+)$/.exec(text) ?? [];
  if (scale !== undefined) return { scale: Number(scale) };
  const [, amount, per, burst = amount] = /^(\d+)\/([^,]+)(?:,burst=(\d+))?$/.exec(text) ?? [];
  const refillPeriodMs = per === undefined ? undefined : timeMs(per);
  if (refillPeriodMs !== undefined) return { capacity: Number(burst), refillAmount: Number(amount), refillPeriodMs };
  const named = text.split(',').map((part) => /^(\w+)=(\d+)$/.exec(part) ?? []);
  if (named.some(([, name]) => !AMOUNTS.some((amount) => amount === name))) return undefined;
  return Object.fromEntries(named.map(([, name, value]) => [name, Number(value)]));
}

/** The text of an entry: what `parseEntryText` makes the same entry of. */
export function entryText(entry: ScheduleEntry): string {
  const zone = entry.timeZone === undefined ? '' : ` ${entry.timeZone}`;
  return `${changeText(entry)} at ${cronText(entry)}${zone}`;
}

/** What an entry makes of its limit: `x0.5`, `30/minute`, `capacity=5`. */
export function changeText(entry: ScheduleEntry): string {
  const { scale, capacity, refillAmount, refillPeriodMs } = entry;
  if (scale !== undefined) return `x${scale}`;
  if (capacity !== undefined && refillAmount !== undefined && refillPeriodMs !== undefined) {
    const burst = capacity === refillAmount ? '' : `,burst=${capacity}`;
    return `${refillAmount}/${periodText(refillPeriodMs)}${burst}`;
  }
  return AMOUNTS.flatMap((name) => (entry[name] === undefined ? [] : [`${name}=${entry[name]}`])).join(',');
}

export const cronText = ({ cron }: ScheduleEntry): string => cron.trim().replace(/\s+/g, ' ');
