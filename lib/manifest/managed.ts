/** What manifests manage: a line for each thing that an apply wrote, and the head, which says what was applied last and who is applying now. */
import { MANAGED_PREFIX, MANIFEST_HEAD_SK, managedSk, manifestPk } from '../store/schema.js';
import type { Item, ItemKey, Store } from '../store/store.js';
import { changeOf } from './thing.js';

interface Managed {
  readonly head: Head;
  /** For the id of each managed thing, the id of the audit record of what an apply wrote last; undefined: it wrote before there were any. */
  readonly changes: ReadonlyMap<string, string | undefined>;
}

export interface Head {
  /** How many applies came to their end. */
  readonly revision: number;
  /** How many transactions they made, those included that did not come to their end: what was planned at one count is true as long as it stays. */
  readonly writes: number;
  /** Grows each time an apply begins: each writes only while it is its own. */
  readonly token: number;
  /** Who applied the last revision, and when; undefined before the first. */
  readonly applied: { readonly by: string; readonly atMs: number } | undefined;
  /** The apply that has begun and not ended; after its end in time another one may take its place. */
  readonly lease: { readonly holder: string; readonly sinceMs: number; readonly untilMs: number } | undefined;
}

const NOTHING_APPLIED: Head = { revision: 0, writes: 0, token: 0, applied: undefined, lease: undefined };

export const headKey = (namespace: string): ItemKey => ({ pk: manifestPk(namespace), sk: MANIFEST_HEAD_SK });
export const managedKey = (namespace: string, id: string): ItemKey => ({ pk: manifestPk(namespace), sk: managedSk(id) });

/** The line of a thing whose last change is `change`. */
export const managedItem = (namespace: string, id: string, change: string | undefined): Item => ({
  ...managedKey(namespace, id),
  ...(change !== undefined && { change }),
});

/** All that manifests manage in a namespace, as it is now: one query. */
export async function readManaged(store: Store, namespace: string): Promise<Managed> {
  const items = await store.queryItems(manifestPk(namespace), '');
  const lines = items.filter(({ sk }) => sk.startsWith(MANAGED_PREFIX));
  return {
    head: headOf(items.find(({ sk }) => sk === MANIFEST_HEAD_SK)),
    changes: new Map(lines.map((item) => [item.sk.slice(MANAGED_PREFIX.length), changeOf(item)])),
  };
}

export async function readHead(store: Store, namespace: string): Promise<Head> {
  const [item] = await store.getItems([headKey(namespace)], { consistent: true });
  return headOf(item);
}

/** The head as an item. */
interface HeadItem {
  readonly revision: number;
  readonly writes: number;
  readonly token: number;
  readonly appliedBy?: string;
  readonly appliedAtMs?: number;
  readonly holder?: string;
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

export function headOf(item: Item | undefined): Head {
  if (item === undefined) return NOTHING_APPLIED;
  const { revision, writes, token, appliedBy, appliedAtMs = 0, holder, sinceMs = 0, untilMs = 0 } = item as Item & HeadItem;
  return {
    revision,
    writes,
    token,
    applied: appliedBy === undefined ? undefined : { by: appliedBy, atMs: appliedAtMs },
    lease: holder === undefined ? undefined : { holder, sinceMs, untilMs },
  };
}
