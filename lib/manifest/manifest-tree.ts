/** A manifest as the keys and values of its file. */
import { isDeepStrictEqual } from 'node:util';
import { limitText, partsOf } from '../config/limit-text.js';
import { type PriorityShares, parsePriorities } from '../config/priorities.js';
import type { Limit } from '../core/limit.js';
import type { ModelPrices } from '../llm/prices.js';
import type { Manifest, ScopeSetting } from './manifest.js';

/** Keys in the order of the file, each with further keys or a value of plain JSON. */
export interface Tree extends ReadonlyMap<string, Tree | Leaf> {}
export type Leaf = string | number | boolean | null | readonly unknown[] | { readonly [name: string]: unknown };

type Growing = Map<string, Growing | Leaf>;

const DEFAULT_SHARES = parsePriorities(true, 'priorities');

/** The keys and values that say what a manifest says, in a file whose `priorities` are these. */
export function treeOf({ namespace, settings, entities }: Manifest, priorities?: PriorityShares): Tree {
  const tree: Growing = new Map<string, Growing | Leaf>([['version', 1]]);
  if (namespace !== undefined) tree.set('namespace', namespace);
  // The order of the sections, whichever comes first in the manifest.
  for (const section of ['system', 'resources', 'tiers', 'entities', 'prices']) tree.set(section, new Map());
  const records = new Set(entities.map(({ entity }) => entity));
  for (const { entity, ...record } of entities) {
    const told = Object.entries(record).filter(([, value]) => value !== undefined);
    branch(tree, ['entities', entity], told as [string, Leaf][]);
  }
  for (const setting of settings) {
    const { scope } = setting;
    const at = pathOf(scope);
    if ('entity' in scope && !records.has(scope.entity)) branch(tree, ['entities', scope.entity], [['record', false]]);
    const { prices, ...options } = setting.options;
    if (prices !== undefined && 'resource' in scope) branch(tree, ['prices'], [[scope.resource, pricesLeaf(prices)]]);
    const content = contentOf({ ...setting, options }, priorities);
    if (content.length > 0) branch(tree, at, content);
  }
  // What is named is there, though nothing may be stored for it.
  const named = [...entities.map(({ tier }) => tier), ...settings.map(({ options }) => options.defaultTier)];
  for (const tier of named) if (tier !== undefined) branch(tree, ['tiers', tier], []);
  for (const section of ['system', 'resources', 'tiers', 'entities', 'prices'])
    if ((tree.get(section) as Growing).size === 0) tree.delete(section);
  return tree;
}

function pathOf(scope: ScopeSetting['scope']): readonly string[] {
  if ('system' in scope) return ['system'];
  const on = 'resource' in scope ? ['resources', scope.resource] : [];
  if ('entity' in scope) return ['entities', scope.entity, ...on];
  return 'tier' in scope ? ['tiers', scope.tier, ...on] : on;
}

/** Puts entries where a path leads. */
function branch(tree: Growing, path: readonly string[], entries: readonly (readonly [string, Growing | Leaf])[]): void {
  let at = tree;
  for (const name of path) {
    const below = at.get(name) ?? new Map();
    at.set(name, below);
    at = below as Growing;
  }
  for (const [name, value] of entries) at.set(name, value);
}

function contentOf({ limits, options }: ScopeSetting, inherited: PriorityShares | undefined): [string, Growing | Leaf][] {
  const { shards, priorities, ...rules } = options;
  const content: [string, Growing | Leaf][] = [];
  if (limits.length > 0) content.push(['limits', new Map(limits.map((limit) => [limit.name, limitLeaf(limit)]))]);
  if (shards !== undefined && (shards !== 1 || rules.inherit)) content.push(['shards', shards]);
  const shares = priorities === undefined ? undefined : parsePriorities(priorities, 'priorities');
  const implied = limits.length > 0 && !rules.inherit ? inherited : undefined;
  if (!isDeepStrictEqual(shares, implied)) content.push(['priorities', shares === undefined ? false : sharesLeaf(shares)]);
  for (const [name, value] of Object.entries(rules)) if (value !== undefined) content.push([name, value as Leaf]);
  return content;
}

/** The short text, or an object of what has none. */
function limitLeaf(limit: Limit): Leaf {
  const { name, options, ...parts } = partsOf(limit);
  return 'schedule' in options ? { ...parts, ...options } : limitText(limit).slice(name.length + 1);
}

/** In this order: a stored map has none. */
function pricesLeaf({ input, cachedInput, cacheWrite, cacheWrite1h, output, longPrompt }: ModelPrices): Leaf {
  return {
    input,
    ...(cachedInput !== undefined && { cachedInput }),
    ...(cacheWrite !== undefined && { cacheWrite }),
    ...(cacheWrite1h !== undefined && { cacheWrite1h }),
    output,
    ...(longPrompt !== undefined && { longPrompt: { above: longPrompt.above, ...(pricesLeaf(longPrompt) as object) } }),
  };
}

/** The shares that differ from those that go without saying; `true` where none does. */
function sharesLeaf(shares: PriorityShares): Leaf {
  const told = Object.entries(shares).filter(([name, share]) => DEFAULT_SHARES[name as keyof PriorityShares] !== share);
  return told.length === 0 ? true : Object.fromEntries(told);
}
