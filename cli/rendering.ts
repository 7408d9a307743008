import CliTable from 'cli-table3';
import picocolors from 'picocolors';
import type { Answer, Cell, Lines, Table, Tone } from './answer.js';

/** How an answer is written: for a terminal (columns, colours), or plain (tab-separated), or as JSON. */
export type Style = 'terminal' | 'plain' | 'json';

const colours = picocolors.createColors(true);
const TONES: Readonly<Record<Tone, (text: string) => string>> = {
  plain: (text) => text,
  good: colours.green,
  warning: colours.yellow,
  bad: colours.red,
};

/** Columns apart by two spaces, no frame. */
const NO_FRAME = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid'].flatMap((side) =>
    ['', '-mid', '-left', '-right'].map((part): [string, string] => [side + part, '']),
  ),
);

/** The text of an answer, ending with a line break; empty where there is nothing to show. */
export function rendered({ json, shown }: Answer, style: Style): string {
  if (style === 'json') return `${JSON.stringify(json, null, 2)}\n`;
  const parts = shown.map((part) => (part.kind === 'lines' ? linesText(part, style) : tableText(part, style)));
  return parts
    .filter((part) => part !== '')
    .map((part) => `${part}\n`)
    .join(style === 'terminal' ? '\n' : '');
}

const linesText = (part: Lines, style: Style): string => part.lines.map((line) => cellText(line, style)).join('\n');

function tableText({ columns, rows }: Table, style: Style): string {
  if (style === 'plain') return [columns, ...rows].map((row) => row.map((cell) => cellText(cell, style)).join('\t')).join('\n');
  const drawn = new CliTable({
    head: columns.map((column) => colours.bold(column)),
    chars: { ...NO_FRAME, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map((_, index) => (rows.length > 0 && rows.every((row) => isNumber(row[index])) ? 'right' : 'left')),
  });
  drawn.push(...rows.map((row) => row.map((cell) => cellText(cell, style))));
  return drawn
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const isNumber = (cell: Cell | undefined): boolean => typeof (typeof cell === 'object' ? cell.text : cell) === 'number';

function cellText(cell: Cell, style: Style): string {
  const { text, tone } = typeof cell === 'object' ? cell : { text: cell, tone: 'plain' as const };
  return style === 'terminal' ? TONES[tone](printable(String(text))) : printable(String(text));
}

/** What would move the cursor, break a line or end a column is shown as an escape. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
