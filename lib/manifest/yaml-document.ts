import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import { type Problem, pathText } from './problem.js';

/** Where something stands in a document: the keys and indexes that lead to it. */
export type Path = readonly string[];

/** A file of YAML as plain values, and where each of them stands in it. */
export interface YamlDocument {
  readonly file: string;
  readonly value: unknown;
  /** What is wrong at a path, or at the last of its keys; where there is none such, at what comes closest above it. */
  problem(path: Path, message: string, at?: 'key' | 'value'): Problem;
  /** The keys of an object of this document, in the order of the file. */
  keys(of: object): readonly string[];
}

/** Where the parts of one object or list stand: offsets of keys and values, in the order of the file. */
type Parts = Map<string, { readonly key: number; readonly value: number }>;

const MOST_CHARACTERS = 16 * 1_048_576;
const MOST_LEVELS = 100;
const MOST_ALIASED = 100_000;

/** A problem with the path where it stands: what lies above it is not wholly understood. */
export interface Fault {
  readonly path: Path;
  readonly problem: Problem;
}

/** Reads YAML 1.2. What cannot be read has problems and no document; a document may have problems as well. */
export function readYaml(text: string, file: string): { readonly document?: YamlDocument; readonly faults: readonly Fault[] } {
  const whole = (message: string, line = 1, column = 1): Fault => ({
    path: [],
    problem: { file, line, column, path: '', message },
  });
  if (text.length > MOST_CHARACTERS)
    return { faults: [whole(`Expected at most ${MOST_CHARACTERS} characters, got ${text.length}`)] };
  const lineCounter = new LineCounter();
  const parsed = parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text, lineCounter);
  if (parsed === undefined) return { faults: [whole(`Expected at most ${MOST_LEVELS} levels`)] };
  const at = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  // A fault in the middle of a nest is told once for each level around it.
  const told = new Map([...parsed.errors, ...parsed.warnings].map((error) => [`${error.pos[0]} ${error.message}`, error]));
  const faults = [...told.values()].map(({ code, message, pos }) => {
    const { line, column } = at(pos[0]);
    return whole(MESSAGES[code] ?? MESSAGES[message] ?? `Expected YAML: ${message}`, line, column);
  });
  if (faults.length > 0) return { faults };
  if (parsed.directives?.yaml.explicit && parsed.directives.yaml.version !== '1.2')
    return { faults: [whole(`Expected YAML 1.2, got ${parsed.directives.yaml.version}`)] };
  if (parsed.contents === null)
    return { faults: [whole('Expected a manifest, such as version: 1 and what follows; the file is empty')] };

  const parts = new WeakMap<object, Parts>();
  const root = parsed.contents.range[0];
  let value: unknown;
  const document: YamlDocument = {
    file,
    get value() {
      return value;
    },
    keys: (of) => [...(parts.get(of)?.keys() ?? [])],
    problem(path, message, which = 'value') {
      let [offset, inside] = [root, value];
      const shown: (string | number)[] = [];
      path.forEach((part, index) => {
        shown.push(Array.isArray(inside) ? Number(part) : part);
        const place = typeof inside === 'object' && inside !== null ? parts.get(inside)?.get(part) : undefined;
        if (place === undefined) inside = undefined;
        else {
          offset = which === 'key' && index === path.length - 1 ? place.key : place.value;
          inside = (inside as Readonly<Record<string, unknown>>)[part];
        }
      });
      return { file, ...at(offset), path: pathText(shown), message };
    },
  };
  const walk = new Walk(parts, (offset, path, message) => ({
    path: path.map(String),
    problem: { file, ...at(offset), path: pathText(path), message },
  }));
  value = walk.valueOf(parsed.contents, []);
  return walk.aliased > MOST_ALIASED ? { faults: walk.faults } : { document, faults: walk.faults };
}

const MESSAGES: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'Expected one document: a file has no second one after ---',
  'Maximum call stack size exceeded': `Expected at most ${MOST_LEVELS} levels`,
  TAB_AS_INDENT: 'Expected spaces: YAML is not indented with tabs',
};

