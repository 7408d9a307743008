/** What is wrong with a manifest, and where it stands. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** `entities["acme/search"].limits.rpm`; empty for the file as a whole. */
  readonly path: string;
  /** What was expected, and what is there. */
  readonly message: string;
}

/** One line: `headgate.yaml:7:5  tiers.free.limit  Unknown field. Did you mean limits?` */
export function problemText({ file, line, column, path, message }: Problem): string {
  return [`${file}:${line}:${column}`, ...(path === '' ? [] : [path]), message].join('  ');
}

/** A path within a manifest as a program would write it. */
export function pathText(path: readonly (string | number)[]): string {
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`;
      if (!/^[A-Za-z_$][\w$]*$/.test(part)) return `[${JSON.stringify(part)}]`;
      return index === 0 ? part : `.${part}`;
    })
    .join('');
}

const MOST_NAMES = 12;

/** ` Did you mean limits?`, where one of the names is close to what was written; else nothing. */
export function suggestion(written: string, names: Iterable<string>): string {
  const most = Math.max(1, Math.floor(written.length / 3));
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of names) {
    if (Math.abs(name.length - written.length) > most) continue;
    const distance = editDistance(written.toLowerCase(), name.toLowerCase());
    // Every letter another one: not close, however short.
    if (distance >= Math.max(written.length, name.length)) continue;
    if (distance <= most && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { name, distance };
  }
  return best === undefined ? '' : ` Did you mean ${best.name}?`;
}

/** Names as a message lists them: the first twelve. */
export function listed(names: Iterable<string>): string {
  const all = [...names];
  const more = all.length > MOST_NAMES ? ` and ${all.length - MOST_NAMES} more` : '';
  return all.length === 0 ? 'there is none' : `${all.slice(0, MOST_NAMES).join(', ')}${more}`;
}

/** How many characters have to be put in, left out, exchanged, or swapped with the next one. */
function editDistance(a: string, b: string): number {
  let [before, last] = [[] as readonly number[], Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((row[j - 1] ?? 0) + 1, (last[j] ?? 0) + 1, (last[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, (before[j - 2] ?? 0) + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
