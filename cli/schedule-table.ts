/** Scheduled limits as a person reads them: every form with its times, and the one in force. */
import { plainText } from '../lib/config/limit-text.js';
import { changeText, cronText, entryText } from '../lib/config/schedule-text.js';
import { formAt, formsOf } from '../lib/core/forms.js';
import type { Limit } from '../lib/core/limit.js';
import type { FormStatus } from '../lib/status.js';
import { type Cell, type Table, table } from './answer.js';

/** A line for each form of each scheduled limit, the first that matches first; no table where none has a schedule. */
export function schedulesTable(limits: readonly Limit[], nowMs: number): readonly Table[] {
  const rows = limits.flatMap((limit): Cell[][] => {
    const inForce = formAt(limit, nowMs);
    if (limit.schedule === undefined || inForce === undefined) return [];
    const mark = (holds: boolean): Cell => (holds ? { text: 'yes', tone: 'good' } : 'no');
    const forms = formsOf(limit)?.forms ?? [];
    return [
      ...limit.schedule.map((entry, index): Cell[] => [
        plainText(forms[index] ?? limit),
        changeText(entry),
        cronText(entry),
        entry.timeZone ?? 'UTC',
        mark(inForce.entry === entry),
      ]),
      [plainText(limit), '-', 'otherwise', '-', mark(inForce.entry === undefined)],
    ];
  });
  return rows.length === 0 ? [] : [table(['form', 'change', 'cron', 'timeZone', 'inForce'], rows)];
}

/** `x0.5 at * 9-16 * * 1-5 Europe/Paris until 2026-11-23T16:00:00.000Z`; `-` of a limit without a schedule. */
export function formText(form: FormStatus | undefined): string {
  if (form === undefined) return '-';
  const { entry, until } = form;
  const what = entry === null ? 'as it is' : entryText(entry);
  return until === null ? what : `${what} until ${until}`;
}