/** Undefined where it is nested too deeply. */
function parse(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    // A key that comes twice is told by the walk: this check compares every key with every other.
    return parseDocument(text, { version: '1.2', uniqueKeys: false, prettyErrors: false, lineCounter, logLevel: 'error' });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

type FaultAt = (offset: number, path: readonly (string | number)[], message: string) => Fault;

/** Makes plain values of nodes, in the order of the file: an anchor comes before its aliases. */
class Walk {
  readonly faults: Fault[] = [];
  /** The values that aliases stand for, all together. */
  aliased = 0;
  readonly #anchors = new Map<string, { readonly value: unknown; readonly size: number } | undefined>();
  readonly #parts: WeakMap<object, Parts>;
  readonly #faultAt: FaultAt;
  #size = 0;

  constructor(parts: WeakMap<object, Parts>, faultAt: FaultAt) {
    this.#parts = parts;
    this.#faultAt = faultAt;
  }

  valueOf(node: unknown, path: readonly (string | number)[]): unknown {
    if (isAlias(node)) return this.#aliasOf(node as ParsedNode & { readonly source: string }, path);
    const anchor = (node as { readonly anchor?: string } | null)?.anchor;
    // Known and without a value while it is being read: what it contains cannot be itself.
    if (anchor !== undefined) this.#anchors.set(anchor, undefined);
    const before = this.#size;
    this.#size += 1;
    const value = this.#plain(node, path);
    if (anchor !== undefined) this.#anchors.set(anchor, { value, size: this.#size - before });
    return value;
  }

  #plain(node: unknown, path: readonly (string | number)[]): unknown {
    if (path.length > MOST_LEVELS) return this.#refused(node, path, `Expected at most ${MOST_LEVELS} levels`);
    if (isMap(node)) return this.#objectOf(node, path);
    if (isSeq(node)) {
      const parts: Parts = new Map();
      const list = node.items.map((item, index) => {
        const offset = offsetOf(item);
        parts.set(String(index), { key: offset, value: offset });
        return this.valueOf(item, [...path, index]);
      });
      this.#parts.set(list, parts);
      return list;
    }
    const { value = null, source } = isScalar(node) ? node : {};
    // What is not kept to the last digit would be another number.
    if (
      typeof value === 'number' &&
      /^[-+]?\d+$/.test(source ?? '') &&
      String(value) !== source?.replace(/^\+?(-?)0*(?=\d)/, '$1')
    )
      return this.#refused(node, path, `Expected a number that is kept to the last digit, or text in quotes, got ${source}`);
    return value;
  }

  #objectOf(node: YAMLMap, path: readonly (string | number)[]): object {
    const object = {};
    const parts: Parts = new Map();
    this.#parts.set(object, parts);
    for (const pair of node.items) {
      const key = offsetOf(pair.key);
      const name = isScalar(pair.key) ? (pair.key.source ?? pair.key.value) : undefined;
      if (typeof name !== 'string') {
        this.#refused(pair.key ?? node, path, 'Expected a name as the key');
        continue;
      }
      const below = [...path, name];
      if (name === '<<' && isScalar(pair.key) && pair.key.type === 'PLAIN')
        this.#refused(pair.key, below, 'Expected no merge key: extends, and tiers, share limits between scopes');
      else if (parts.has(name)) this.#refused(pair.key, below, 'Expected each key once: this one came before');
      else {
        const empty = isScalar(pair.value) && !pair.value.source && pair.value.value === null;
        parts.set(name, { key, value: empty || pair.value === null ? key : offsetOf(pair.value) });
        const value = this.valueOf(pair.value, below);
        // Assigned, __proto__ would be no key.
        Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
      }
    }
    return object;
  }

  #aliasOf(node: ParsedNode & { readonly source: string }, path: readonly (string | number)[]): unknown {
    const anchor = this.#anchors.get(node.source);
    if (anchor === undefined)
      return this.#refused(node, path, `Expected an anchor &${node.source} before its alias, and not around it`);
    const before = this.aliased;
    this.aliased += anchor.size;
    this.#size += anchor.size;
    if (this.aliased <= MOST_ALIASED) return anchor.value;
    return before > MOST_ALIASED
      ? null
      : this.#refused(node, path, `Expected aliases to stand for at most ${MOST_ALIASED} values in all`);
  }

  #refused(node: unknown, path: readonly (string | number)[], message: string): null {
    this.faults.push(this.#faultAt(offsetOf(node), path, message));
    return null;
  }
}

const offsetOf = (node: unknown): number => (node as Node | null)?.range?.[0] ?? 0;
