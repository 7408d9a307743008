import { type AttributeValue, type DynamoDBClient, QueryCommand, type QueryCommandOutput } from '@aws-sdk/client-dynamodb';
import { LimiterUnavailable } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import { failure } from '../store/dynamo-send.js';
import { DENIALS, parseUsageSk, REQUESTS, SK, USAGE_CONSUMED_PREFIX, type UsagePeriod } from '../store/schema.js';
import { StoreFailure } from '../store/store.js';
import { type UsageRangeQuery, usageRange } from './usage-range.js';
import { queryUsageRows } from './usage-requests.js';

export interface UsageQuery extends UsageRangeQuery {
  readonly entity: string;
  /** Only this resource. @default all resources */
  readonly resource?: string | undefined;
}

const QUERY_FIELDS = ['entity', 'resource', 'from', 'to', 'by'];

/** What one entity used of one resource in one period. Whole numbers, exact up to 2^53. */
export interface UsageRow {
  readonly resource: string;
  readonly by: UsagePeriod;
  /** The period's first instant, ISO 8601 in UTC with milliseconds: '2026-11-22T00:00:00.000Z'. */
  readonly start: string;
  /**
   * Tokens by limit, net of refunds, at the time of each write: a refund counts in the period in which it was made, so a period can be
   * below zero when it refunds more than it charges. Limits that never moved are absent.
   */
  readonly consumed: Readonly<Record<string, number>>;
  /** Requests admitted. */
  readonly requests: number;
  /** Denials reported. */
  readonly denied: number;
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
  const request = queryUsageRows(tableName, { namespace, entity: query.entity, resource: query.resource }, range);
  const totals = new Map<string, Total>();
  let next: Record<string, AttributeValue> | undefined;
  do {
    const page = await asked(client, tableName, new QueryCommand({ ...request, ExclusiveStartKey: next }));
    for (const item of page.Items ?? []) addShard(totals, item);
    next = page.LastEvaluatedKey;
  } while (next !== undefined);
  const rows = [...totals.values()].map((total) => usageRow(range.by, total));
  return { rows: rows.sort((a, b) => compare(a.start, b.start) || compare(a.resource, b.resource)) };
}

/** An answer, or an error of the public table. */
async function asked(client: DynamoDBClient, tableName: string, query: QueryCommand): Promise<QueryCommandOutput> {
  try {
    return await client.send(query);
  } catch (error) {
    const cause = await failure(error, client, tableName);
    if (!(cause instanceof StoreFailure)) throw cause;
    throw new LimiterUnavailable(`Usage could not be read: ${cause.message}`, { cause: cause.cause ?? cause });
  }
}

/** The shards of one bucket in one period, summed. */
interface Total {
  readonly start: string;
  readonly resource: string;
  readonly consumed: Map<string, bigint>;
  requests: bigint;
  denied: bigint;
}

function addShard(totals: Map<string, Total>, item: Record<string, AttributeValue>): void {
  const key = parseUsageSk(item[SK]?.S ?? '');
  if (key === undefined) return;
  const id = `${key.start}#${key.resource}`;
  const total = totals.get(id) ?? { start: key.start, resource: key.resource, consumed: new Map(), requests: 0n, denied: 0n };
  totals.set(id, total);
  total.requests += BigInt(item[REQUESTS]?.N ?? 0);
  total.denied += BigInt(item[DENIALS]?.N ?? 0);
  for (const [attribute, value] of Object.entries(item)) {
    if (!attribute.startsWith(USAGE_CONSUMED_PREFIX) || value.N === undefined) continue;
    const limit = attribute.slice(USAGE_CONSUMED_PREFIX.length);
    total.consumed.set(limit, (total.consumed.get(limit) ?? 0n) + BigInt(value.N));
  }
}

function usageRow(by: UsagePeriod, total: Total): UsageRow {
  const limits = [...total.consumed].sort(([a], [b]) => compare(a, b));
  return {
    resource: total.resource,
    by,
    start: new Date(total.start).toISOString(),
    // fromEntries defines each name, so that a limit called __proto__ is a limit.
    consumed: Object.fromEntries(limits.map(([limit, tokens]) => [limit, Number(tokens)])),
    requests: Number(total.requests),
    denied: Number(total.denied),
  };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
