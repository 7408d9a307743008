import { isDeepStrictEqual } from 'node:util';
import { EntityExists, InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { childSk, entityPk } from '../store/schema.js';
import type { Operation, Store } from '../store/store.js';
import { type EntityRecord, entityItem, entityOf, metaKey } from './config-records.js';

export interface NewEntity {
  readonly entity: string;
  /** An entity that exists, at most two levels below a root. */
  readonly parent?: string | undefined;
  /** Whether requests also draw on the parent, and its parents. @default true where there is a parent */
  readonly cascade?: boolean | undefined;
  readonly name?: string | undefined;
  /** Plain values, kept as they are. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** An entity, its parent, and so on: at most four levels decide together. */
const MOST_ANCESTORS = 3;
const FIELDS = ['entity', 'parent', 'cascade', 'name', 'metadata'];

/** Stores a new entity and the link from its parent, together. Throws `EntityExists`, and `InvalidArgument` for a parent that does not. */
export async function createEntity(store: Store, namespace: string, entity: NewEntity, nowMs: number): Promise<EntityRecord> {
  checkFields(entity, FIELDS, 'entity');
  checkName(entity.entity, 'entity');
  const { parent, cascade, name, metadata } = entity;
  if (cascade !== undefined && typeof cascade !== 'boolean')
    throw new InvalidArgument({ field: 'cascade', value: cascade, expected: 'true or false' });
  if (name !== undefined && typeof name !== 'string')
    throw new InvalidArgument({ field: 'name', value: name, expected: 'a string' });
  if (metadata !== undefined) checkJson(metadata, 'metadata');
  const ancestors = parent === undefined ? [] : await lineage(store, namespace, entity.entity, parent);
  const record: EntityRecord = {
    entity: entity.entity,
    cascade: parent !== undefined && (cascade ?? true),
    ancestors,
    createdAt: new Date(nowMs).toISOString(),
    ...(parent !== undefined && { parent }),
    ...(name !== undefined && { name }),
    ...(metadata !== undefined && { metadata }),
  };
  const operations: Operation[] = [{ kind: 'put', item: entityItem(namespace, record), ifAbsent: true }];
  if (parent !== undefined) {
    operations.push(
      { kind: 'requirePresent', key: metaKey(namespace, parent) },
      { kind: 'put', item: { pk: entityPk(namespace, parent), sk: childSk(entity.entity) } },
    );
  }
  const result = await store.transact(operations);
  if (result.applied) return record;
  if (result.failed.some(({ index }) => index === 0)) throw new EntityExists(entity.entity);
  throw noSuchParent(parent);
}

export async function getEntity(store: Store, namespace: string, entity: string): Promise<EntityRecord | undefined> {
  const [item] = await store.getItems([metaKey(namespace, entity)]);
  return entityOf(item);
}

/** Checks that a value comes back from JSON as it went in: what it would lose is not lost silently. */
function checkJson(value: unknown, field: string): void {
  checkFields(value, Object.keys(Object(value)), field);
  let copy: unknown;
  try {
    copy = JSON.parse(JSON.stringify(value));
  } catch {
    copy = undefined;
  }
  if (!isDeepStrictEqual(copy, value)) {
    throw new InvalidArgument({
      field,
      value,
      expected: 'plain JSON: objects, arrays, strings, finite numbers, true, false and null',
    });
  }
}

async function lineage(store: Store, namespace: string, entity: string, parent: string): Promise<readonly string[]> {
  checkName(parent, 'parent');
  if (parent === entity) throw new InvalidArgument({ field: 'parent', value: parent, expected: 'another entity than itself' });
  const record = await getEntity(store, namespace, parent);
  if (record === undefined) throw noSuchParent(parent);
  const ancestors = [parent, ...record.ancestors];
  if (ancestors.length > MOST_ANCESTORS) {
    throw new InvalidArgument({
      field: 'parent',
      value: parent,
      expected: `an entity with at most ${MOST_ANCESTORS - 1} ancestors of its own`,
    });
  }
  return ancestors;
}

const noSuchParent = (parent: string | undefined): InvalidArgument =>
  new InvalidArgument({ field: 'parent', value: parent, expected: 'an entity that exists (createEntity makes one)' });
