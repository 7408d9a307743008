import { readItems } from '../config/read-items.js';
import type { Item, Store } from '../store/store.js';
import { changeOf, type Thing, thingKey } from './thing.js';

/** A thing with what is stored of it. */
export interface StoredThing {
  readonly thing: Thing;
  readonly item: Item | undefined;
  /** The id of the audit record of its last change. */
  readonly change: string | undefined;
}

/** Things as they are stored now, in the order given. */
export async function readThings(store: Store, namespace: string, things: readonly Thing[]): Promise<readonly StoredThing[]> {
  const items = await readItems(
    store,
    things.map((thing) => thingKey(namespace, thing)),
  );
  return things.map((thing, index) => ({ thing, item: items[index], change: changeOf(items[index]) }));
}
