import { ChangeConflict, InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { auditPk, configPk, credentialPk, entityPk, namespacePrefix, WHOLE_TABLE } from '../store/schema.js';
import type { ItemKey, Store, WholeTable } from '../store/store.js';
import { attempted } from './attempted.js';
import { type Author, audited } from './audit.js';
import {
  type NamespaceRecord,
  namespaceItem,
  namespaceKey,
  type PurgeProgress,
  readNamespace,
  type StoredNamespace,
} from './namespace-registry.js';

export interface PurgeOptions {
  /** Also deletes the history of its limits, entities and keys. @default false: it is kept for as long as whoever made the changes said */
  readonly includeAudit?: boolean | undefined;
  /** How many items of the table are looked at before it notes how far it has come, 1 to 10,000. @default 1,000 */
  readonly pageSize?: number | undefined;
  /** Told after each page of the table. */
  readonly onProgress?: ((progress: PurgeProgress) => void) | undefined;
}

const DEFAULT_PAGE_SIZE = 1_000;
const MOST_PAGE_SIZE = 10_000;

/**
 * Deletes everything of a namespace, page by page of the whole table, in two passes: first what lets requests in (limits, entities, keys), so that
 * nobody draws anew on a bucket that was deleted; then all else. What it has done is kept in the registry, so the same call goes on after a process
 * that was killed; another `includeAudit` starts over. The namespace leaves the registry in the end; the counts stay in its history (of a page in
 * whose middle a process was killed, only what was left to the next).
 *
 * What is written while it runs may stay. Throws `InvalidArgument`, `ChangeConflict` when somebody starts it over meanwhile.
 */
export async function purgeNamespace(
  table: Store & WholeTable,
  author: Author,
  namespace: string,
  options: PurgeOptions,
): Promise<PurgeProgress> {
  checkName(namespace, 'namespace');
  checkFields(options, ['includeAudit', 'pageSize', 'onProgress'], 'options');
  const { includeAudit = false, pageSize = DEFAULT_PAGE_SIZE, onProgress } = options;
  if (typeof includeAudit !== 'boolean')
    throw new InvalidArgument({ field: 'options.includeAudit', value: includeAudit, expected: 'true or false' });
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > MOST_PAGE_SIZE) {
    const expected = `an integer from 1 to ${MOST_PAGE_SIZE}`;
    throw new InvalidArgument({ field: 'options.pageSize', value: pageSize, expected });
  }
  const begun = await attempted(subjectOf(namespace), () => beginning(table, author, namespace, includeAudit));
  let { progress, after } = begun;
  // What everybody inherits goes first: nobody falls back on limits that are looser than those that went before.
  if (progress.pass === 1) await table.removeItems(await table.queryItems(configPk(namespace), ''));
  for (;;) {
    const page = await table.scanKeys({ pkPrefix: namespacePrefix(namespace), after, most: pageSize });
    const keys = page.keys.filter(({ pk }) => isDue(namespace, pk, progress));
    await table.removeItems(keys);
    const done = { ...progress, examined: progress.examined + page.examined, deleted: progress.deleted + keys.length };
    const isLast = page.next === undefined;
    if (isLast && progress.pass === 2) {
      await ended(table, author, begun, done);
      onProgress?.(done);
      return done;
    }
    progress = isLast ? { ...done, pass: 2 } : done;
    after = page.next;
    if (!(await saved(table, begun, progress, after))) return progress;
    onProgress?.(progress);
  }
}

interface Begun {
  readonly record: NamespaceRecord;
  /** The id of the purge: that of its record in the history. */
  readonly change: string;
  readonly progress: PurgeProgress;
  readonly after: ItemKey | undefined;
}

/** The purge that is under way, or a new one, noted in the registry. Undefined: somebody else changed that in between. */
async function beginning(store: Store, author: Author, namespace: string, includeAudit: boolean): Promise<Begun | undefined> {
  const stored = await readNamespace(store, namespace);
  const under = stored?.record.purge;
  if (stored !== undefined && under?.includeAudit === includeAudit) return { ...stored, progress: under };
  const progress: PurgeProgress = {
    startedAt: new Date(author.nowMs).toISOString(),
    startedBy: author.actor,
    includeAudit,
    pass: 1,
    examined: 0,
    deleted: 0,
  };
  const record: NamespaceRecord = { ...(stored?.record ?? { namespace }), purge: progress };
  const { change, record: audit } = audited(WHOLE_TABLE, author, {
    action: 'namespace.purge',
    target: { namespace },
    from: stored?.record,
    to: record,
  });
  const condition = stored === undefined ? { ifAbsent: true } : { ifEqual: { change: stored.change } };
  const result = await store.transact([{ kind: 'put', item: namespaceItem(record, change), ...condition }, audit]);
  return result.applied ? { record, change, progress, after: undefined } : undefined;
}

/** Whether an item of the namespace is deleted in this pass. */
function isDue(namespace: string, pk: string, { pass, includeAudit }: PurgeProgress): boolean {
  if (pass === 1) return pk.startsWith(credentialPk(namespace, '')) || pk.startsWith(entityPk(namespace, ''));
  return includeAudit || !pk.startsWith(auditPk(namespace, ''));
}

/** Keeps how far it has come. False: another process brought the same purge to its end. */
async function saved(store: Store, begun: Begun, purge: PurgeProgress, after: ItemKey | undefined): Promise<boolean> {
  const { change, record } = begun;
  const { applied } = await store.transact([
    { kind: 'update', key: namespaceKey(record.namespace), set: { purge, after }, ifEqual: { change } },
  ]);
  return applied || gone(store, begun);
}

async function ended(store: Store, author: Author, begun: Begun, purge: PurgeProgress): Promise<void> {
  const { change, record } = begun;
  const { namespace } = record;
  const { record: audit } = audited(WHOLE_TABLE, author, {
    action: 'namespace.purged',
    target: { namespace },
    from: { ...record, purge },
  });
  const { applied } = await store.transact([{ kind: 'remove', key: namespaceKey(namespace), ifEqual: { change } }, audit]);
  if (!applied) await gone(store, begun);
}

/** False, when the record is gone: the same purge came to its end. Throws `ChangeConflict` when it was started over. */
async function gone(store: Store, { record, change }: Begun): Promise<false> {
  const stored: StoredNamespace | undefined = await readNamespace(store, record.namespace);
  if (stored !== undefined && stored.change !== change) throw new ChangeConflict(subjectOf(record.namespace), 1);
  return false;
}

const subjectOf = (namespace: string): string => `namespace ${JSON.stringify(namespace)}`;
