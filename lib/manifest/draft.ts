/** What files say, laid one over the other: every value still knows where it stands. */
import type { Problem } from './problem.js';
import type { Fault, Path, YamlDocument } from './yaml-document.js';

/** A value, and where it stands. */
export interface Entry {
  readonly value: unknown;
  readonly document: YamlDocument;
  readonly path: Path;
}

/** What is said of a scope or an entity. */
export interface ScopeDraft {
  /** Where it is named last. */
  readonly at: Entry;
  readonly limits: ReadonlyMap<string, Entry>;
  readonly fields: ReadonlyMap<string, Entry>;
  readonly resources: ReadonlyMap<string, ScopeDraft>;
  /** Something in it was not understood: that something is missing may not be so. */
  readonly flawed: boolean;
}

type Section = 'resources' | 'tiers' | 'entities';

export interface Draft {
  readonly fields: ReadonlyMap<string, Entry>;
  readonly system: ScopeDraft | undefined;
  readonly resources: ReadonlyMap<string, ScopeDraft>;
  readonly tiers: ReadonlyMap<string, ScopeDraft>;
  readonly entities: ReadonlyMap<string, ScopeDraft>;
  readonly prices: ReadonlyMap<string, Entry>;
}

export const EMPTY: Draft = {
  fields: new Map(),
  system: undefined,
  resources: new Map(),
  tiers: new Map(),
  entities: new Map(),
  prices: new Map(),
};

/** The problem of an entry's value, of its key, or of a part of it. */
export const entryProblem = (
  { document, path }: Entry,
  message: string,
  at: 'key' | 'value' = 'value',
  below: Path = [],
): Problem => document.problem([...path, ...below], message, at);

/** What one document says, without what has faults. */
export function draftOf(document: YamlDocument, faults: readonly Fault[]): Draft {
  const flawed = new Set(faults.flatMap(({ path }) => path.map((_, index) => path.slice(0, index + 1).join('\0'))));
  const isFlawed = (path: Path) => flawed.has(path.join('\0'));

  /** The parts of an object, each with its path; none of what is no object, as a list. */
  const partsOf = (value: unknown, path: Path): readonly Entry[] =>
    typeof value !== 'object' || value === null || Array.isArray(value)
      ? []
      : document.keys(value).map((name) => ({
          value: (value as Readonly<Record<string, unknown>>)[name],
          document,
          path: [...path, name],
        }));
  const mapOf = (value: unknown, path: Path): ReadonlyMap<string, Entry> =>
    new Map(partsOf(value, path).flatMap((entry) => (isFlawed(entry.path) ? [] : [[nameOf(entry), entry] as const])));
  const scopesOf = (value: unknown, path: Path): ReadonlyMap<string, ScopeDraft> =>
    new Map(partsOf(value, path).map((entry) => [nameOf(entry), scopeOf(entry)] as const));
  const scopeOf = (at: Entry): ScopeDraft => {
    const { limits, resources } = Object(at.value) as { readonly limits?: unknown; readonly resources?: unknown };
    const fields = new Map(mapOf(at.value, at.path));
    fields.delete('limits');
    fields.delete('resources');
    return {
      at,
      limits: mapOf(limits, [...at.path, 'limits']),
      fields,
      resources: scopesOf(resources, [...at.path, 'resources']),
      flawed: isFlawed(at.path),
    };
  };

  const all = new Map(partsOf(document.value, []).map((entry) => [nameOf(entry), entry] as const));
  const section = (name: Section) => scopesOf(all.get(name)?.value, [name]);
  const system = all.get('system');
  return {
    fields: new Map(
      ['namespace', 'priorities'].flatMap((name) => {
        const entry = all.get(name);
        return entry === undefined || isFlawed(entry.path) ? [] : [[name, entry] as const];
      }),
    ),
    system: system && scopeOf(system),
    resources: section('resources'),
    tiers: section('tiers'),
    entities: section('entities'),
    prices: mapOf(all.get('prices')?.value, ['prices']),
  };
}

const nameOf = ({ path }: Entry): string => path.at(-1) ?? '';

/** What both say, `over` where they differ. */
export function laidOver(under: Draft, over: Draft): Draft {
  const scopes = (name: Section) => merged(under[name], over[name], scopeLaidOver);
  return {
    fields: merged(under.fields, over.fields),
    system: under.system && over.system ? scopeLaidOver(under.system, over.system) : (over.system ?? under.system),
    resources: scopes('resources'),
    tiers: scopes('tiers'),
    entities: scopes('entities'),
    prices: merged(under.prices, over.prices),
  };
}

function scopeLaidOver(under: ScopeDraft, over: ScopeDraft): ScopeDraft {
  const limits = new Map(under.limits);
  for (const [name, entry] of over.limits) {
    if (entry.value === null && limits.has(name)) limits.delete(name);
    else limits.set(name, entry);
  }
  return {
    at: over.at,
    limits,
    fields: merged(under.fields, over.fields),
    resources: merged(under.resources, over.resources, scopeLaidOver),
    flawed: under.flawed || over.flawed,
  };
}

function merged<T>(under: ReadonlyMap<string, T>, over: ReadonlyMap<string, T>, both?: (under: T, over: T) => T): Map<string, T> {
  const all = new Map(under);
  for (const [name, value] of over) {
    const below = all.get(name);
    all.set(name, below === undefined || both === undefined ? value : both(below, value));
  }
  return all;
}
