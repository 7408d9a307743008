/** What a command answers: a value for machines, and the same for people. */

export type Tone = 'plain' | 'good' | 'warning' | 'bad';
export type Cell = string | number | { readonly text: string | number; readonly tone: Tone };

export interface Table {
  readonly kind: 'table';
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** Lines as they are, and nothing but a line break between them. */
export interface Lines {
  readonly kind: 'lines';
  readonly lines: readonly Cell[];
}

export interface Answer {
  /** What `--json` prints. */
  readonly json: unknown;
  readonly shown: readonly (Table | Lines)[];
  /** @default 0 */
  readonly exitCode?: number | undefined;
}

export const table = (columns: readonly string[], rows: readonly (readonly Cell[])[]): Table => ({
  kind: 'table',
  columns,
  rows,
});
export const lines = (...texts: readonly Cell[]): Lines => ({ kind: 'lines', lines: texts });

/** One thing, a line for each of its fields; those that are undefined have none. */
export function fields(of: Readonly<Record<string, unknown>>): Table {
  const rows = Object.entries(of).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, typeof value === 'string' ? value : JSON.stringify(value)]],
  );
  return table(['field', 'value'], rows);
}

/** A change that was made, told in a sentence. */
export const done = (sentence: string, json: unknown = { done: sentence }): Answer => ({
  json,
  shown: [lines({ text: sentence, tone: 'good' })],
});
