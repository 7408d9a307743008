/** A file with all that it extends. */
import { posix } from 'node:path';
import { type Draft, draftOf, EMPTY, laidOver } from './draft.js';
import { presetNames, presetText } from './presets.js';
import { listed, type Problem, suggestion } from './problem.js';
import { shapeFaults } from './shape.js';
import { readYaml, type YamlDocument } from './yaml-document.js';

export interface Sources {
  /** The text of a file, as a manifest's `extends` names it, relative to the working directory. @default no file can be extended */
  readonly loadFile?: ((path: string) => string | undefined) | undefined;
  /** The text of a preset. @default those of the package */
  readonly loadPreset?: ((name: string) => string | undefined) | undefined;
}

export interface Composed {
  readonly draft: Draft;
  readonly problems: readonly Problem[];
  /** Nothing is missing: what is not here is nowhere. */
  readonly whole: boolean;
}

const MOST_IN_A_ROW = 8;
const PRESET = 'preset ';
/** Where one of these is not understood, or the file as a whole, nothing is known to be missing. */
const UNDERSTOOD: readonly (string | undefined)[] = [undefined, 'extends', 'tiers', 'entities'];

/** Reads a manifest and what it extends, each file once. */
export function composed(text: string, file: string, sources: Sources): Composed {
  const known = new Map<string, Composed>();

  function read(content: string, name: string, below: readonly string[]): Composed {
    const { document, faults: ofYaml } = readYaml(content, name);
    if (document === undefined) return { draft: EMPTY, problems: ofYaml.map(({ problem }) => problem), whole: false };
    const told = new Set(ofYaml.map(({ problem }) => placeOf(problem)));
    const faults = [...ofYaml, ...shapeFaults(document).filter(({ problem }) => !told.has(placeOf(problem)))];
    const problems = faults.map(({ problem }) => problem);
    let draft = EMPTY;
    let whole = faults.every(({ path }) => path.length > 1 || !UNDERSTOOD.includes(path[0]));
    for (const { name: reference, path } of faults.some(({ path: [first] }) => first === 'extends')
      ? []
      : referencesOf(document)) {
      const extended = extend(reference, name, [...below, name]);
      if (typeof extended === 'string') problems.push(document.problem(path, extended));
      else {
        problems.push(...extended.problems);
        draft = laidOver(draft, extended.draft);
      }
      whole &&= typeof extended !== 'string' && extended.whole;
    }
    return { draft: laidOver(draft, draftOf(document, faults)), problems, whole };
  }

  /** What a reference stands for, or what was expected instead. */
  function extend(reference: string, from: string, below: readonly string[]): Composed | string {
    const isFile = /^\.{0,2}\//.test(reference);
    if (isFile && from.startsWith(PRESET)) return `Expected a preset: a preset extends no file, got ${JSON.stringify(reference)}`;
    const name = isFile ? fileName(reference, from) : PRESET + reference;
    if (below.includes(name))
      return `Expected what does not extend itself: ${[...below.slice(below.indexOf(name)), name].join(' → ')}`;
    if (below.length > MOST_IN_A_ROW) return `Expected at most ${MOST_IN_A_ROW} files that extend each other in a row`;
    const seen = known.get(name);
    // Its problems are told already.
    if (seen !== undefined) return { ...seen, problems: [] };
    const content = isFile ? sources.loadFile?.(name) : (sources.loadPreset ?? presetText)(reference);
    if (content === undefined) return isFile ? `Expected a file that can be read: ${name}` : noPreset(reference);
    const result = read(content, name, below);
    known.set(name, result);
    return result;
  }

  return read(text, file, []);
}

const placeOf = ({ line, column, path }: Problem): string => `${line}:${column} ${path}`;

function referencesOf(document: YamlDocument): readonly { readonly name: string; readonly path: readonly string[] }[] {
  const { extends: given = [] } = Object(document.value) as { readonly extends?: string | readonly string[] };
  if (typeof given === 'string') return [{ name: given, path: ['extends'] }];
  return given.map((name, index) => ({ name, path: ['extends', String(index)] }));
}

const fileName = (reference: string, from: string): string =>
  reference.startsWith('/') ? posix.normalize(reference) : posix.join(posix.dirname(from), reference);

function noPreset(reference: string): string {
  const names = presetNames();
  const meant = suggestion(reference, names);
  const known = meant === '' ? ` (${listed(names)}), or a file that starts with ./` : '';
  return `Expected a preset of the package${known}, got ${JSON.stringify(reference)}.${meant}`.replace(/\.$/, '');
}
