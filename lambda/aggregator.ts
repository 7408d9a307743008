import type { DynamoDBBatchResponse, DynamoDBStreamEvent } from 'aws-lambda';
import { bookUsage } from '../lib/usage/book-usage.js';
import { type RecordFailure, readBucketChanges } from '../lib/usage/bucket-changes.js';
import { DynamoUsageRows } from '../lib/usage/dynamo-usage-rows.js';
import { firstFailure, sortedFailures, type UnbookedRecord } from '../lib/usage/unbooked-record.js';
import { type UsageRetention, usageRetention } from '../lib/usage/usage-period.js';
import { type BudgetWatch, budgetWatch } from './budget-watch.js';
import { compose } from './compose.js';
import { measured } from './measured.js';
import { type UnbookedQueue, unbookedQueue } from './unbooked-queue.js';

let retention: UsageRetention | undefined;
/** Of HEADGATE_USAGE_RETENTION: `{"hour":35}` in JSON, days by period; those that are not named are kept as by default. */
function keptDays(): UsageRetention {
  retention ??= usageRetention(JSON.parse(process.env.HEADGATE_USAGE_RETENTION || '{}'), 'HEADGATE_USAGE_RETENTION');
  return retention;
}

/** Messages under way at a time. */
const SENT_AT_ONCE = 10;

let queue: UnbookedQueue | undefined;
let watch: BudgetWatch | undefined;

/**
 * Books the usage in a batch of the table's stream, of every namespace in it, each record exactly once.
 * Answers the first record that is not booked in full, or none. Lambda delivers everything from that record on again; what of it was
 * booked is refused by its rows. An empty identifier means the whole batch: a record without a sequence number cannot be named.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
 *
 * A record that no delivery would book goes to the queue that HEADGATE_UNBOOKED_QUEUE names, with its images, and the batch goes on without it. Where
 * there is no queue, or it takes nothing, such a record is answered as any other failure.
 *
 * HEADGATE_BUDGET_ALERTS says who is told when quotas are used up, as JSON (`BudgetSettings`); unset: nobody.
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
  const composition = compose();
  const { client, tableName } = composition;
  const { buckets, malformed } = readBucketChanges(event.Records);
  const rowFailures = await bookUsage(new DynamoUsageRows(client, tableName), buckets, keptDays());
  const budgets = process.env.HEADGATE_BUDGET_ALERTS;
  if (budgets) watch ??= budgetWatch(composition, budgets);
  await watch?.(event.Records);
  const failures = [...malformed, ...rowFailures];
  if (failures.length === 0) return { batchItemFailures: [] };
  const first = await afterSettingAside(event, malformed, rowFailures);
  const { sequenceNumber, cause } = first ?? {};
  const noted = firstFailure(failures);
  console.error(first === undefined ? 'Usage set aside' : 'Usage not booked', {
    sequenceNumber: sequenceNumber ?? noted?.sequenceNumber,
    failures: failures.length,
    cause: cause ?? noted?.cause,
  });
  return { batchItemFailures: first === undefined ? [] : [{ itemIdentifier: first.sequenceNumber }] };
}

/** The first record that has to come again, once all in front of it that never can be booked are in the queue. */
async function afterSettingAside(
  { Records }: DynamoDBStreamEvent,
  ...[malformed, rowFailures]: [Parameters<typeof sortedFailures>[1], Parameters<typeof sortedFailures>[2]]
): Promise<RecordFailure | undefined> {
  const url = process.env.HEADGATE_UNBOOKED_QUEUE;
  if (!url) return firstFailure<RecordFailure>([...malformed, ...rowFailures]);
  queue ??= unbookedQueue(url);
  const { again, aside } = sortedFailures(Records, malformed, rowFailures);
  const unsent = await unsentOf(queue, aside);
  return firstFailure([...(again === undefined ? [] : [again]), ...unsent]);
}

/** Sends the records, and returns those that the queue did not take. */
async function unsentOf(to: UnbookedQueue, aside: readonly UnbookedRecord[]): Promise<RecordFailure[]> {
  const unsent: RecordFailure[] = [];
  const rest = aside.values();
  const send = async (): Promise<void> => {
    for (const unbooked of rest) {
      const sequenceNumber = unbooked.record.dynamodb?.SequenceNumber ?? '';
      await to.send(unbooked).catch((cause: unknown) => unsent.push({ sequenceNumber, cause }));
    }
  };
  await Promise.all(Array.from({ length: SENT_AT_ONCE }, send));
  return unsent;
}
