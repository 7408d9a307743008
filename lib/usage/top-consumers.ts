import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { checkLimitName } from '../core/limit.js';
import { InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { namespaceUsagePk, resourceUsagePk, USAGE_PARTITIONS } from '../store/schema.js';
import { type UsageRangeQuery, usageRange } from './usage-range.js';
import { queryUsageRows } from './usage-requests.js';
import { compareText, countsOf, type UsageCounts, type UsageSum, usageSums } from './usage-sums.js';

export interface TopConsumersQuery extends UsageRangeQuery {
  /** Only what was consumed of this resource. @default all resources of the namespace, limits of one name added up */
  readonly resource?: string | undefined;
  /** What is compared: the tokens of the limit of this name, or 'requests', or 'denied' (never limits of these names). @default 'requests' */
  readonly sortBy?: string | undefined;
  /** How many are answered at most, 1 to 1,000. @default 10 */
  readonly limit?: number | undefined;
}

const QUERY_FIELDS = ['resource', 'from', 'to', 'by', 'sortBy', 'limit'];
const DEFAULT_CONSUMERS = 10;
const MOST_CONSUMERS = 1_000;

/** What one entity used, over all periods, resources and shards that were asked for. */
export interface Consumer extends UsageCounts {
  readonly entity: string;
}

/**
 * The entities with the most of `sortBy` over all periods that overlap [from, to), the most first, equal ones by name. Those with none of it are
 * left out, and so are those whose refunds outweigh their charges. An entity's figures are what was drawn on its own buckets: where entities draw on
 * their parents too, a parent's hold its children's once more.
 *
 * Reads every row of these periods, of the resource or of the namespace: one for each bucket and period, sixteen partitions at once. A month by
 * month reads least. Seconds behind, kept as long as `usage`. InvalidArgument as for `usage`, and for an illegal `sortBy` or `limit`.
 */
export async function topConsumers(
  client: DynamoDBClient,
  tableName: string,
  namespace: string,
  query: TopConsumersQuery,
  now: Date,
): Promise<Consumer[]> {
  checkFields(query, QUERY_FIELDS, 'query');
  const { resource, sortBy = 'requests', limit = DEFAULT_CONSUMERS } = query;
  if (resource !== undefined) checkName(resource, 'resource');
  checkLimitName(sortBy, 'sortBy');
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_CONSUMERS) {
    throw new InvalidArgument({ field: 'limit', value: limit, expected: `an integer from 1 to ${MOST_CONSUMERS}` });
  }
  const range = usageRange(query, now);
  const requests = Array.from({ length: USAGE_PARTITIONS }, (_, partition) => {
    const pk = resource === undefined ? namespaceUsagePk(namespace, partition) : resourceUsagePk(namespace, resource, partition);
    return queryUsageRows(tableName, pk, range);
  });
  const sums = await usageSums(client, requests, ({ entity }) => entity);
  const compared = sums.map((sum) => ({ sum, figure: figure(sum, sortBy) })).filter((each) => each.figure > 0n);
  compared.sort((a, b) => compareDown(a.figure, b.figure) || compareText(a.sum.key.entity, b.sum.key.entity));
  return compared.slice(0, limit).map(({ sum }) => ({ entity: sum.key.entity, ...countsOf(sum) }));
}

function figure(sum: UsageSum, sortBy: string): bigint {
  if (sortBy === 'requests' || sortBy === 'denied') return sum[sortBy];
  return sum.consumed.get(sortBy) ?? 0n;
}

const compareDown = (a: bigint, b: bigint): number => (a > b ? -1 : a < b ? 1 : 0);
