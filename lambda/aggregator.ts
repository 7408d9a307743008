import type { DynamoDBBatchResponse, DynamoDBStreamEvent } from 'aws-lambda';
import { bookUsage } from '../lib/usage/book-usage.js';
import { type RecordFailure, readBucketChanges, streamPosition } from '../lib/usage/bucket-changes.js';
import { DynamoUsageRows } from '../lib/usage/dynamo-usage-rows.js';
import { compose } from './compose.js';
import { measured } from './measured.js';

/**
 * Books the usage in a batch of the table's stream, of every namespace in it, each record exactly once.
 * Answers the first record that is not booked in full, or none. Lambda delivers everything from that record on again; what of it was
 * booked is refused by its rows. An empty identifier means the whole batch: a record without a sequence number cannot be named.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
 */
export const handler = measured(book, (metrics, { Records: records }, { batchItemFailures: [failure] }) => {
  const writtenAtMs = records
    .map(({ dynamodb }) => (dynamodb?.ApproximateCreationDateTime ?? Number.NaN) * 1_000)
    .filter(Number.isFinite);
  metrics.add('UsageRecords', records.length);
  if (writtenAtMs.length > 0) metrics.add('AggregatorLag', Math.max(0, Date.now() - Math.min(...writtenAtMs)));
  if (failure !== undefined) metrics.add('UsageFailures', 1);
});

async function book(event: DynamoDBStreamEvent): Promise<DynamoDBBatchResponse> {
  const { client, tableName } = compose();
  const { buckets, malformed } = readBucketChanges(event.Records);
  const failures = [...malformed, ...(await bookUsage(new DynamoUsageRows(client, tableName), buckets))];
  const first = firstFailure(failures);
  if (first === undefined) return { batchItemFailures: [] };
  console.error('Usage not booked', { sequenceNumber: first.sequenceNumber, failures: failures.length, cause: first.cause });
  return { batchItemFailures: [{ itemIdentifier: first.sequenceNumber }] };
}

function firstFailure(failures: readonly RecordFailure[]): RecordFailure | undefined {
  const position = (failure: RecordFailure): string => streamPosition(failure.sequenceNumber);
  return failures.reduce<RecordFailure | undefined>(
    (first, failure) => (first === undefined || position(failure) < position(first) ? failure : first),
    undefined,
  );
}
