import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { checkFields, checkName } from '../names.js';
import { entityPk, type UsagePeriod } from '../store/schema.js';
import { type UsageRangeQuery, usageRange } from './usage-range.js';
import { queryUsageRows } from './usage-requests.js';
import { compareText, countsOf, type UsageCounts, usageSums } from './usage-sums.js';

export interface UsageQuery extends UsageRangeQuery {
  readonly entity: string;
  /** Only this resource. @default all resources */
  readonly resource?: string | undefined;
}

const QUERY_FIELDS = ['entity', 'resource', 'from', 'to', 'by'];

/** What one entity used of one resource in one period. */
export interface UsageRow extends UsageCounts {
  readonly resource: string;
  readonly by: UsagePeriod;
  /** The period's first instant, ISO 8601 in UTC with milliseconds: '2026-11-22T00:00:00.000Z'. */
  readonly start: string;
}

/**
 * Every row of the entity whose period overlaps [from, to), shards summed, by start and then by resource. Periods without use have no row.
 * Rows lag behind acquires by the time the stream takes, seconds as a rule. Hours are kept 35 days, days 400, months for good.
 * Reads the entity's partition page by page, never the table. InvalidArgument: an illegal name,
 * an unknown field or `by`, a date that is none, an end that is not after the start; nothing was read then.
 */
export async function readUsage(
  client: DynamoDBClient,
  tableName: string,
  namespace: string,
  query: UsageQuery,
  now: Date,
): Promise<{ rows: UsageRow[] }> {
  checkFields(query, QUERY_FIELDS, 'query');
  checkName(query.entity, 'entity');
  if (query.resource !== undefined) checkName(query.resource, 'resource');
  const range = usageRange(query, now);
  const request = queryUsageRows(tableName, entityPk(namespace, query.entity), range, query.resource);
  const sums = await usageSums(client, [request], ({ start, resource }) => `${start}#${resource}`);
  const rows = sums.map((sum) => ({
    resource: sum.key.resource,
    by: range.by,
    start: new Date(sum.key.start).toISOString(),
    ...countsOf(sum),
  }));
  return { rows: rows.sort((a, b) => compareText(a.start, b.start) || compareText(a.resource, b.resource)) };
}
