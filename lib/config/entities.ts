import { isDeepStrictEqual } from 'node:util';
import { EntityExists, InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import type { Operation, Store } from '../store/store.js';
import { attempted } from './attempted.js';
import { type Author, audited } from './audit.js';
import { directoryItem } from './entity-directory.js';
import {
  type Ancestor,
  ancestryBelow,
  type EntityRecord,
  entityItem,
  entityUpdate,
  readEntity,
  type StoredEntity,
} from './entity-record.js';
import {
  bringDown,
  checkDepth,
  followUpdates,
  lineage,
  linkOperations,
  MOST_OPERATIONS,
  noSuchParent,
  requireUnchanged,
  subtree,
  unlinkOperations,
} from './entity-tree.js';

export interface NewEntity {
  readonly entity: string;
  /** An entity that exists, at most two levels below a root. */
  readonly parent?: string | undefined;
  /** Whether requests also draw on the parent, and its parents. @default true where there is a parent */
  readonly cascade?: boolean | undefined;
  /** Whose limits apply where the entity has none of its own. @default no tier */
  readonly tier?: string | undefined;
  readonly name?: string | undefined;
  /** Plain values, kept as they are. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** What is to be changed; null takes a value away, what is left out stays as it is. */
export interface EntityChange {
  readonly entity: string;
  /** Moves the entity with everything below it; null makes it a root. */
  readonly parent?: string | null | undefined;
  readonly cascade?: boolean | undefined;
  readonly tier?: string | null | undefined;
  readonly name?: string | null | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | null | undefined;
}

/** A cold request reads it, and a change of it is recorded with what it was before. */
const MOST_METADATA_BYTES = 32_768;
const FIELDS = ['entity', 'parent', 'cascade', 'tier', 'name', 'metadata'];

/**
 * Stores a new entity, the link from its parent and its line in the directory, together. Throws `EntityExists`, and `InvalidArgument` for a
 * parent that does not exist or has two ancestors of its own already.
 */
export async function createEntity(store: Store, namespace: string, author: Author, entity: NewEntity): Promise<EntityRecord> {
  checkEntity(entity);
  const { entity: id, parent } = entity;
  if (parent === id) throw new InvalidArgument({ field: 'parent', value: parent, expected: 'another entity than itself' });
  return attempted(`entity ${JSON.stringify(id)}`, async () => {
    const above = parent === undefined ? undefined : await readEntity(store, namespace, parent);
    const { record, operations } = creation(namespace, author, entity, above);
    const result = await store.transact([...operations, ...(above === undefined ? [] : linkOperations(namespace, id, above))]);
    if (result.applied) return record;
    if (result.failed.some(({ index }) => index === 0)) throw new EntityExists(id);
    return undefined;
  });
}

/**
 * A new entity's record, and the operations that store it, its history and its line in the directory; the first is the record's. What links it with
 * its parent is not among them. Throws `InvalidArgument` where the parent is not there, is being deleted or has two ancestors of its own.
 */
export function creation(
  namespace: string,
  author: Author,
  entity: NewEntity,
  above: StoredEntity | undefined,
): { readonly record: EntityRecord; readonly operations: readonly Operation[] } {
  checkEntity(entity);
  const { entity: id, parent } = entity;
  if (parent !== undefined && (above === undefined || above.deleting)) throw noSuchParent(parent);
  const ancestry = above === undefined ? [] : ancestryBelow(above);
  checkDepth(parent, ancestry, 0);
  const createdAt = new Date(author.nowMs).toISOString();
  const record = recordOf({ entity: id, cascade: false, ancestors: [], createdAt }, entity, ancestry);
  const { change, record: audit } = audited(namespace, author, { action: 'entity.create', target: { entity: id }, to: record });
  return {
    record,
    operations: [
      { kind: 'put', item: entityItem(namespace, record, ancestry, change), ifAbsent: true },
      audit,
      { kind: 'put', item: directoryItem(namespace, id) },
    ],
  };
}

export async function getEntity(store: Store, namespace: string, entity: string): Promise<EntityRecord | undefined> {
  const stored = await readEntity(store, namespace, entity);
  return stored?.deleting ? undefined : stored?.record;
}

/**
 * Changes an entity, and what its descendants' records repeat of it, in one transaction of up to 100 records; the rest of a larger subtree
 * follows in further ones, from the top down. Interrupted in between, the same call again brings it to its end.
 * Throws `InvalidArgument` for an entity or parent that does not exist, a parent below the entity itself, or more than four levels; `ChangeConflict`.
 */
export async function updateEntity(store: Store, namespace: string, author: Author, change: EntityChange): Promise<EntityRecord> {
  checkEntity(change);
  const { entity } = change;
  return attempted(`entity ${JSON.stringify(entity)}`, async () => {
    const seen = await readEntity(store, namespace, entity);
    if (seen === undefined || seen.deleting) {
      throw new InvalidArgument({ field: 'entity', value: entity, expected: 'an entity that exists (createEntity makes one)' });
    }
    const before = seen.record.parent;
    const parent = change.parent === undefined ? before : (change.parent ?? undefined);
    const above = parent === undefined ? [] : await lineage(store, namespace, entity, parent);
    const ancestry = above.map(({ record }): Ancestor => ancestryBelow({ record, ancestry: [] })[0] as Ancestor);
    const record = recordOf(seen.record, change, ancestry);
    const levels = passesDown(change) ? await subtree(store, namespace, seen) : [];
    checkDepth(parent, ancestry, levels.length);
    const followers = followUpdates(namespace, { record, ancestry }, levels);
    if (followers.length === 0 && isDeepStrictEqual(record, seen.record)) return record;
    const head = [...updateOperations(namespace, author, seen, record, ancestry)];
    if (parent !== before) head.push(...moveOperations(namespace, seen, above));
    const room = MOST_OPERATIONS - head.length;
    const result = await store.transact([...head, ...followers.slice(0, room)]);
    if (!result.applied) return undefined;
    if (followers.length > room) await bringDown(store, namespace, entity);
    return record;
  });
}

/** The operations that change an entity as it was seen to another record below these ancestors; the first is the record's. */
function updateOperations(
  namespace: string,
  author: Author,
  seen: StoredEntity,
  to: EntityRecord,
  ancestry: readonly Ancestor[],
): readonly Operation[] {
  const target = { entity: to.entity };
  const { change, record } = audited(namespace, author, { action: 'entity.update', target, from: seen.record, to });
  return [entityUpdate(namespace, seen, to, ancestry, change), record];
}

/**
 * The operations of a change that nothing has to follow: of an entity without children, or of nothing that descendants' records repeat. The first is
 * the record's. Undefined for any other change.
 */
export function plainUpdate(
  namespace: string,
  author: Author,
  seen: StoredEntity,
  change: EntityChange,
): readonly Operation[] | undefined {
  checkEntity(change);
  if (change.parent !== undefined || seen.deleting || (passesDown(change) && seen.children > 0)) return undefined;
  return updateOperations(namespace, author, seen, recordOf(seen.record, change, seen.ancestry), seen.ancestry);
}

/** Whether descendants' records repeat what is changed. */
const passesDown = ({ parent, cascade, tier }: EntityChange): boolean =>
  parent !== undefined || cascade !== undefined || tier !== undefined;

/** Takes an entity from its parent and hangs it on another, while nothing above that one changes: two moves cannot close a circle together. */
function moveOperations(namespace: string, { record }: StoredEntity, above: readonly StoredEntity[]): readonly Operation[] {
  const [parent, ...further] = above;
  const before = record.parent;
  // A transaction names no item twice: the former parent may stand further up.
  const stillAbove = further.find((one) => one.record.entity === before);
  return [
    ...(before === undefined ? [] : unlinkOperations(namespace, record.entity, before, stillAbove?.version)),
    ...(parent === undefined ? [] : linkOperations(namespace, record.entity, parent)),
    ...further.filter((one) => one !== stillAbove).map((one) => requireUnchanged(namespace, one)),
  ];
}

/** The record after a change, below these ancestors. */
function recordOf(record: EntityRecord, change: EntityChange | NewEntity, ancestry: readonly Ancestor[]): EntityRecord {
  const { parent: before, tier, name, metadata, ...rest } = record;
  const parent = ancestry[0]?.entity;
  const kept = <T>(given: T | null | undefined, old: T | undefined) => (given === undefined ? old : (given ?? undefined));
  const optional = {
    parent,
    tier: kept(change.tier, tier),
    name: kept(change.name, name),
    metadata: kept(change.metadata, metadata),
  };
  return {
    ...rest,
    cascade: parent !== undefined && (change.cascade ?? (before === undefined || record.cascade)),
    ancestors: ancestry.map(({ entity }) => entity),
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<EntityRecord>),
  };
}

/** Throws `InvalidArgument` for what no entity can be, whatever is stored. */
export function checkEntity(entity: NewEntity | EntityChange): void {
  checkFields(entity, FIELDS, 'entity');
  checkName(entity.entity, 'entity');
  const { parent, cascade, tier, name, metadata } = entity;
  if (parent !== undefined && parent !== null) checkName(parent, 'parent');
  if (tier !== undefined && tier !== null) checkName(tier, 'tier');
  if (cascade !== undefined && typeof cascade !== 'boolean')
    throw new InvalidArgument({ field: 'cascade', value: cascade, expected: 'true or false' });
  if (name !== undefined && name !== null && typeof name !== 'string')
    throw new InvalidArgument({ field: 'name', value: name, expected: 'a string' });
  if (metadata !== undefined && metadata !== null) checkJson(metadata, 'metadata');
}

/** Checks that a value comes back from JSON as it went in: what it would lose is not lost silently. */
export function checkJson(value: unknown, field: string): void {
  checkFields(value, Object.keys(Object(value)), field);
  let copy: unknown;
  try {
    copy = JSON.parse(JSON.stringify(value));
  } catch {
    copy = undefined;
  }
  if (copy !== undefined && Buffer.byteLength(JSON.stringify(value)) > MOST_METADATA_BYTES)
    throw new InvalidArgument({ field, value: 'more than that', expected: `at most ${MOST_METADATA_BYTES} bytes of JSON` });
  if (!isDeepStrictEqual(copy, value)) {
    throw new InvalidArgument({
      field,
      value,
      expected: 'plain JSON: objects, arrays, strings, finite numbers, true, false and null',
    });
  }
}
