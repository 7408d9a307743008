import { readFileSync } from 'node:fs';
import type { Manifest } from './manifest.js';
import { type ReadManifest, type ReadOptions, readManifest } from './read-manifest.js';
import { type UpdatedManifest, updateManifestText } from './update-manifest.js';

/** Reads the manifest of a file, and the files and presets that it extends. A file that cannot be read is a problem of its own. */
export function openManifest(file: string): ReadManifest {
  const text = textOf(file);
  return 'reason' in text ? unreadable(file, text.reason) : readManifest(text.content, beside(file));
}

/** The text of a file, changed so that it says what a manifest says: see `updateManifestText`. Writes nothing. */
export function updatedManifest(file: string, manifest: Manifest): UpdatedManifest {
  const text = textOf(file);
  return 'reason' in text ? unreadable(file, text.reason) : updateManifestText(text.content, manifest, beside(file));
}

/** What a file extends is looked for beside it. */
const beside = (file: string): ReadOptions => ({
  file,
  loadFile: (path) => {
    const extended = textOf(path);
    return 'reason' in extended ? undefined : extended.content;
  },
});

const unreadable = (file: string, reason: string) => ({
  problems: [{ file, line: 1, column: 1, path: '', message: `Expected a file that can be read (${reason})` }],
});

function textOf(path: string): { readonly content: string } | { readonly reason: string } {
  try {
    return { content: readFileSync(path, 'utf8') };
  } catch (error) {
    return { reason: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
}
