/** What a manifest can name, one by one: a scope with its limits and options, or an entity's record. */
import { metaKey, type Scope, scopeKey } from '../config/config-records.js';
import { scopeText } from '../config/scope-limits.js';
import { InvalidArgument } from '../errors.js';
import type { Item, ItemKey } from '../store/store.js';

export type Thing = { readonly kind: 'setting'; readonly scope: Scope } | { readonly kind: 'entity'; readonly entity: string };

/** One thing, one id: `system`, `resource#R`, `tier#T`, `tier#T#R`, `entity#E`, `entity#E#limits`, `entity#E#limits#R`. Names hold no `#`. */
export function thingId(thing: Thing): string {
  if (thing.kind === 'entity') return `entity#${thing.entity}`;
  const { system, tier, entity, resource } = thing.scope as Partial<Record<'tier' | 'entity' | 'resource', string>> & {
    readonly system?: true;
  };
  if (system) return 'system';
  const on = resource === undefined ? '' : `#${resource}`;
  if (entity !== undefined) return `entity#${entity}#limits${on}`;
  return tier === undefined ? `resource${on}` : `tier#${tier}${on}`;
}

/** The thing of an id. Throws `InvalidArgument` for what is none. */
export function thingOf(id: string): Thing {
  const [kind, name, ...rest] = id.split('#');
  const [third, fourth] = rest;
  if (kind === 'entity' && name !== undefined) {
    if (third === undefined) return { kind: 'entity', entity: name };
    return { kind: 'setting', scope: fourth === undefined ? { entity: name } : { entity: name, resource: fourth } };
  }
  if (kind === 'tier' && name !== undefined)
    return { kind: 'setting', scope: third === undefined ? { tier: name } : { tier: name, resource: third } };
  if (kind === 'resource' && name !== undefined) return { kind: 'setting', scope: { resource: name } };
  if (id === 'system') return { kind: 'setting', scope: { system: true } };
  throw new InvalidArgument({ field: 'id', value: id, expected: 'the id of a setting or an entity' });
}

/** Where a thing is stored. */
export function thingKey(namespace: string, thing: Thing): ItemKey {
  return thing.kind === 'entity' ? metaKey(namespace, thing.entity) : scopeKey(namespace, thing.scope);
}

/** A thing as a person names it: `resource gpt-4o`, `tier pro on gpt-4o`, `entity acme`, `limits of entity acme on gpt-4o`. */
export function thingText(thing: Thing): string {
  if (thing.kind === 'entity') return `entity ${thing.entity}`;
  return `${'entity' in thing.scope ? 'limits of ' : ''}${scopeText(thing.scope)}`;
}

/** The id of the audit record of an item's last change. */
export const changeOf = (item: Item | undefined): string | undefined =>
  typeof item?.change === 'string' ? item.change : undefined;
