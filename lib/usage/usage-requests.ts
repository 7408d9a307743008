/** Usage rows as DynamoDB requests: pure values, built here and sent elsewhere. */
import type {
  AttributeValue,
  QueryCommandInput,
  TransactWriteItemsCommandInput,
  UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import {
  DENIALS,
  LAST_SEQUENCE,
  PK,
  REQUESTS,
  replayedSk,
  SK,
  TTL,
  USAGE_CONSUMED_PREFIX,
  USAGE_RESOURCE,
  usageSkPrefix,
} from '../store/schema.js';
import { periodStartMs, periodStartText } from './usage-period.js';
import type { UsageRange } from './usage-range.js';
import type { RowAddition } from './usage-rows.js';

/**
 * The one write that counts an addition, or, when the row has counted its first record before, changes nothing and answers the row's
 * last position. Sending it twice counts once. Both counters are added even when they did not move, so that a row looks the same
 * however its records were batched.
 */
export function addToUsageRow(tableName: string, addition: RowAddition): UpdateItemCommandInput {
  const set = ['#last = :last', '#resource = :resource'];
  const add = ['#n :n', '#d :d'];
  const names: Record<string, string> = { '#last': LAST_SEQUENCE, '#resource': USAGE_RESOURCE, '#n': REQUESTS, '#d': DENIALS };
  const values: Record<string, AttributeValue> = {
    ':first': { S: addition.firstPosition },
    ':last': { S: addition.lastPosition },
    ':resource': { S: addition.resource },
    ':n': number(addition.requests),
    ':d': number(addition.denials),
  };
  [...addition.consumed].forEach(([limit, tokens], index) => {
    add.push(`#c${index} :c${index}`);
    names[`#c${index}`] = USAGE_CONSUMED_PREFIX + limit;
    values[`:c${index}`] = number(tokens);
  });
  if (addition.ttlSeconds !== undefined) {
    set.push('#ttl = :ttl');
    names['#ttl'] = TTL;
    values[':ttl'] = number(addition.ttlSeconds);
  }
  return {
    TableName: tableName,
    Key: { [PK]: { S: addition.pk }, [SK]: { S: addition.sk } },
    UpdateExpression: `SET ${set.join(', ')} ADD ${add.join(', ')}`,
    ConditionExpression: 'attribute_not_exists(#last) OR #last < :first',
    ExpressionAttributeNames: names,
    ExpressionAttributeValues: values,
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
  };
}

/**
 * The transaction that counts a record which was set aside, once for good: with it goes a mark that this row has it, and a mark that is there refuses it
 * all. `moved`: whether the row has counted later records by now. Where it has not, its last position moves to the record, so that the stream cannot
 * bring it once more; where it has, it stays.
 *
 *     failed condition    0: replayed before      1: the row has moved, or, with `moved`, has not
 */
export function replayIntoUsageRow(
  tableName: string,
  addition: RowAddition,
  moved: boolean,
  markTtlSeconds: number,
): TransactWriteItemsCommandInput {
  const { ReturnValuesOnConditionCheckFailure: _, ...added } = addToUsageRow(tableName, addition);
  // How long rows are kept is the aggregator's to say.
  const update = {
    ...added,
    UpdateExpression: added.UpdateExpression?.replace('#ttl = :ttl', '#ttl = if_not_exists(#ttl, :ttl)'),
  };
  const { ':first': first, ...values } = update.ExpressionAttributeValues ?? {};
  if (first === undefined) throw new Error('Expected the addition to have a first position');
  const late = {
    ...update,
    UpdateExpression: update.UpdateExpression?.replace('#last = :last, ', ''),
    ConditionExpression: '#last >= :last',
    ExpressionAttributeValues: values,
  };
  const mark = {
    [PK]: { S: addition.pk },
    [SK]: { S: replayedSk(addition.lastPosition, addition.sk) },
    [TTL]: number(markTtlSeconds),
  };
  return {
    TransactItems: [
      {
        Put: {
          TableName: tableName,
          Item: mark,
          ConditionExpression: 'attribute_not_exists(#pk)',
          ExpressionAttributeNames: { '#pk': PK },
        },
      },
      { Update: (moved ? late : update) as UpdateItemCommandInput & { UpdateExpression: string } },
    ],
  };
}

/**
 * The Query for all rows of a partition whose period overlaps the range, shard by shard, of one resource when it is given.
 *
 *     usage#day#2026-11-22T00:00:00Z             the period that holds the range's first instant, any resource: lower bound
 *     usage#day#2026-11-22T00:00:00Z#gpt-4#…
 *     usage#day#2026-11-23T00:00:00Z#gpt-4#…
 *     usage#day#2026-11-23T00:00:00Z$            the period that holds its last instant; `$` follows `#`: upper bound
 */
export function queryUsageRows(
  tableName: string,
  pk: string,
  { by, fromMs, toMs }: UsageRange,
  resource?: string,
): QueryCommandInput {
  const bound = (atMs: number): string => usageSkPrefix(by, periodStartText(periodStartMs(by, atMs)));
  return {
    TableName: tableName,
    KeyConditionExpression: '#pk = :pk AND #sk BETWEEN :from AND :to',
    ...(resource !== undefined && { FilterExpression: '#resource = :resource' }),
    ExpressionAttributeNames: { '#pk': PK, '#sk': SK, ...(resource !== undefined && { '#resource': USAGE_RESOURCE }) },
    ExpressionAttributeValues: {
      ':pk': { S: pk },
      ':from': { S: bound(fromMs) },
      ':to': { S: `${bound(toMs - 1)}$` },
      ...(resource !== undefined && { ':resource': { S: resource } }),
    },
  };
}

const number = (value: bigint | number): AttributeValue => ({ N: value.toString() });
