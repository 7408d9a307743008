/** The namespaces of a table that are to be listed, outside every tenant's reach. Using a namespace needs no registration. */
import { InvalidArgument, NamespaceExists } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { NAMESPACES_PK, WHOLE_TABLE } from '../store/schema.js';
import type { Item, ItemKey, Store } from '../store/store.js';
import { type Author, audited } from './audit.js';
import { checkJson } from './entities.js';
import type { Page } from './entity-tree.js';

export interface NewNamespace {
  readonly namespace: string;
  readonly title?: string | undefined;
  /** Plain values, kept as they are. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** A namespace as it is listed. */
export interface NamespaceRecord {
  readonly namespace: string;
  readonly title?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** ISO 8601. Absent: it never was registered, and is being purged. */
  readonly registeredAt?: string;
  readonly registeredBy?: string;
  /** Present while it is being purged. */
  readonly purge?: PurgeProgress;
}

/** How far a purge has come, over all the processes that worked at it. */
export interface PurgeProgress {
  /** ISO 8601. */
  readonly startedAt: string;
  readonly startedBy: string;
  /** Whether the history of the namespace goes as well. */
  readonly includeAudit: boolean;
  /** 1: what lets requests in. 2: all else. */
  readonly pass: 1 | 2;
  /** Items of the whole table that were looked at, in both passes. */
  readonly examined: number;
  /** Items of the namespace that were deleted. */
  readonly deleted: number;
}

/** A namespace's record with what its changes need. */
export interface StoredNamespace {
  readonly record: NamespaceRecord;
  /** The id of its last change in the history. */
  readonly change: string;
  /** The last key that its purge is done with. */
  readonly after: ItemKey | undefined;
}

export const namespaceKey = (namespace: string): ItemKey => ({ pk: NAMESPACES_PK, sk: namespace });

/** Registers a namespace. Throws `NamespaceExists`, `InvalidArgument`. */
export async function registerNamespace(store: Store, author: Author, namespace: NewNamespace): Promise<NamespaceRecord> {
  checkFields(namespace, ['namespace', 'title', 'metadata'], 'namespace');
  const { namespace: name, title, metadata } = namespace;
  checkName(name, 'namespace');
  if (title !== undefined && typeof title !== 'string')
    throw new InvalidArgument({ field: 'title', value: title, expected: 'a string' });
  if (metadata !== undefined) checkJson(metadata, 'metadata');
  const record: NamespaceRecord = {
    namespace: name,
    ...(title !== undefined && { title }),
    ...(metadata !== undefined && { metadata }),
    registeredAt: new Date(author.nowMs).toISOString(),
    registeredBy: author.actor,
  };
  const { change, record: audit } = audited(WHOLE_TABLE, author, {
    action: 'namespace.register',
    target: { namespace: name },
    to: record,
  });
  const result = await store.transact([{ kind: 'put', item: namespaceItem(record, change), ifAbsent: true }, audit]);
  if (result.applied) return record;
  throw new NamespaceExists(name, result.failed[0]?.met?.purge !== undefined);
}

/** What is registered, and what is being purged, in the order of the UTF-8 bytes of the names. */
export async function namespaceRecords(store: Store, { after, limit }: Page): Promise<readonly NamespaceRecord[]> {
  const items = await store.queryItems(NAMESPACES_PK, '', {
    ...(after !== undefined && { after }),
    ...(limit !== undefined && { most: limit }),
  });
  return items.map((item) => storedNamespaceOf(item).record);
}

/** A namespace as it is stored now; undefined where there is no record of it. */
export async function readNamespace(store: Store, namespace: string): Promise<StoredNamespace | undefined> {
  const [item] = await store.getItems([namespaceKey(namespace)], { consistent: true });
  return item && storedNamespaceOf(item);
}

export function namespaceItem({ namespace, metadata, ...record }: NamespaceRecord, change: string): Item {
  // Metadata as text: any JSON comes back as it went in.
  return { ...namespaceKey(namespace), ...record, metadata: metadata && JSON.stringify(metadata), change };
}

function storedNamespaceOf(item: Item): StoredNamespace {
  const { pk: _, sk: namespace, change, after, metadata, ...record } = item;
  return {
    record: {
      namespace,
      ...record,
      ...(typeof metadata === 'string' && { metadata: JSON.parse(metadata) as Record<string, unknown> }),
    },
    change: String(change),
    after: after as ItemKey | undefined,
  };
}
