import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { type Clock, nowMs, SystemClock } from './clock.js';
import { answeringStore } from './config/answering-store.js';
import { type ApiKey, type CreatedKey, createKey, listKeys, type NewKey } from './config/api-keys.js';
import {
  type AuditQuery,
  type AuditRecord,
  type Author,
  checkAuthor,
  DEFAULT_RETENTION_DAYS,
  readAudit,
} from './config/audit.js';
import { type Scope, scopeKey, storedLimitsOf } from './config/config-records.js';
import { type DeleteOptions, deleteEntity } from './config/delete-entity.js';
import { createEntity, type EntityChange, getEntity, type NewEntity, updateEntity } from './config/entities.js';
import { entityNames } from './config/entity-directory.js';
import type { EntityRecord } from './config/entity-record.js';
import { checkPage, childNames, type Page } from './config/entity-tree.js';
import { type Explanation, explanationOf } from './config/explanation.js';
import { expireKey, type KeyName, type KeyRotation, type RotatedKey, revokeKey, rotateKey } from './config/key-changes.js';
import { type Level, Resolution } from './config/resolution.js';
import { deleteScopeLimits, scopeContent, setScopeLimits } from './config/scope-limits.js';
import type { ScopeOptions } from './config/scope-rules.js';
import type { Limit } from './core/limit.js';
import { InvalidArgument, NoLimitsConfigured } from './errors.js';
import type { Tokens } from './lease.js';
import { type StoreOptions, storeOf } from './limiter-options.js';
import { checkFields, checkName } from './names.js';
import { resetBucket, topUpBucket } from './operations.js';
import type { BucketKey } from './store/schema.js';
import type { Store } from './store/store.js';
import { readUsage, type UsageQuery, type UsageRow } from './usage/read-usage.js';
import { type Consumer, type TopConsumersQuery, topConsumers } from './usage/top-consumers.js';

const DEADLINE_MS = 10_000;

export interface HeadgateAdminOptions extends StoreOptions {
  /** @default 'default' */
  readonly namespace?: string | undefined;
  /** Authoritative, never corrected. @default the machine's clock, corrected by the time in DynamoDB's answers */
  readonly clock?: Clock | undefined;
  /** Who makes the changes, for the history: 1 to 256 bytes of printable UTF-8 without #. @default 'sdk' */
  readonly actor?: string | undefined;
  /** How long the history of these changes is kept, 1 to 3,660 days. @default 400 */
  readonly auditRetentionDays?: number | undefined;
}

/** Stores what limiters apply: limits, entities, keys. A limiter sees a change within its `cacheTtlMs`. */
export class HeadgateAdmin {
  readonly #store: Store;
  readonly #namespace: string;
  readonly #clock: Clock;
  readonly #resolution: Resolution;
  readonly #by: Pick<Author, 'actor' | 'retentionDays'>;
  readonly #table: { readonly client: DynamoDBClient; readonly tableName: string } | undefined;

