/** The tree that entities make: what lies above and below one, and how a change of it reaches everything below. */
import { isDeepStrictEqual } from 'node:util';
import { ChangeConflict, InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { CHILD_PREFIX, childSk, entityPk } from '../store/schema.js';
import type { ItemUpdate, Operation, Store } from '../store/store.js';
import { pause } from './answering-store.js';
import { ATTEMPTS } from './attempted.js';
import { metaKey } from './config-records.js';
import { type Ancestor, ancestryBelow, entityUpdate, readEntities, readEntity, type StoredEntity } from './entity-record.js';

/** An entity, its parent, and so on: at most four levels decide together. */
const MOST_ANCESTORS = 3;
/** Operations of one transaction: two fewer than a store takes, for those that an apply of a manifest adds to each. */
export const MOST_OPERATIONS = 98;
const LONGEST_PAGE = 100_000;

/** Which children: those whose name comes after `after`, in the order of its UTF-8 bytes, and no more than `limit`. @default all */
export interface Page {
  readonly after?: string | undefined;
  /** 1 to 100,000. */
  readonly limit?: number | undefined;
}

/** Throws `InvalidArgument` for what is no page. */
export function checkPage(page: Page): void {
  checkFields(page, ['after', 'limit'], 'page');
  const { after, limit } = page;
  if (after !== undefined) checkName(after, 'page.after');
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 1 || limit > LONGEST_PAGE)) {
    throw new InvalidArgument({ field: 'page.limit', value: limit, expected: `an integer from 1 to ${LONGEST_PAGE}` });
  }
}

/** The names of an entity's children. */
export async function childNames(
  store: Store,
  namespace: string,
  entity: string,
  { after, limit }: Page = {},
): Promise<readonly string[]> {
  const options = { ...(after !== undefined && { after: childSk(after) }), ...(limit !== undefined && { most: limit }) };
  const links = await store.queryItems(entityPk(namespace, entity), CHILD_PREFIX, options);
  return links.map(({ sk }) => sk.slice(CHILD_PREFIX.length));
}

/** The operations that hang an entity on a parent that is as it was seen. */
export function linkOperations(namespace: string, entity: string, parent: StoredEntity): readonly Operation[] {
  const name = parent.record.entity;
  return [
    { kind: 'update', key: metaKey(namespace, name), add: { children: 1 }, ifEqual: { version: parent.version } },
    { kind: 'put', item: linkKey(namespace, name, entity) },
  ];
}

/** The operations that take an entity from its parent. */
export function unlinkOperations(namespace: string, entity: string, parent: string, version?: number): readonly Operation[] {
  const key = metaKey(namespace, parent);
  return [
    { kind: 'update', key, add: { children: -1 }, ...(version !== undefined && { ifEqual: { version } }) },
    { kind: 'remove', key: linkKey(namespace, parent, entity) },
  ];
}

/** The condition that nobody changes an entity. */
export function requireUnchanged(namespace: string, { record, version }: StoredEntity): Operation {
  return { kind: 'requirePresent', key: metaKey(namespace, record.entity), ifEqual: { version } };
}

/** Where the link to a child is. */
export const linkKey = (namespace: string, parent: string, child: string) => ({
  pk: entityPk(namespace, parent),
  sk: childSk(child),
});

/**
 * What lies above a child of `parent`, parent first, by the parents' own records. Throws `InvalidArgument` for a parent that is not there, lies
 * below `entity`, or has too many ancestors.
 */
export async function lineage(store: Store, namespace: string, entity: string, parent: string): Promise<readonly StoredEntity[]> {
  const found: StoredEntity[] = [];
  for (let name: string | undefined = parent; name !== undefined; ) {
    if (name === entity) {
      const expected = parent === entity ? 'another entity than itself' : `an entity that is not below ${entity} itself`;
      throw new InvalidArgument({ field: 'parent', value: parent, expected });
    }
    if (found.length === MOST_ANCESTORS) throw tooDeep(parent, 0);
    const above: StoredEntity | undefined = await readEntity(store, namespace, name);
    if (above === undefined || above.deleting) throw noSuchParent(parent);
    found.push(above);
    name = above.record.parent;
  }
  return found;
}

