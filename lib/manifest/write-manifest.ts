import { Document, isCollection, type Node, Pair, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import type { Manifest } from './manifest.js';
import { type Leaf, type Tree, treeOf } from './manifest-tree.js';

export interface WriteOptions {
  /** The comment at the top, without `#`. @default where editors find the schema */
  readonly header?: string | undefined;
}

const SCHEMA = 'yaml-language-server: $schema=./node_modules/headgate/schema/manifest.json';
/** Long values are not broken into lines. */
export const ON_PAPER = { lineWidth: 0 } as const;

/** The YAML of a manifest: what `readManifest` makes the same manifest of, limits as short texts where they have one. */
export function manifestText(manifest: Manifest, { header = SCHEMA }: WriteOptions = {}): string {
  const document = new Document();
  const root = nodeOf(treeOf(manifest)) as YAMLMap;
  // An empty line before each section.
  for (const { key, value } of root.items) if (value instanceof YAMLMap) (key as Scalar).spaceBefore = true;
  document.contents = root as never;
  if (header !== '') document.commentBefore = header.replaceAll(/^(?=.)/gm, ' ');
  return document.toString(ON_PAPER);
}

/** The same as plain JSON, which is YAML too: it can be kept in a file, and read again. */
export const manifestJson = (manifest: Manifest): unknown => jsonOf(treeOf(manifest));

const jsonOf = (value: Tree | Leaf): unknown =>
  value instanceof Map ? Object.fromEntries([...(value as Tree)].map(([name, each]) => [name, jsonOf(each)])) : value;

/** The node of keys and values: objects of plain JSON on one line, but for metadata. */
function nodeOf(value: Tree | Leaf, name = ''): Node {
  if (value instanceof Map) {
    const map = new YAMLMap();
    for (const [key, each] of value as Tree) map.items.push(pairOf(key, each));
    // Written as {}, and not as nothing: nothing has been forgotten.
    map.flow = map.items.length === 0;
    return map;
  }
  const node = plainNode(value);
  if (isCollection(node) && name !== 'metadata') node.flow = true;
  return node;
}

function plainNode(value: unknown): Node {
  if (Array.isArray(value)) {
    const list = new YAMLSeq();
    list.items.push(...value.map(plainNode));
    return list;
  }
  if (typeof value === 'string') return textNode(value);
  if (typeof value !== 'object' || value === null) return new Scalar(value);
  const map = new YAMLMap();
  for (const [key, each] of Object.entries(value)) map.items.push(new Pair(keyOf(key), plainNode(each)));
  return map;
}

export const pairOf = (name: string, value: Tree | Leaf): Pair => new Pair(keyOf(name), nodeOf(value, name));

function keyOf(name: string): Scalar {
  const key = textNode(name);
  // Plain, it would be a merge key.
  if (name === '<<') key.type = Scalar.QUOTE_DOUBLE;
  return key;
}

/** Text with what a terminal obeys and does not show is in quotes, where it can be written as an escape. */
function textNode(text: string): Scalar {
  const node = new Scalar(text);
  if (/[^\P{Cc}\n]|[\p{Zl}\p{Zp}]/u.test(text)) node.type = Scalar.QUOTE_DOUBLE;
  return node;
}