  constructor(options: HeadgateAdminOptions) {
    checkFields(options, ['tableName', 'client', 'namespace', 'store', 'clock', 'actor', 'auditRetentionDays'], 'options');
    const own = new SystemClock();
    const { namespace = 'default', clock = own, tableName } = options;
    checkName(namespace, 'namespace');
    this.#by = { actor: options.actor ?? 'sdk', retentionDays: options.auditRetentionDays ?? DEFAULT_RETENTION_DAYS };
    checkAuthor(this.#by);
    const client = options.store === undefined ? (options.client ?? new DynamoDBClient({})) : options.client;
    this.#store = answeringStore(storeOf({ ...options, client }, own).store);
    this.#namespace = namespace;
    this.#clock = clock;
    this.#resolution = new Resolution({ store: this.#store, clock, namespace, ttlMs: 0, deadlineMs: DEADLINE_MS });
    this.#table = client !== undefined && tableName !== undefined ? { client, tableName } : undefined;
  }

  /**
   * Replaces a scope's limits, the whole set, and its options. Live buckets keep the share in use. An empty list with `disabled`, `bypass` or the
   * rules of a tier stores these alone: the limits of the next scope apply. With `inherit` they apply to all names that the list has not.
   */
  async setLimits(scope: Scope, limits: readonly Limit[], options: ScopeOptions = {}): Promise<void> {
    await setScopeLimits(this.#store, this.#namespace, this.#author(), { scope, limits, options });
  }

  /** A scope's own limits, without what it inherits; undefined where none are stored for it. */
  async getLimits(scope: Scope): Promise<readonly Limit[] | undefined> {
    const [item] = await this.#store.getItems([scopeKey(this.#namespace, scope)]);
    return storedLimitsOf(item)?.limits;
  }

  /** What is stored with a scope's limits, as the third argument of `setLimits` takes it; undefined where nothing is stored for the scope. */
  async getOptions(scope: Scope): Promise<ScopeOptions | undefined> {
    const [item] = await this.#store.getItems([scopeKey(this.#namespace, scope)]);
    const { limits: _, ...options } = scopeContent(item) ?? { limits: [] };
    return item && options;
  }

  /** Why an entity is limited on a resource as it is: which level won, and what every other one says. Reads what is stored now. */
  async explain({ entity, resource }: { readonly entity: string; readonly resource: string }): Promise<Explanation> {
    checkName(entity, 'entity');
    checkName(resource, 'resource');
    return explanationOf(entity, resource, await this.#resolution.facts(entity, resource));
  }

  /** Removes a scope's limits: the next scope's apply. Nothing when there are none. */
  async deleteLimits(scope: Scope): Promise<void> {
    await deleteScopeLimits(this.#store, this.#namespace, this.#author(), scope);
  }

  /** Records an entity: its parent, name and metadata. Limits and usage need no record. Throws `EntityExists`. */
  async createEntity(entity: NewEntity): Promise<EntityRecord> {
    return createEntity(this.#store, this.#namespace, this.#author(), entity);
  }

  async getEntity(entity: string): Promise<EntityRecord | undefined> {
    checkName(entity, 'entity');
    return getEntity(this.#store, this.#namespace, entity);
  }

  /**
   * Changes an entity's parent (with everything below it), cascade, tier, name or metadata; null takes a value away. Throws `InvalidArgument` for
   * an entity or parent that does not exist, a circle, or more than four levels; `ChangeConflict` when others change the same all the time.
   */
  async updateEntity(change: EntityChange): Promise<EntityRecord> {
    return updateEntity(this.#store, this.#namespace, this.#author(), change);
  }

  /**
   * Deletes an entity with its keys and limits. What it consumed stays counted; its buckets stay until they expire, so that deletion forgives no
   * debt. Throws `EntityHasChildren`, unless told to delete everything below it as well: `{ recursive: true }`.
   */
  async deleteEntity(entity: string, options: DeleteOptions = {}): Promise<void> {
    await deleteEntity(this.#store, this.#namespace, this.#author(), entity, options);
  }

  /** The names of an entity's children, in the order of their UTF-8 bytes; all of them, or a page: `{ after, limit }`. */
  async children(entity: string, page: Page = {}): Promise<readonly string[]> {
    checkName(entity, 'entity');
    checkPage(page);
    return childNames(this.#store, this.#namespace, entity, page);
  }

  /**
   * The names of all entities that were created or given limits of their own, in an order that stays the same; a page goes on after the last name of
   * the one before.
   */
  async entities(page: Page = {}): Promise<readonly string[]> {
    checkPage(page);
    return entityNames(this.#store, this.#namespace, page);
  }

  /** Makes an API key for an entity. The secret is in this answer and nowhere else. */
  async createKey(key: NewKey): Promise<CreatedKey> {
    checkFields(key, ['entity', 'expiresAt', 'secret'], 'key');
    checkName(key.entity, 'entity');
    return createKey(this.#store, this.#namespace, this.#author(), key);
  }

  /** An entity's keys, revoked ones included, without their secrets. */
  async keys(entity: string): Promise<readonly ApiKey[]> {
    checkName(entity, 'entity');
    return listKeys(this.#store, this.#namespace, entity);
  }

  /**
   * Makes a key worthless; authorizers see it within a minute. A key that was made to replace it lives on. Throws `InvalidArgument` when the entity
   * has no such key.
   */
  async revokeKey({ entity, keyId }: KeyName): Promise<void> {
    checkName(entity, 'entity');
    await revokeKey(this.#store, this.#namespace, this.#author(), { entity, keyId });
  }

  /**
   * Makes a new key in the place of an active one, which goes on working for `overlapMs` (a day unless told otherwise; 0: it is revoked). The new
   * secret is in this answer and nowhere else. Throws `InvalidArgument` when the entity has no such key; `KeyNotActive` when it was revoked, has
   * expired, or was replaced before: then the one that replaced it can be rotated.
   */
  async rotateKey(rotation: KeyRotation): Promise<RotatedKey> {
    checkFields(rotation, ['entity', 'keyId', 'overlapMs', 'expiresAt'], 'rotation');
    checkName(rotation.entity, 'entity');
    return rotateKey(this.#store, this.#namespace, this.#author(), rotation);
  }

  /**
   * Lets an active key expire at a time in the future, or sooner than it would; the key as it is then. Throws `InvalidArgument` for a later time than
   * its own, and when the entity has no such key; `KeyNotActive`.
   */
  async expireKey(expiry: KeyName & { readonly expiresAt: Date | string }): Promise<ApiKey> {
    checkFields(expiry, ['entity', 'keyId', 'expiresAt'], 'expiry');
    checkName(expiry.entity, 'entity');
    return expireKey(this.#store, this.#namespace, this.#author(), expiry);
  }

  /**
   * The history of limits, entities and keys, and of what operators did to buckets, the latest first: who changed what, when, from what, to what. Of the
   * last 30 days, unless told otherwise; kept when an entity is deleted, for as long as whoever changed it said. A page goes on `after` the id of the last record before it.
   */
  async audit(query: AuditQuery = {}): Promise<readonly AuditRecord[]> {
    return readAudit(this.#store, this.#namespace, query, nowMs(this.#clock));
  }

  #author(): Author {
    return { ...this.#by, nowMs: nowMs(this.#clock) };
  }

  /** Makes an entity's bucket on a resource as new: full, without debt or queue. What was used stays counted. */
  async reset(bucket: { readonly entity: string; readonly resource: string }): Promise<void> {
    const key = this.#bucketKey(bucket);
    await resetBucket(this.#store, this.#author(), key, (await this.#ownLevel(bucket))?.shards ?? 1);
  }

  /** Gives an entity's bucket tokens, up to full: `{ entity, resource, tokens: { tpm: 5000 } }`. They are no usage. */
  async topUp(bucket: { readonly entity: string; readonly resource: string; readonly tokens: Tokens }): Promise<void> {
    const key = this.#bucketKey(bucket);
    const { limits = [], shards = 1 } = (await this.#ownLevel(bucket)) ?? {};
    await topUpBucket(this.#store, this.#clock, this.#author(), key, { limits, tokens: bucket.tokens, shards });
  }

  /** The limits that apply to an entity itself on a resource; undefined where none are stored. */
  async #ownLevel({ entity, resource }: { readonly entity: string; readonly resource: string }): Promise<Level | undefined> {
    try {
      return (await this.#resolution.configured(entity, resource)).levels.find((level) => level.entity === entity);
    } catch (error) {
      if (error instanceof NoLimitsConfigured) return undefined;
      throw error;
    }
  }

  #bucketKey({ entity, resource }: { readonly entity: string; readonly resource: string }): BucketKey {
    checkName(entity, 'entity');
    checkName(resource, 'resource');
    return { namespace: this.#namespace, resource, entity, shard: 0 };
  }

  /** What an entity consumed, by hour, day or month (UTC): every row whose period overlaps [from, to). @default today, by day */
  async usage(query: UsageQuery): Promise<{ readonly rows: readonly UsageRow[] }> {
    const { client, tableName } = this.#usageTable();
    return readUsage(client, tableName, this.#namespace, query, new Date(nowMs(this.#clock)));
  }

  /**
   * Who consumed most of a resource, or of everything in the namespace, in [from, to): `{ resource: 'gpt-4o', sortBy: 'tpm', limit: 20 }`. The ten
   * entities with the most requests today, unless told otherwise.
   */
  async topConsumers(query: TopConsumersQuery = {}): Promise<readonly Consumer[]> {
    const { client, tableName } = this.#usageTable();
    return topConsumers(client, tableName, this.#namespace, query, new Date(nowMs(this.#clock)));
  }

  /** Throws `InvalidArgument` for a store in memory, which has no stream. */
  #usageTable(): { readonly client: DynamoDBClient; readonly tableName: string } {
    if (this.#table !== undefined) return this.#table;
    throw new InvalidArgument({
      field: 'tableName',
      value: undefined,
      expected: 'given: usage is counted from the table’s stream',
    });
  }
}
