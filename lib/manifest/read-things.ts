import { atOnce } from '../at-once.js';
import type { Item, Store } from '../store/store.js';
import { changeOf, type Thing, thingKey } from './thing.js';

/** A thing with what is stored of it. */
export interface StoredThing {
  readonly thing: Thing;
  readonly item: Item | undefined;
  /** The id of the audit record of its last change. */
  readonly change: string | undefined;
}

/** Keys of one read, and reads under way at a time. */
const MOST_KEYS = 100;
const AT_ONCE = 8;

/** Things as they are stored now, in the order given: a read for each hundred of them. */
export async function readThings(store: Store, namespace: string, things: readonly Thing[]): Promise<readonly StoredThing[]> {
  const batches: (readonly Thing[])[] = [];
  for (let from = 0; from < things.length; from += MOST_KEYS) batches.push(things.slice(from, from + MOST_KEYS));
  const found = await atOnce(batches, AT_ONCE, async (batch) => {
    const keys = batch.map((thing) => thingKey(namespace, thing));
    const items = await store.getItems(keys, { consistent: true });
    return batch.map((thing, index): StoredThing => ({ thing, item: items[index], change: changeOf(items[index]) }));
  });
  return found.flat();
}
