import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { type Clock, nowMs, SystemClock } from './clock.js';
import { answeringTable } from './config/answering-store.js';
import {
  type AuditQuery,
  type AuditRecord,
  type Author,
  checkAuthor,
  DEFAULT_RETENTION_DAYS,
  readAudit,
} from './config/audit.js';
import { checkPage, type Page } from './config/entity-tree.js';
import {
  type NamespaceRecord,
  type NewNamespace,
  namespaceRecords,
  type PurgeProgress,
  readNamespace,
  registerNamespace,
} from './config/namespace-registry.js';
import { type PurgeOptions, purgeNamespace } from './config/purge-namespace.js';
import { InvalidArgument } from './errors.js';
import { type StoreOptions, storeOf } from './limiter-options.js';
import { checkFields, checkName } from './names.js';
import { WHOLE_TABLE } from './store/schema.js';
import type { Store, WholeTable } from './store/store.js';

export interface HeadgateNamespacesOptions extends StoreOptions {
  /** Authoritative, never corrected. @default the machine's clock, corrected by the time in DynamoDB's answers */
  readonly clock?: Clock | undefined;
  /** Who makes the changes, for the history: 1 to 256 bytes of printable UTF-8 without #. @default 'sdk' */
  readonly actor?: string | undefined;
  /** How long the history of these changes is kept, 1 to 3,660 days. @default 400 */
  readonly auditRetentionDays?: number | undefined;
}

/**
 * The namespaces of a table: its tenants, as whoever runs the table sees them. `HeadgateAdmin` works within one of them; this works on all, and needs
 * other permissions. A namespace is used without being registered: that is for listing it.
 */
export class HeadgateNamespaces {
  readonly #table: Store & WholeTable;
  readonly #clock: Clock;
  readonly #by: Pick<Author, 'actor' | 'retentionDays'>;

  constructor(options: HeadgateNamespacesOptions) {
    checkFields(options, ['tableName', 'client', 'store', 'clock', 'actor', 'auditRetentionDays'], 'options');
    const own = new SystemClock();
    this.#clock = options.clock ?? own;
    this.#by = { actor: options.actor ?? 'sdk', retentionDays: options.auditRetentionDays ?? DEFAULT_RETENTION_DAYS };
    checkAuthor(this.#by);
    const client = options.store === undefined ? (options.client ?? new DynamoDBClient({})) : options.client;
    const { store } = storeOf({ ...options, client }, own);
    if (!isWholeTable(store))
      throw new InvalidArgument({ field: 'store', value: store, expected: 'a Store that is a WholeTable, such as MemoryStore' });
    this.#table = answeringTable(store);
  }

  /** Lists a namespace from now on. Throws `NamespaceExists` when it is listed or being purged. */
  async register(namespace: NewNamespace): Promise<NamespaceRecord> {
    return registerNamespace(this.#table, this.#author(), namespace);
  }

  /** The namespaces that are registered or being purged, in the order of their names' UTF-8 bytes; all of them, or a page: `{ after, limit }`. */
  async list(page: Page = {}): Promise<readonly NamespaceRecord[]> {
    checkPage(page);
    return namespaceRecords(this.#table, page);
  }

  /** Undefined: it is neither registered nor being purged. */
  async get(namespace: string): Promise<NamespaceRecord | undefined> {
    checkName(namespace, 'namespace');
    return (await readNamespace(this.#table, namespace))?.record;
  }

  /**
   * Deletes everything of a namespace, registered or not: limits, entities, keys, buckets, leases and usage; its history unless told otherwise stays
   * until it expires. It reads the whole table twice. The same call goes on after one that was interrupted. Stop the traffic of the namespace first:
   * what is written meanwhile may stay. The counts of what was done, over all such calls. Throws `ChangeConflict` when somebody else starts it over.
   */
  async purge(namespace: string, options: PurgeOptions = {}): Promise<PurgeProgress> {
    return purgeNamespace(this.#table, this.#author(), namespace, options);
  }

  /** The history of registrations and purges, the latest first; asked as `HeadgateAdmin.audit` is. */
  async audit(query: AuditQuery = {}): Promise<readonly AuditRecord[]> {
    return readAudit(this.#table, WHOLE_TABLE, query, nowMs(this.#clock));
  }

  #author(): Author {
    return { ...this.#by, nowMs: nowMs(this.#clock) };
  }
}

function isWholeTable(store: Store): store is Store & WholeTable {
  const { scanKeys, removeItems } = store as Partial<WholeTable>;
  return typeof scanKeys === 'function' && typeof removeItems === 'function';
}