/** Checks that an entity may stand below these ancestors with `height` levels below itself. Throws `InvalidArgument`. */
export function checkDepth(parent: string | undefined, ancestry: readonly Ancestor[], height: number): void {
  if (ancestry.length + height > MOST_ANCESTORS) throw tooDeep(parent, height);
}

const tooDeep = (parent: string | undefined, height: number): InvalidArgument => {
  const most = MOST_ANCESTORS - 1 - height;
  const below = height === 0 ? '' : ` (the entity has ${height} ${height === 1 ? 'level' : 'levels'} below it)`;
  const expected = most < 0 ? 'left out' : `an entity with at most ${most} ancestors of its own`;
  return new InvalidArgument({ field: 'parent', value: parent, expected: `${expected}${below}` });
};

export const noSuchParent = (parent: string | undefined): InvalidArgument =>
  new InvalidArgument({ field: 'parent', value: parent, expected: 'an entity that exists (createEntity makes one)' });

/** What lies below an entity, level by level. Stops where a level lies deeper than any may. */
export async function subtree(
  store: Store,
  namespace: string,
  root: StoredEntity,
): Promise<readonly (readonly StoredEntity[])[]> {
  const levels: (readonly StoredEntity[])[] = [];
  for (let level: readonly StoredEntity[] = [root]; levels.length <= MOST_ANCESTORS; levels.push(level)) {
    const below: StoredEntity[] = [];
    for (const one of level) below.push(...(await childrenOf(store, namespace, one)));
    if (below.length === 0) break;
    level = below;
  }
  return levels;
}

async function childrenOf(store: Store, namespace: string, { record, children }: StoredEntity): Promise<readonly StoredEntity[]> {
  if (children === 0) return [];
  const names = await childNames(store, namespace, record.entity);
  return (await readEntities(store, namespace, names)).filter((child) => child.record.parent === record.entity);
}

/** The updates that tell everything below a changed entity of the change, from the top down; none for those that know already. */
export function followUpdates(
  namespace: string,
  changed: Pick<StoredEntity, 'record' | 'ancestry'>,
  levels: readonly (readonly StoredEntity[])[],
): readonly ItemUpdate[] {
  const above = new Map([[changed.record.entity, ancestryBelow(changed)]]);
  return levels.flat().flatMap((seen) => {
    const ancestry = above.get(seen.record.parent ?? '') ?? [];
    above.set(seen.record.entity, ancestryBelow({ record: seen.record, ancestry }));
    return isDeepStrictEqual(ancestry, seen.ancestry) ? [] : [entityUpdate(namespace, seen, seen.record, ancestry)];
  });
}

/**
 * Brings everything below an entity up to date with the records above it. Each is changed only while its parent's record is the one it was told
 * of: of two changes above, the later one wins everywhere, in whatever order they come down. Throws `ChangeConflict` after eight attempts.
 */
export async function bringDown(store: Store, namespace: string, entity: string): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const parent = await readEntity(store, namespace, entity);
    if (parent === undefined) return;
    const children = await childrenOf(store, namespace, parent);
    if (await allApplied(store, followUpdates(namespace, parent, [children]), requireUnchanged(namespace, parent))) {
      for (const { record, children: below } of children) if (below > 0) await bringDown(store, namespace, record.entity);
      return;
    }
    await pause(attempt);
  }
  throw new ChangeConflict(`entity ${JSON.stringify(entity)}`, ATTEMPTS);
}

async function allApplied(store: Store, updates: readonly ItemUpdate[], unchanged: Operation): Promise<boolean> {
  for (let from = 0; from < updates.length; from += MOST_OPERATIONS - 1) {
    const result = await store.transact([unchanged, ...updates.slice(from, from + MOST_OPERATIONS - 1)]);
    if (!result.applied) return false;
  }
  return true;
}
