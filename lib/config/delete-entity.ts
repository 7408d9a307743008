import { EntityHasChildren, InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { ENTITY_LIMITS_SK, entityPk, KEY_LINK_PREFIX, limitsResourceOf } from '../store/schema.js';
import type { Item, Operation, Store } from '../store/store.js';
import { apiKeyOf, credentialOf } from './api-keys.js';
import { attempted } from './attempted.js';
import { type Author, audited } from './audit.js';
import { metaKey, type Scope } from './config-records.js';
import { directoryKey } from './entity-directory.js';
import { readEntity, type StoredEntity } from './entity-record.js';
import { childNames, MOST_OPERATIONS, unlinkOperations } from './entity-tree.js';
import { deleteOperations } from './scope-limits.js';

export interface DeleteOptions {
  /** Also deletes everything below it, from the bottom up. @default false: an entity with children is refused */
  readonly recursive?: boolean | undefined;
}

/** Entities deleted at a time, of one parent. */
const AT_ONCE = 8;
/** A key takes three operations. */
const REMOVALS_AT_ONCE = Math.floor(MOST_OPERATIONS / 3);

/**
 * Deletes an entity with its keys, its limits, the link from its parent and its line in the directory; nothing where there is nothing of it.
 * What it consumed stays counted, and its history readable; its buckets stay until they expire: an entity made anew under the same name owes what
 * it owed.
 *
 * From its first write on nothing can be hung on the entity any more; then its keys go, so that a deletion that is interrupted leaves none alive
 * without it, and its record last. The same call again goes on. Throws `EntityHasChildren` before anything is changed; `ChangeConflict`.
 */
export async function deleteEntity(
  store: Store,
  namespace: string,
  author: Author,
  entity: string,
  options: DeleteOptions,
): Promise<void> {
  checkName(entity, 'entity');
  checkFields(options, ['recursive'], 'options');
  const { recursive = false } = options;
  if (typeof recursive !== 'boolean') {
    throw new InvalidArgument({ field: 'options.recursive', value: recursive, expected: 'true or false' });
  }
  const subject = `entity ${JSON.stringify(entity)}`;
  const { stored } = await attempted(subject, () => sealed(store, namespace, author, entity, recursive));
  const had = await removeBelongings(store, namespace, author, entity);
  if (stored !== undefined) await store.transact(removal(namespace, author, stored));
  else if (had) await store.transact([{ kind: 'remove', key: directoryKey(namespace, entity) }]);
  else return;
  // What somebody stored for it in between.
  await removeBelongings(store, namespace, author, entity);
}

/** The entity, without children and closed to new ones. Undefined when it must be looked at again: its children went, or somebody changed it. */
async function sealed(
  store: Store,
  namespace: string,
  author: Author,
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
      await Promise.all(
        names.slice(from, from + AT_ONCE).map((child) => deleteEntity(store, namespace, author, child, { recursive })),
      );
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

/** Deletes an entity's keys and limits, each with the record of it. Whether there were any. */
async function removeBelongings(store: Store, namespace: string, author: Author, entity: string): Promise<boolean> {
  const pk = entityPk(namespace, entity);
  let had = false;
  await attempted(`entity ${JSON.stringify(entity)}`, async () => {
    const keys = await store.queryItems(pk, KEY_LINK_PREFIX);
    const limits = await store.queryItems(pk, ENTITY_LIMITS_SK);
    const removals = [
      ...keys.map((link) => keyRemoval(namespace, author, link)),
      ...limits.map((item) => deleteOperations(namespace, author, scopeOf(entity, item), item)),
    ];
    had ||= removals.length > 0;
    for (let from = 0; from < removals.length; from += REMOVALS_AT_ONCE) {
      const { applied } = await store.transact(removals.slice(from, from + REMOVALS_AT_ONCE).flat());
      if (!applied) return undefined;
    }
    return true;
  });
  return had;
}

/** A key goes with its link. */
function keyRemoval(namespace: string, author: Author, link: Item): readonly Operation[] {
  const from = apiKeyOf(link);
  const { entity, keyId } = from;
  const { record } = audited(namespace, author, { action: 'key.delete', target: { entity, keyId }, from });
  return [
    { kind: 'remove', key: credentialOf(link) },
    { kind: 'remove', key: { pk: link.pk, sk: link.sk }, ifEqual: { change: link.change as string | undefined } },
    record,
  ];
}

function scopeOf(entity: string, { sk }: Item): Scope {
  const resource = limitsResourceOf(sk);
  return resource === undefined ? { entity } : { entity, resource };
}

/** Nothing happens when another deletion was quicker. */
function removal(namespace: string, author: Author, { record: from }: StoredEntity): readonly Operation[] {
  const { entity, parent } = from;
  return [
    { kind: 'remove', key: metaKey(namespace, entity), ifPresent: true },
    { kind: 'remove', key: directoryKey(namespace, entity) },
    ...(parent === undefined ? [] : unlinkOperations(namespace, entity, parent)),
    audited(namespace, author, { action: 'entity.delete', target: { entity }, from }).record,
  ];
}
