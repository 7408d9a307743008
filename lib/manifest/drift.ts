import { readItems } from '../config/read-items.js';
import { auditPk } from '../store/schema.js';
import type { Store } from '../store/store.js';
import { readManaged } from './managed.js';
import { readThings } from './read-things.js';
import { type Thing, thingId, thingOf } from './thing.js';

/** A managed thing that is no longer as an apply left it. */
export interface Drift {
  readonly thing: Thing;
  readonly kind: 'changed' | 'deleted';
  /** Who changed it last, and when (ISO 8601); undefined where it was deleted, or the history no longer tells. */
  readonly last: { readonly actor: string; readonly at: string } | undefined;
}

/** All that somebody changed or deleted through another door since it was applied, in the order of the things' ids. Needs no manifest. */
export async function readDrift(store: Store, namespace: string): Promise<readonly Drift[]> {
  const { changes } = await readManaged(store, namespace);
  const stored = await readThings(store, namespace, [...changes.keys()].map(thingOf));
  const drifted = stored.filter(({ thing, item, change }) => item === undefined || changes.get(thingId(thing)) !== change);
  const known = await authors(
    store,
    namespace,
    drifted.flatMap(({ change }) => change ?? []),
  );
  return drifted.map(({ thing, item, change }) => ({
    thing,
    kind: item === undefined ? 'deleted' : 'changed',
    last: change === undefined ? undefined : known.get(change),
  }));
}

/** Who made these changes, as far as the history tells. */
async function authors(
  store: Store,
  namespace: string,
  changes: readonly string[],
): Promise<ReadonlyMap<string, { readonly actor: string; readonly at: string }>> {
  // An id begins with the time of its change.
  const keys = changes.map((sk) => ({ pk: auditPk(namespace, sk.slice(0, 7)), sk }));
  const records = await readItems(store, keys);
  return new Map(
    records.flatMap((item) =>
      typeof item?.actor === 'string' ? [[item.sk, { actor: item.actor, at: item.sk.split('#')[0] ?? '' }] as const] : [],
    ),
  );
}
