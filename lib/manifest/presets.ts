/** The manifests that come with the package: `openai/tier-1` is `presets/openai/tier-1.yaml`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

// Beside lib when run from the sources and beside dist when built; bundled into a program of one folder, one level up.
const FOLDERS = ['../../presets/', '../../../presets/', '../presets/'];

/** The names of all presets, in order. */
export function presetNames(): readonly string[] {
  const folder = presetFolder();
  if (folder === undefined) return [];
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return files.flatMap((file) => (file.endsWith('.yaml') ? [file.slice(0, -'.yaml'.length).replaceAll('\\', '/')] : [])).sort();
}

/** The text of a preset; undefined where there is none of that name. */
export function presetText(name: string): string | undefined {
  const folder = presetFolder();
  // What comes from elsewhere names a file in this folder, or none.
  if (folder === undefined || !presetNames().includes(name)) return undefined;
  return readFileSync(new URL(`${name}.yaml`, folder), 'utf8');
}

function presetFolder(): URL | undefined {
  return FOLDERS.map((path) => new URL(path, import.meta.url)).find((folder) => existsSync(folder));
}
