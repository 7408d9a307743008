/** What is compared of a thing: what a manifest says of it, and what is stored. Plain JSON, so that a plan can be kept in a file. */
import { isDeepStrictEqual } from 'node:util';
import type { NewEntity } from '../config/entities.js';
import { storedEntityOf } from '../config/entity-record.js';
import { type ScopeContent, scopeItem } from '../config/scope-limits.js';
import type { Item } from '../store/store.js';
import type { ScopeSetting } from './manifest.js';
import type { Thing } from './thing.js';

/** What a manifest can say of an entity. */
export type EntityState = Omit<NewEntity, 'entity' | 'cascade'> & { readonly cascade: boolean };

export type ThingState = ScopeContent | EntityState;

/** What a setting amounts to. Throws `InvalidArgument` for limits or options out of their ranges. */
export function settingState({ scope, limits, options }: ScopeSetting): ScopeContent {
  // Only attributes are compared: any namespace will do.
  return settingOf(scopeItem('-', scope, limits, options));
}

/** All attributes but those that every item has; one shard is as none, unless another number would be inherited. */
function settingOf({ pk: _pk, sk: _sk, change: _change, shards, ...attributes }: Item): ScopeContent {
  const sharded = shards === undefined || (shards === 1 && attributes.inherit !== true) ? {} : { shards };
  return plain({ ...attributes, ...sharded }) as ScopeContent;
}

/** What an entity of a manifest amounts to: left out, `cascade` says whether there is a parent. */
export function entityState({ parent, cascade, tier, name, metadata }: NewEntity): EntityState {
  return plain({ parent, cascade: parent !== undefined && (cascade ?? true), tier, name, metadata }) as EntityState;
}

/** What is stored of a thing; undefined where nothing is, or an entity that is being deleted. */
export function storedState(thing: Thing, item: Item | undefined): ThingState | undefined {
  if (item === undefined) return undefined;
  if (thing.kind === 'setting') return settingOf(item);
  const stored = storedEntityOf(item);
  return stored === undefined || stored.deleting ? undefined : entityState(stored.record);
}

export const sameState = (a: ThingState, b: ThingState): boolean => isDeepStrictEqual(a, b);

/** As it comes back from JSON: without what is undefined. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
