/**
 * Whether a name matches a pattern: `*` stands for any number of characters, none included, and `?` for one; all else for itself.
 * In steps of at most the product of both lengths: a star that was tried too short is tried one longer, and only the last one.
 */
export function matchesGlob(pattern: string, name: string): boolean {
  let [at, from] = [0, 0];
  let star: { readonly at: number; from: number } | undefined;
  while (from < name.length) {
    if (pattern[at] === '*') {
      star = { at, from };
      at += 1;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === name[from])) {
      at += 1;
      from += 1;
    } else if (star !== undefined) {
      star.from += 1;
      at = star.at + 1;
      from = star.from;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}
