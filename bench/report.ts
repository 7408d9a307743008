/** What a part of the benchmark found: tables, and the targets that they are held to. */

/** One table; the first column names the row. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A number that Headgate promises, with what this run found. */
export interface Target {
  readonly what: string;
  readonly promised: string;
  readonly measured: string;
  readonly met: boolean;
}

export interface Section {
  readonly title: string;
  /** How it was measured, one paragraph each. */
  readonly method: readonly string[];
  readonly tables: readonly Table[];
  /** What the tables do not say themselves. */
  readonly remarks: readonly string[];
  readonly targets: readonly Target[];
}

/** The table as Markdown, its columns padded so that it reads as text too. */
export function markdownTable({ columns, rows }: Table): string {
  const widths = columns.map((column, index) => Math.max(3, ...[column, ...rows.map((row) => row[index] ?? '')].map(width)));
  const line = (cells: readonly string[]) =>
    `| ${widths.map((most, index) => padded(cells[index] ?? '', most, index > 0)).join(' | ')} |`;
  const rule = `| ${widths.map((most, index) => (index > 0 ? `${'-'.repeat(most - 1)}:` : '-'.repeat(most))).join(' | ')} |`;
  return [line(columns), rule, ...rows.map(line)].join('\n');
}

const width = (cell: string): number => cell.length;
const padded = (cell: string, most: number, right: boolean): string => (right ? cell.padStart(most) : cell.padEnd(most));

export function markdownSection({ title, method, tables, remarks }: Section): string {
  const parts = [`## ${title}`, ...method];
  for (const table of tables) {
    if (table.title !== '') parts.push(`### ${table.title}`);
    parts.push(markdownTable(table));
  }
  if (remarks.length > 0) parts.push(remarks.map((remark) => `- ${remark}`).join('\n'));
  return parts.join('\n\n');
}

/** All targets of a run in one table. */
export function targetTable(sections: readonly Section[]): Table {
  const rows = sections.flatMap(({ targets }) =>
    targets.map(({ what, promised, measured, met }) => [what, promised, measured, met ? 'yes' : '**no**']),
  );
  return { title: '', columns: ['what', 'target', 'measured', 'met'], rows };
}

/** A number with thousands separators and at most `digits` decimals, for people. */
export function shown(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** The noun in singular or plural, with its number. */
export function counted(count: number, noun: string): string {
  return `${shown(count)} ${noun}${count === 1 ? '' : 's'}`;
}
