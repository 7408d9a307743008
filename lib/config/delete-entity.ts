import { EntityHasChildren, InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { ENTITY_LIMITS_SK, entityPk, KEY_LINK_PREFIX } from '../store/schema.js';
import type { Operation, Store } from '../store/store.js';
import { credentialOf } from './api-keys.js';
import { metaKey } from './config-records.js';
import { directoryKey } from './entity-directory.js';
import { readEntity, type StoredEntity } from './entity-record.js';
import { attempted, childNames, MOST_OPERATIONS, unlinkOperations } from './entity-tree.js';

export interface DeleteOptions {
  /** Also deletes everything below it, from the bottom up. @default false: an entity with children is refused */
  readonly recursive?: boolean | undefined;
}

/** Entities deleted at a time, of one parent. */
const AT_ONCE = 8;

/**
 * Deletes an entity with its keys, its limits, the link from its parent and its line in the directory; nothing where there is nothing of it.
 * What it consumed stays counted, and its buckets stay until they expire: an entity made anew under the same name owes what it owed.
 *
 * From its first write on nothing can be hung on the entity any more; then its keys go, so that a deletion that is interrupted leaves none alive
 * without it, and its record last. The same call again goes on. Throws `EntityHasChildren` before anything is changed; `ChangeConflict`.
 */
export async function deleteEntity(store: Store, namespace: string, entity: string, options: DeleteOptions): Promise<void> {
  checkName(entity, 'entity');
  checkFields(options, ['recursive'], 'options');
  const { recursive = false } = options;
  if (typeof recursive !== 'boolean') {
    throw new InvalidArgument({ field: 'options.recursive', value: recursive, expected: 'true or false' });
  }
  const seen = await attempted(entity, () => sealed(store, namespace, entity, recursive));
  await removeBelongings(store, namespace, entity);
  if (seen.stored === undefined) return;
  await store.transact(removal(namespace, seen.stored));
  // What somebody stored for it while its record went.
  await removeBelongings(store, namespace, entity);
}

/** The entity, without children and closed to new ones. Undefined when it must be looked at again: its children went, or somebody changed it. */
async function sealed(
  store: Store,
  namespace: string,
  entity: string,
  recursive: boolean,
): Promise<{ readonly stored: StoredEntity | undefined } | undefined> {
  const stored = await readEntity(store, namespace, entity);
  if (stored === undefined || stored.deleting) return { stored };
  const { children, version } = stored;
  if (children > 0) {
    if (!recursive) throw new EntityHasChildren(entity, children);
    const names = await childNames(store, namespace, entity);
    for (let from = 0; from < names.length; from += AT_ONCE) {
      await Promise.all(names.slice(from, from + AT_ONCE).map((child) => deleteEntity(store, namespace, child, { recursive })));
    }
    return undefined;
  }
  const { applied } = await store.transact([
    {
      kind: 'update',
      key: metaKey(namespace, entity),
      set: { deleting: true },
      add: { version: 1 },
      ifEqual: { version, children: 0 },
    },
  ]);
  return applied ? { stored } : undefined;
}

async function removeBelongings(store: Store, namespace: string, entity: string): Promise<void> {
  const pk = entityPk(namespace, entity);
  const keys = await store.queryItems(pk, KEY_LINK_PREFIX);
  const limits = await store.queryItems(pk, ENTITY_LIMITS_SK);
  const operations: Operation[] = [
    ...keys.flatMap((link): Operation[] => [
      { kind: 'remove', key: credentialOf(link) },
      { kind: 'remove', key: { pk, sk: link.sk } },
    ]),
    ...limits.map(({ sk }): Operation => ({ kind: 'remove', key: { pk, sk } })),
  ];
  // An even number: a key and its link go together.
  for (let from = 0; from < operations.length; from += MOST_OPERATIONS) {
    await store.transact(operations.slice(from, from + MOST_OPERATIONS));
  }
}

/** Nothing happens when another deletion was quicker. */
function removal(namespace: string, { record: { entity, parent } }: StoredEntity): readonly Operation[] {
  return [
    { kind: 'remove', key: metaKey(namespace, entity), ifPresent: true },
    { kind: 'remove', key: directoryKey(namespace, entity) },
    ...(parent === undefined ? [] : unlinkOperations(namespace, entity, parent)),
  ];
}
