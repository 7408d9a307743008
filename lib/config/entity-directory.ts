import { partitionOf } from '../store/partition-of.js';
import { DIRECTORY_PARTITIONS, directoryPk } from '../store/schema.js';
import type { Item, ItemKey, Store } from '../store/store.js';
import type { Page } from './entity-tree.js';

/** The line of an entity in the directory of all entities. */
export function directoryKey(namespace: string, entity: string): ItemKey {
  return { pk: directoryPk(namespace, partitionOf(entity, DIRECTORY_PARTITIONS)), sk: entity };
}

export const directoryItem = (namespace: string, entity: string): Item => directoryKey(namespace, entity);

/**
 * The names of all entities, in an order of no meaning that stays the same. A page goes on after the last name of the one before it, and is the
 * last when it is shorter than its limit.
 */
export async function entityNames(store: Store, namespace: string, { after, limit }: Page): Promise<readonly string[]> {
  const names: string[] = [];
  const first = after === undefined ? 0 : partitionOf(after, DIRECTORY_PARTITIONS);
  for (
    let partition = first;
    partition < DIRECTORY_PARTITIONS && names.length < (limit ?? Number.POSITIVE_INFINITY);
    partition += 1
  ) {
    const items = await store.queryItems(directoryPk(namespace, partition), '', {
      ...(after !== undefined && partition === first && { after }),
      ...(limit !== undefined && { most: limit - names.length }),
    });
    names.push(...items.map(({ sk }) => sk));
  }
  return names;
}
