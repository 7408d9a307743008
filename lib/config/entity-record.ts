/** Entities as items of the table: what a record holds, and what its descendants' records repeat of it. */
import { isDeepStrictEqual } from 'node:util';
import type { Item, ItemUpdate, Store } from '../store/store.js';
import { metaKey } from './config-records.js';
import { readItems } from './read-items.js';

/** An entity's own data, as `getEntity` gives it. */
export interface EntityRecord {
  readonly entity: string;
  /** The entity it belongs to. */
  readonly parent?: string;
  /** Whether its requests also draw on its parent, and so on upwards. */
  readonly cascade: boolean;
  /** From the parent to the root. */
  readonly ancestors: readonly string[];
  readonly tier?: string;
  readonly name?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** What resolving needs of an ancestor, repeated in each of its descendants' records: a request reads one record, however deep it is. */
export interface Ancestor {
  readonly entity: string;
  readonly cascade: boolean;
  readonly tier?: string;
}

/** A record with what keeps the tree whole under simultaneous changes. */
export interface StoredEntity {
  readonly record: EntityRecord;
  /** From the parent to the root. */
  readonly ancestry: readonly Ancestor[];
  /** Grows with every change of the record; a child that comes or goes is none. */
  readonly version: number;
  readonly children: number;
  /** It is being deleted: nothing may be hung on it any more. */
  readonly deleting: boolean;
  /** The id of its last change in the history; what follows from a change above it is none. */
  readonly change: string | undefined;
}

/** The ancestry of an entity's children. */
export function ancestryBelow({ record, ancestry }: Pick<StoredEntity, 'record' | 'ancestry'>): readonly Ancestor[] {
  const { entity, cascade, tier } = record;
  return [{ entity, cascade, ...(tier !== undefined && { tier }) }, ...ancestry];
}

/** The ancestors that an entity's requests draw on: up to the first that does not cascade. */
export function drawnOn({ record, ancestry }: StoredEntity): readonly Ancestor[] {
  if (!record.cascade) return [];
  const end = ancestry.findIndex(({ cascade }) => !cascade);
  return end === -1 ? ancestry : ancestry.slice(0, end + 1);
}

/** A new entity's item. */
export function entityItem(namespace: string, record: EntityRecord, ancestry: readonly Ancestor[], change: string): Item {
  return { ...metaKey(namespace, record.entity), ...attributesOf(record, ancestry), version: 1, children: 0, change };
}

/**
 * The change of an entity's item to another record, on condition that nobody changed it since it was read; nor the number of its children, when
 * the change concerns them.
 */
export function entityUpdate(
  namespace: string,
  seen: StoredEntity,
  record: EntityRecord,
  ancestry: readonly Ancestor[],
  change = seen.change,
): ItemUpdate {
  return {
    kind: 'update',
    key: metaKey(namespace, record.entity),
    set: { ...attributesOf(record, ancestry), change },
    add: { version: 1 },
    ifEqual: {
      version: seen.version,
      ...(!isDeepStrictEqual(ancestryBelow(seen), ancestryBelow({ record, ancestry })) && { children: seen.children }),
    },
  };
}

function attributesOf({ metadata, ...record }: EntityRecord, ancestry: readonly Ancestor[]): Record<string, unknown> {
  // Metadata as text: any JSON comes back as it went in.
  const { parent, tier, name } = record;
  return { ...record, parent, tier, name, ancestors: ancestry, metadata: metadata && JSON.stringify(metadata) };
}

export function storedEntityOf(item: Item | undefined): StoredEntity | undefined {
  if (item === undefined) return undefined;
  const { pk: _pk, sk: _sk, version, children, deleting, change, ancestors, metadata, ...record } = item;
  const ancestry = (ancestors ?? []) as readonly Ancestor[];
  return {
    record: {
      ...record,
      ancestors: ancestry.map(({ entity }) => entity),
      ...(typeof metadata === 'string' && { metadata: JSON.parse(metadata) as unknown }),
    } as unknown as EntityRecord,
    ancestry,
    version: Number(version),
    children: Number(children),
    deleting: deleting !== undefined,
    change: change as string | undefined,
  };
}

/** An entity as it is stored now; undefined where there is none. */
export async function readEntity(store: Store, namespace: string, entity: string): Promise<StoredEntity | undefined> {
  const [stored] = await readEntities(store, namespace, [entity]);
  return stored;
}

/** Entities as they are stored now, in the order of the names; those that are not there are left out. */
export async function readEntities(store: Store, namespace: string, names: readonly string[]): Promise<readonly StoredEntity[]> {
  const items = await readItems(
    store,
    names.map((name) => metaKey(namespace, name)),
  );
  return items.flatMap((item) => storedEntityOf(item) ?? []);
}
