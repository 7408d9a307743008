import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, type Pair, parseDocument, type Scalar, type YAMLMap } from 'yaml';
import type { Manifest } from './manifest.js';
import { type Leaf, type Tree, treeOf } from './manifest-tree.js';
import { type Problem, pathText } from './problem.js';
import { inheritedPriorities, type ReadOptions, readManifest } from './read-manifest.js';
import { ON_PAPER, pairOf } from './write-manifest.js';

export type UpdatedManifest = { readonly text: string; readonly changed: boolean } | { readonly problems: readonly Problem[] };

/** Where something came from what is extended, taking it away here brings that back; the next round takes that away. */
const ROUNDS = 4;

/**
 * The text of a file changed so that it says what a manifest says. Comments, order and notation of what stays are kept; a text that says it already
 * comes back as it is. Problems of the text are told as `readManifest` tells them, and what it extends and cannot take away.
 */
export function updateManifestText(text: string, manifest: Manifest, options: ReadOptions): UpdatedManifest {
  const lines = text.includes('\r\n') ? '\r\n' : '\n';
  const wanted = treeOf(manifest, inheritedPriorities(text, options));
  let updated = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  let last: readonly string[] = [];
  for (let round = 0; ; round += 1) {
    const read = readManifest(updated, options);
    // A text without problems may get some where an alias loses its anchor.
    if ('problems' in read) return round === 0 ? read : { problems: [inTheWay(options.file, last)] };
    const present = treeOf(read.manifest, inheritedPriorities(updated, options));
    const [different] = differences(present, wanted, []);
    if (different === undefined) {
      const changed = round > 0;
      return { text: changed ? updated.replaceAll('\n', lines) : text, changed };
    }
    if (round === ROUNDS) return { problems: [inTheWay(options.file, different)] };
    last = different;
    updated = rewritten(updated, present, wanted);
  }
}

function rewritten(text: string, present: Tree, wanted: Tree): string {
  const document = parseDocument(text, { version: '1.2', uniqueKeys: false, logLevel: 'error' });
  // A manifest is a map: it was read without problems.
  change(document.contents as unknown as YAMLMap, present, wanted, []);
  const indent = /^( +)[^\s#-]/m.exec(text)?.[1]?.length ?? 2;
  return document.toString({ ...ON_PAPER, indent, verifyAliasOrder: false });
}

const inTheWay = (file: string, path: readonly string[]): Problem => ({
  file,
  line: 1,
  column: 1,
  path: pathText(path),
  message: 'Expected this not to come from what the file extends, or from an alias: it cannot be changed here',
});

const isTree = (value: Tree | Leaf | undefined): value is Tree => value instanceof Map;

/** The paths at which two trees differ; the order of keys is no difference. */
function differences(
  present: Tree | Leaf | undefined,
  wanted: Tree | Leaf | undefined,
  path: readonly string[],
): (readonly string[])[] {
  if (!isTree(present) || !isTree(wanted)) return isDeepStrictEqual(present, wanted) ? [] : [path];
  return [...new Set([...present.keys(), ...wanted.keys()])].flatMap((name) =>
    differences(present.get(name), wanted.get(name), [...path, name]),
  );
}

/** Changes a node where what its file says now differs from what is wanted. */
function change(node: YAMLMap, present: Tree, wanted: Tree, path: readonly string[]): void {
  const pairs = new Map(node.items.map((pair) => [keyText(pair), pair]));
  const gone = new Set<Pair>();
  for (const name of new Set([...present.keys(), ...wanted.keys()])) {
    const [is, shall, pair] = [present.get(name), wanted.get(name), pairs.get(name)];
    if (differences(is, shall, []).length === 0) continue;
    if (shall === undefined) {
      if (pair !== undefined) gone.add(pair);
      // What is extended: null takes a limit away, and one shard is none.
      else if (path.at(-1) === 'limits') node.items.push(pairOf(name, null));
      else if (name === 'shards' && typeof is === 'number') node.items.push(pairOf(name, 1));
    } else if (pair === undefined)
      node.items.push(isTree(shall) ? sectionOf(name, isTree(is) ? is : new Map(), shall, path) : pairOf(name, shall));
    else if (isTree(is) && isTree(shall) && isMap(pair.value)) {
      change(pair.value, is, shall, [...path, name]);
      // Limits are some or none, and never an empty list.
      if (name === 'limits' && pair.value.items.length === 0) gone.add(pair);
    } else replaceValue(pair, name, shall);
  }
  node.items = node.items.filter((pair) => !gone.has(pair));
  if (node.items.length === 0) node.flow = true;
}

/** A new pair of the keys that differ from what is extended. */
function sectionOf(name: string, is: Tree, shall: Tree, path: readonly string[]): Pair {
  const pair = pairOf(name, new Map());
  const map = pair.value as YAMLMap;
  map.flow = false;
  change(map, is, shall, [...path, name]);
  if (path.length === 0) (pair.key as Scalar).spaceBefore = true;
  return pair;
}

/** Puts another value in place of one, with the comment that stood behind it. */
function replaceValue(pair: Pair, name: string, value: Tree | Leaf): void {
  const [before, after] = [pair.value, pairOf(name, value).value];
  if (isScalar(before) && isScalar(after) && before.comment) after.comment = before.comment;
  pair.value = after;
}

const keyText = ({ key }: Pair): string => (isScalar(key) ? (key.source ?? String(key.value)) : '');
