import { atOnce } from '../at-once.js';
import type { Item, ItemKey, Store } from '../store/store.js';

/** Keys of one read, and reads under way at a time. */
const MOST_KEYS = 100;
const AT_ONCE = 8;

/** Any number of items as they are stored now, in the order of their keys; undefined where there is none. A read for each hundred of them. */
export async function readItems(store: Store, keys: readonly ItemKey[]): Promise<readonly (Item | undefined)[]> {
  const batches: (readonly ItemKey[])[] = [];
  for (let from = 0; from < keys.length; from += MOST_KEYS) batches.push(keys.slice(from, from + MOST_KEYS));
  return (await atOnce(batches, AT_ONCE, (batch) => store.getItems(batch, { consistent: true }))).flat();
}
