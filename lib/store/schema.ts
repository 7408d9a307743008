/**
 * The names of everything in the table: attributes, keys, periods. One source for the DynamoDB adapter, the aggregator and the CDK table.
 * Names hold no `#` (validated at the doors), so a key splits back into its parts.
 */

/** Partition key, sort key and TTL attribute (epoch seconds). */
export const PK = 'pk';
export const SK = 'sk';
export const TTL = 'ttl';
/** Who deletes what has expired, in the `userIdentity` of a stream's record. */
export const TTL_PRINCIPAL = 'dynamodb.amazonaws.com';

/** Attributes of a bucket item. Per limit: full-at instant (fs since the epoch), window (fs), tokens consumed net of refunds. */
export const FULL_AT_PREFIX = 'z_';
export const WINDOW_PREFIX = 'w_';
export const CONSUMED_PREFIX = 'u_';
/** Of a quota or session: when the window of its last use started (fs since the epoch), and what was used in it. */
export const WINDOW_START_PREFIX = 's_';
export const USED_PREFIX = 'q_';
/** Of a concurrency limit: a map of the slots taken, each with its expiry in ms since the epoch. */
export const SLOTS_PREFIX = 'c_';
/** Requests admitted, denials reported (bucket and usage items). */
export const REQUESTS = 'n';
export const DENIALS = 'd';
/** The latest start that a place in the queue was given, fs since the epoch. */
export const RESERVED_UNTIL = 'r';
/** Version of the bucket layout. */
export const VERSION = 'v';
export const SCHEMA_VERSION = 1;

/** Attributes of a usage item: consumed per limit, and the last stream position counted, padded to 40 digits. */
export const USAGE_CONSUMED_PREFIX = 'c_';
export const LAST_SEQUENCE = 'lastSeq';
/** The resource of a usage item, once more outside its key: a query's filter cannot read keys. */
export const USAGE_RESOURCE = 'resource';

export const BUCKET_SK = 'b';
/** The `sk` of the record of one API key, one HTTP lease, an entity's own data. */
export const CREDENTIAL_SK = 'key';
export const LEASE_SK = 'lease';
export const META_SK = 'meta';

/** What names one bucket. `shard` is 0 for an unsharded bucket. */
export interface BucketKey {
  readonly namespace: string;
  readonly resource: string;
  readonly entity: string;
  readonly shard: number;
}

export function bucketPk(key: BucketKey): string {
  return `${key.namespace}#b#${key.resource}#${key.entity}#${key.shard}`;
}

/** The bucket a partition key names, or undefined for any other item. */
export function parseBucketPk(pk: string): BucketKey | undefined {
  const [namespace, kind, resource, entity, shard, ...rest] = pk.split('#');
  if (kind !== 'b' || !namespace || !resource || !entity || shard === undefined || rest.length > 0) return undefined;
  return { namespace, resource, entity, shard: Number(shard) };
}

export const configPk = (namespace: string): string => `${namespace}#config`;
export const entityPk = (namespace: string, entity: string): string => `${namespace}#e#${entity}`;
export const credentialPk = (namespace: string, sha256Hex: string): string => `${namespace}#key#${sha256Hex}`;
/** The directory of entities stands in partitions 0 to 15, so that many can be made at once. */
export const DIRECTORY_PARTITIONS = 16;
export const directoryPk = (namespace: string, partition: number): string => `${namespace}#dir#${partition}`;
/** `month`: YYYY-MM, in UTC. */
export const auditPk = (namespace: string, month: string): string => `${namespace}#audit#${month}`;
/** What manifests manage in a namespace: a line for each thing, and one head. */
export const manifestPk = (namespace: string): string => `${namespace}#manifest`;
export const MANIFEST_HEAD_SK = 'head';
export const MANAGED_PREFIX = 'managed#';
export const managedSk = (thingId: string): string => `${MANAGED_PREFIX}${thingId}`;
export const leasePk = (namespace: string, leaseId: string): string => `${namespace}#lease#${leaseId}`;

/** The registry of namespaces, and the history of its changes as of a namespace without a name: outside every tenant's reach. */
export const NAMESPACES_PK = '#namespaces';
export const WHOLE_TABLE = '';
/** What every partition key of a namespace begins with, and none of any other. */
export const namespacePrefix = (namespace: string): string => `${namespace}#`;

export const SYSTEM_SK = 'system';
export const resourceSk = (resource: string): string => `resource#${resource}`;
export const tierSk = (tier: string): string => `tier#${tier}`;
export const tierResourceSk = (tier: string, resource: string): string => `tier#${tier}#${resource}`;
export const ENTITY_LIMITS_SK = 'limits';
export const entityResourceSk = (resource: string): string => `limits#${resource}`;
/** The resource that such a sort key names; undefined for the limits on all. */
export const limitsResourceOf = (sk: string): string | undefined => sk.split('#')[1];
export const CHILD_PREFIX = 'child#';
export const childSk = (entity: string): string => `${CHILD_PREFIX}${entity}`;
export const KEY_LINK_PREFIX = 'key#';
export const keyLinkSk = (keyId: string): string => `${KEY_LINK_PREFIX}${keyId}`;

export const USAGE_PERIODS = ['hour', 'day', 'month'] as const;
/**
 * How long usage rows may be kept after their period has ended, in days. A stream brings a record again for a day, and a queue keeps one to be replayed for
 * 14 days: rows that have counted it outlive both.
 */
export const FEWEST_USAGE_DAYS = 16;
export const MOST_USAGE_DAYS = 3_660;
export type UsagePeriod = (typeof USAGE_PERIODS)[number];

/** The usage of a resource, and that of a namespace, is spread over partitions 0 to 15 by entity: one takes a thousand writes a second. */
export const USAGE_PARTITIONS = 16;
export const resourceUsagePk = (namespace: string, resource: string, partition: number): string =>
  `${namespace}#r#${resource}#${partition}`;
export const namespaceUsagePk = (namespace: string, partition: number): string => `${namespace}#ns#${partition}`;

/** `start` is the period's first instant, ISO 8601 in UTC, to the second: it sorts by time. One row is fed by exactly one bucket. */
export function usageSk(period: UsagePeriod, start: string, key: BucketKey): string {
  return `${usageSkPrefix(period, start)}#${key.resource}#${key.entity}#${key.shard}`;
}

/** What the sort keys of all usage rows of one period begin with, up to the `#` before the resource. */
export const usageSkPrefix = (period: UsagePeriod, start: string): string => `usage#${period}#${start}`;

/** The mark, beside a usage row, that the record at this position (40 digits) was replayed into it. */
export const replayedSk = (position: string, usageSk: string): string => `replayed#${position}#${usageSk}`;

/** What the sort key of a usage row names, beside the shard. */
export interface UsageRowKey {
  readonly period: string;
  readonly start: string;
  readonly resource: string;
  readonly entity: string;
}

/** The parts of a usage row's sort key, or undefined for that of any other item. */
export function parseUsageSk(sk: string): UsageRowKey | undefined {
  const [kind, period, start, resource, entity] = sk.split('#');
  return kind === 'usage' && period && start && resource && entity ? { period, start, resource, entity } : undefined;
}
