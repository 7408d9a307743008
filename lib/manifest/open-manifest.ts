import { readFileSync } from 'node:fs';
import { type ReadManifest, readManifest } from './read-manifest.js';

/** Reads the manifest of a file, and the files and presets that it extends. A file that cannot be read is a problem of its own. */
export function openManifest(file: string): ReadManifest {
  const text = textOf(file);
  if ('reason' in text) {
    const message = `Expected a file that can be read (${text.reason})`;
    return { problems: [{ file, line: 1, column: 1, path: '', message }] };
  }
  return readManifest(text.content, {
    file,
    loadFile: (path) => {
      const extended = textOf(path);
      return 'reason' in extended ? undefined : extended.content;
    },
  });
}

function textOf(path: string): { readonly content: string } | { readonly reason: string } {
  try {
    return { content: readFileSync(path, 'utf8') };
  } catch (error) {
    return { reason: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
}
