import { expect } from 'vitest';
import { bookUsage } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { DynamoUsageRows } from '../../lib/usage/dynamo-usage-rows.js';
import { testClient } from '../support/dynamodb.js';
import { streamRecords } from './table-stream.js';

/** Counts all that the table's stream has told so far, as the deployed aggregator does; what was counted before is not counted again. */
export async function countUsage(tableName: string): Promise<void> {
  const client = testClient();
  const { buckets, malformed } = readBucketChanges(await streamRecords(client, tableName));
  expect([...malformed, ...(await bookUsage(new DynamoUsageRows(client, tableName), buckets))]).toEqual([]);
  client.destroy();
}
