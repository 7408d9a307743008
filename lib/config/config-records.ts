/** What is configured, as items of the table: where each scope lives, and how its limits are read back. */
import type { Limit } from '../core/limit.js';
import { MOST_SHARDS } from '../core/shards.js';
import { InvalidArgument } from '../errors.js';
import { parseLimits } from '../limit-set.js';
import { checkFields, checkName } from '../names.js';
import {
  configPk,
  ENTITY_LIMITS_SK,
  entityPk,
  entityResourceSk,
  META_SK,
  resourceSk,
  SYSTEM_SK,
  tierResourceSk,
  tierSk,
} from '../store/schema.js';
import type { Item, ItemKey } from '../store/store.js';
import { type PriorityShares, parsePriorities } from './priorities.js';

/** Whose limits: everybody's, a resource's, a tier's, a tier's on one resource, an entity's, or an entity's on one resource. */
export type Scope =
  | { readonly system: true }
  | { readonly resource: string }
  | { readonly tier: string }
  | { readonly tier: string; readonly resource: string }
  | { readonly entity: string }
  | { readonly entity: string; readonly resource: string };

/** Where a scope's limits are stored. Throws `InvalidArgument` for anything that is not a scope. */
export function scopeKey(namespace: string, scope: Scope): ItemKey {
  checkFields(scope, ['system', 'resource', 'tier', 'entity'], 'scope');
  const { system, resource, tier, entity } = scope as Record<string, unknown>;
  if (resource !== undefined) checkName(resource, 'scope.resource');
  if (tier !== undefined) checkName(tier, 'scope.tier');
  if (entity !== undefined) checkName(entity, 'scope.entity');
  if (system === true && resource === undefined && tier === undefined && entity === undefined) return systemKey(namespace);
  if (system === undefined && entity !== undefined && tier === undefined)
    return resource === undefined ? entityKey(namespace, entity) : entityResourceKey(namespace, entity, resource);
  if (system === undefined && tier !== undefined && entity === undefined)
    return resource === undefined ? tierKey(namespace, tier) : tierResourceKey(namespace, tier, resource);
  if (system === undefined && resource !== undefined && entity === undefined) return resourceKey(namespace, resource);
  throw new InvalidArgument({
    field: 'scope',
    value: scope,
    expected: '{ system: true }, { resource }, { tier }, { tier, resource }, { entity } or { entity, resource }',
  });
}

export const systemKey = (namespace: string): ItemKey => ({ pk: configPk(namespace), sk: SYSTEM_SK });
export const resourceKey = (namespace: string, resource: string): ItemKey => ({
  pk: configPk(namespace),
  sk: resourceSk(resource),
});
export const tierKey = (namespace: string, tier: string): ItemKey => ({ pk: configPk(namespace), sk: tierSk(tier) });
export const tierResourceKey = (namespace: string, tier: string, resource: string): ItemKey => ({
  pk: configPk(namespace),
  sk: tierResourceSk(tier, resource),
});
export const entityKey = (namespace: string, entity: string): ItemKey => ({
  pk: entityPk(namespace, entity),
  sk: ENTITY_LIMITS_SK,
});
export const entityResourceKey = (namespace: string, entity: string, resource: string): ItemKey => ({
  pk: entityPk(namespace, entity),
  sk: entityResourceSk(resource),
});
export const metaKey = (namespace: string, entity: string): ItemKey => ({ pk: entityPk(namespace, entity), sk: META_SK });

/** What is stored with a scope's limits. */
export interface LimitsOptions {
  /**
   * Splits each bucket, 1 to 64: for keys that take more than 1,000 writes a second. Each shard holds a part of every limit, so what a request costs
   * must fit in a part, and close to empty a bucket denies although another shard has tokens: keep 50 tokens a shard. @default 1
   */
  readonly shards?: number | undefined;
  /** Turns priorities on: the share of each capacity that a priority may use; `true`: 0.5, 0.9, 1 and 1. @default off: all may use all */
  readonly priorities?: Partial<PriorityShares> | true | undefined;
  /**
   * The limits of the next scope that has any apply as well, but for names that this scope has itself; so do its `shards`, `priorities` and `bypass`
   * where this one does not give them. An empty list is legal with it. Not of the system, after which nothing comes.
   * @default false: this scope's limits replace the whole set
   */
  readonly inherit?: boolean | undefined;
}

/** A scope's stored limits, as one set. */
export interface StoredLimits {
  /** Empty only where it inherits. */
  readonly limits: readonly Limit[];
  readonly shards: number | undefined;
  readonly priorities: PriorityShares | undefined;
  readonly inherit: boolean;
}

export function limitsItem(key: ItemKey, limits: readonly Limit[], options: LimitsOptions): Item {
  checkFields(options, ['shards', 'priorities', 'inherit'], 'options');
  const shards = options.shards === undefined ? {} : { shards: checkedShards(options.shards, 'shards') };
  const priorities = options.priorities === undefined ? {} : { priorities: parsePriorities(options.priorities, 'priorities') };
  const inherit = checkedInherit(options.inherit, 'inherit') ? { inherit: true } : {};
  return { ...key, limits: limits.map((limit) => ({ ...limit })), ...shards, ...priorities, ...inherit };
}

/**
 * The limits of a stored scope; undefined where none are stored, or rules alone, and it does not inherit. Throws when the item was changed by hand into
 * something illegal.
 */
export function storedLimitsOf(item: Item | undefined): StoredLimits | undefined {
  if (item === undefined) return undefined;
  const where = `${item.pk} / ${item.sk}`;
  const inherit = checkedInherit(item.inherit, `the inherit stored at ${where}`);
  const isEmpty = Array.isArray(item.limits) && item.limits.length === 0;
  if (isEmpty && !inherit) return undefined;
  const { shards, priorities } = item as { shards?: unknown; priorities?: PriorityShares };
  return {
    limits: isEmpty ? [] : parseLimits(item.limits, `the limits stored at ${where}`),
    shards: shards === undefined ? undefined : checkedShards(shards, `the shards stored at ${where}`),
    priorities: priorities && parsePriorities(priorities, `the priorities stored at ${where}`),
    inherit,
  };
}

function checkedInherit(value: unknown, field: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw new InvalidArgument({ field, value, expected: 'true or false' });
  return value ?? false;
}

function checkedShards(value: unknown, field: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST_SHARDS) return value;
  throw new InvalidArgument({ field, value, expected: `an integer from 1 to ${MOST_SHARDS}` });
}
