/** Books changes of buckets into usage rows, each change once, however often and in whatever batches it is delivered. */
import type { BucketChange, BucketChanges, RecordFailure } from './bucket-changes.js';
import { DEFAULT_USAGE_RETENTION, type UsageRetention } from './usage-period.js';
import { type RowAddition, type RowChanges, rowAddition, type UsageRowId, usageRows } from './usage-rows.js';

/** Where usage rows are kept. */
export interface UsageRowStore {
  /**
   * Counts the whole addition and moves the row's last position to `lastPosition`, if the row has none or one below `firstPosition`.
   * Otherwise changes nothing and answers the row's last position. One atomic step. Throws `RowRefused` where the row, as it is stored, can take no
   * such addition: then nothing was counted, and sending it again is of no use.
   */
  add(addition: RowAddition): Promise<AdditionOutcome>;
}

/** The row was not changed, and will not be before somebody repairs it. */
export class RowRefused extends Error {
  override readonly name = 'RowRefused';
}

/** What one row has not counted. */
export interface RowFailure extends RecordFailure {
  readonly row: UsageRowId;
  /** From `sequenceNumber` on, never empty. */
  readonly changes: readonly BucketChange[];
}

export type AdditionOutcome = { readonly counted: true } | { readonly counted: false; readonly lastPosition: string };

/** Rows written at a time, eight a view: enough to hide the round trips, few enough for one entity's partition. */
const ROWS_AT_A_TIME = 24;

/**
 * Books all changes and returns, for each row that could not be written, the first of its records that is not counted; the other rows
 * are booked all the same. Never rejects.
 *
 * Each row is fed by one bucket, the stream keeps a bucket's records in order, and Lambda delivers no record before the ones in front of
 * it were booked or given up. So the records a row has counted are those up to its last position, and a delivery, whatever it repeats, is
 *
 *     positions   1  2  3  4 | 5  6  7         counted up to 4
 *     delivery          3  4   5  6            the condition fails (4 >= 3), 5 and 6 are sent again and counted
 *
 * Concurrent bookings of the same records (a delivery that timed out and still runs) meet the same condition.
 */
export async function bookUsage(
  store: UsageRowStore,
  buckets: readonly BucketChanges[],
  retention: UsageRetention = DEFAULT_USAGE_RETENTION,
): Promise<RowFailure[]> {
  const failures: RowFailure[] = [];
  const rows = buckets.flatMap((bucket) => usageRows(bucket, retention)).values();
  const bookRows = async (): Promise<void> => {
    for (const row of rows) {
      const failure = await bookRow(store, row);
      if (failure !== undefined) failures.push(failure);
    }
  };
  // One iterator, shared: each of the workers takes the next row that nobody has taken.
  await Promise.all(Array.from({ length: ROWS_AT_A_TIME }, bookRows));
  return failures;
}

/** Counts what the row has not counted of these changes. Ends: every refusal names a position that drops at least the first change. */
async function bookRow(store: UsageRowStore, row: RowChanges): Promise<RowFailure | undefined> {
  let changes: readonly BucketChange[] = row.changes;
  try {
    while (changes.length > 0) {
      const outcome = await store.add(rowAddition({ ...row, changes }));
      if (outcome.counted) return undefined;
      const left = changes.filter((change) => change.position > outcome.lastPosition);
      if (left.length === changes.length)
        throw new Error(`Refused by ${row.sk} though it has counted only up to ${outcome.lastPosition}`);
      changes = left;
    }
    return undefined;
  } catch (cause) {
    return { sequenceNumber: changes[0]?.sequenceNumber ?? '', cause, row: { pk: row.pk, sk: row.sk }, changes };
  }
}
