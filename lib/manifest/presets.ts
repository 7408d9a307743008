/** The manifests that come with the package: `openai/tier-1` is `presets/openai/tier-1.yaml`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readYaml } from './yaml-document.js';

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

/** What a preset says of itself; what it does not say is undefined. */
export interface PresetHead {
  /** What it is, in a line. */
  readonly title: string | undefined;
  /** The provider's pages that its figures are from. */
  readonly urls: readonly string[];
  /** When they were read there: `2026-11-20`. */
  readonly date: string | undefined;
}

/** What a preset's text says of itself. Nothing where it is no manifest. */
export function presetHead(text: string): PresetHead {
  const { description, source } = Object(readYaml(text, '').document?.value) as {
    readonly description?: string;
    readonly source?: { readonly urls?: readonly string[]; readonly date?: string };
  };
  return { title: description, urls: source?.urls ?? [], date: source?.date };
}

function presetFolder(): URL | undefined {
  return FOLDERS.map((path) => new URL(path, import.meta.url)).find((folder) => existsSync(folder));
}
