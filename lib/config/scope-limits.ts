/** What is stored for a scope: how it is set and taken away, with its history. */
import { isDeepStrictEqual } from 'node:util';
import type { Limit } from '../core/limit.js';
import { InvalidArgument } from '../errors.js';
import { parseLimits } from '../limit-set.js';
import { SYSTEM_SK } from '../store/schema.js';
import type { Item, ItemKey, Operation, Store } from '../store/store.js';
import { attempted } from './attempted.js';
import { type Author, audited } from './audit.js';
import { type LimitsOptions, limitsItem, type Scope, type StoredLimits, scopeKey, storedLimitsOf } from './config-records.js';
import { directoryItem } from './entity-directory.js';
import { type ScopeOptions, scopeRules, storedRulesOf } from './scope-rules.js';

/** A scope's limits with what is stored beside them, as `setLimits` takes both. */
export interface ScopeContent extends ScopeOptions {
  readonly limits: readonly Limit[];
}

/** The item that stores limits and options, without its history. An empty list is legal only with rules, or `inherit`. Throws `InvalidArgument`. */
export function scopeItem(namespace: string, scope: Scope, limits: readonly Limit[], options: ScopeOptions): Item {
  const key = scopeKey(namespace, scope);
  const { rules, rest } = scopeRules(options, scope);
  const { inherit } = rest;
  if (inherit === true && key.sk === SYSTEM_SK)
    throw new InvalidArgument({
      field: 'inherit',
      value: inherit,
      expected: 'left out: nothing comes after the scope { system: true }',
    });
  const mayBeEmpty = inherit === true || Object.keys(rules).length > 0;
  const isEmpty = mayBeEmpty && Array.isArray(limits) && limits.length === 0;
  return { ...limitsItem(key, isEmpty ? [] : parseLimits(limits, 'limits'), rest), ...rules };
}

/** What an item stores for its scope; undefined where there is none. */
export function scopeContent(item: Item | undefined): ScopeContent | undefined {
  if (item === undefined) return undefined;
  const { limits = [], ...options } = storedLimitsOf(item) ?? {};
  return { limits, ...givenOptions(options), ...storedRulesOf(item) };
}

/** The options that say something: one shard does only where another number would be inherited. */
export function givenOptions({ shards, priorities, inherit = false }: Partial<StoredLimits>): LimitsOptions {
  return {
    ...(shards !== undefined && (shards !== 1 || inherit) && { shards }),
    ...(priorities && { priorities }),
    ...(inherit && { inherit }),
  };
}

/** Stores limits and options in place of what a scope had. Nothing is written where it has them already. Throws `ChangeConflict`. */
export async function setScopeLimits(
  store: Store,
  namespace: string,
  author: Author,
  { scope, limits, options }: { readonly scope: Scope; readonly limits: readonly Limit[]; readonly options: ScopeOptions },
): Promise<void> {
  const item = scopeItem(namespace, scope, limits, options);
  await attempted(scopeText(scope), async () => {
    const seen = await readScope(store, item);
    if (isDeepStrictEqual(scopeContent(seen), scopeContent(item))) return true;
    return (await store.transact(setOperations(namespace, author, scope, item, seen))).applied || undefined;
  });
}

/** Takes away all that is stored for a scope. Nothing where there is none. Throws `ChangeConflict`. */
export async function deleteScopeLimits(store: Store, namespace: string, author: Author, scope: Scope): Promise<void> {
  const key = scopeKey(namespace, scope);
  await attempted(scopeText(scope), async () => {
    const seen = await readScope(store, key);
    if (seen === undefined) return true;
    return (await store.transact(deleteOperations(namespace, author, scope, seen))).applied || undefined;
  });
}

async function readScope(store: Store, { pk, sk }: ItemKey): Promise<Item | undefined> {
  const [item] = await store.getItems([{ pk, sk }], { consistent: true });
  return item;
}

/** Puts a scope's item in place of the one that was seen, on condition that it is still that one. */
export function setOperations(
  namespace: string,
  author: Author,
  scope: Scope,
  item: Item,
  seen: Item | undefined,
): readonly Operation[] {
  const { change, record } = audited(namespace, author, {
    action: 'limits.set',
    target: scope,
    from: scopeContent(seen),
    to: scopeContent(item),
  });
  const stored = { ...item, change };
  return [
    seen === undefined
      ? { kind: 'put', item: stored, ifAbsent: true }
      : { kind: 'put', item: stored, ifEqual: { change: seen.change as string | undefined } },
    record,
    // Whoever lists entities finds those that only have limits.
    ...('entity' in scope ? [{ kind: 'put' as const, item: directoryItem(namespace, scope.entity) }] : []),
  ];
}

/** Takes a scope's item away, on condition that it is still the one that was seen. */
export function deleteOperations(namespace: string, author: Author, scope: Scope, seen: Item): readonly Operation[] {
  const { record } = audited(namespace, author, { action: 'limits.delete', target: scope, from: scopeContent(seen) });
  const key = { pk: seen.pk, sk: seen.sk };
  return [{ kind: 'remove', key, ifEqual: { change: seen.change as string | undefined } }, record];
}

/** A scope as a person names it: `tier pro on gpt-4o`. */
export function scopeText(scope: Scope): string {
  if ('system' in scope) return 'the system';
  const on = 'resource' in scope ? ` on ${scope.resource}` : '';
  if ('entity' in scope) return `entity ${scope.entity}${on}`;
  return 'tier' in scope ? `tier ${scope.tier}${on}` : `resource ${scope.resource}`;
}
