import { type AttributeValue, type DynamoDBClient, QueryCommand, type QueryCommandInput } from '@aws-sdk/client-dynamodb';
import { LimiterUnavailable } from '../errors.js';
import { failure } from '../store/dynamo-send.js';
import { DENIALS, parseUsageSk, REQUESTS, SK, USAGE_CONSUMED_PREFIX, type UsageRowKey } from '../store/schema.js';
import { StoreFailure } from '../store/store.js';

/** What was used: whole numbers, exact up to 2^53. */
export interface UsageCounts {
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

/** Usage rows that belong together, summed; exact. */
export interface UsageSum {
  /** Of one of the rows. */
  readonly key: UsageRowKey;
  readonly consumed: Map<string, bigint>;
  requests: bigint;
  denied: bigint;
}

/**
 * The rows that the queries find, summed by what `groupOf` answers for their keys, in no order. All queries at once, each page by page. Throws
 * `LimiterUnavailable` when the database gives no answer to one of them; the others are then read no further.
 */
export async function usageSums(
  client: DynamoDBClient,
  queries: readonly QueryCommandInput[],
  groupOf: (key: UsageRowKey) => string,
): Promise<UsageSum[]> {
  const sums = new Map<string, UsageSum>();
  let givenUp = false;
  const read = async (query: QueryCommandInput): Promise<void> => {
    let next: Record<string, AttributeValue> | undefined;
    do {
      const page = await client.send(new QueryCommand({ ...query, ExclusiveStartKey: next }));
      for (const item of page.Items ?? []) add(sums, item, groupOf);
      next = page.LastEvaluatedKey;
    } while (next !== undefined && !givenUp);
  };
  try {
    await Promise.all(queries.map(read));
    return [...sums.values()];
  } catch (error) {
    givenUp = true;
    const cause = await failure(error, client, queries[0]?.TableName ?? '');
    if (!(cause instanceof StoreFailure)) throw cause;
    throw new LimiterUnavailable(`Usage could not be read: ${cause.message}`, { cause: cause.cause ?? cause });
  }
}

function add(sums: Map<string, UsageSum>, item: Record<string, AttributeValue>, groupOf: (key: UsageRowKey) => string): void {
  const key = parseUsageSk(item[SK]?.S ?? '');
  if (key === undefined) return;
  const group = groupOf(key);
  const sum = sums.get(group) ?? { key, consumed: new Map(), requests: 0n, denied: 0n };
  sums.set(group, sum);
  sum.requests += BigInt(item[REQUESTS]?.N ?? 0);
  sum.denied += BigInt(item[DENIALS]?.N ?? 0);
  for (const [attribute, value] of Object.entries(item)) {
    if (!attribute.startsWith(USAGE_CONSUMED_PREFIX) || value.N === undefined) continue;
    const limit = attribute.slice(USAGE_CONSUMED_PREFIX.length);
    sum.consumed.set(limit, (sum.consumed.get(limit) ?? 0n) + BigInt(value.N));
  }
}

/** The sum as numbers, limits by name. */
export function countsOf({ consumed, requests, denied }: UsageSum): UsageCounts {
  const limits = [...consumed].sort(([a], [b]) => compareText(a, b));
  return {
    // fromEntries defines each name, so that a limit called __proto__ is a limit.
    consumed: Object.fromEntries(limits.map(([limit, tokens]) => [limit, Number(tokens)])),
    requests: Number(requests),
    denied: Number(denied),
  };
}

/** Below zero when `a` comes before `b`, by UTF-16 units. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
