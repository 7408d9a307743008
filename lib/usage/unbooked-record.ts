/** Records that no further delivery would book: what is set aside of a batch, so that it holds up nobody else's usage. */
import { type RowFailure, RowRefused } from './book-usage.js';
import { type MalformedRecord, type RecordFailure, type StreamRecord, streamPosition } from './bucket-changes.js';
import type { UsageRowId } from './usage-rows.js';

/** A record with its images, as it waits in a queue to be replayed: all that is needed to book it. */
export interface UnbookedRecord {
  readonly kind: 'headgate.unbooked';
  readonly version: 1;
  /** Why it was not booked. */
  readonly reason: string;
  /** The rows that have not counted it; absent: none has. */
  readonly rows?: readonly UsageRowId[];
  readonly record: StreamRecord;
}

/** What becomes of the failures of a batch. */
export interface SortedFailures {
  /** Delivered again, with all that follows it. Undefined: nothing is. */
  readonly again: RecordFailure | undefined;
  /** Set aside for good, by position: only records in front of `again`, for those behind it are delivered again. */
  readonly aside: readonly UnbookedRecord[];
}

/**
 * What is set aside, and from where on the batch has to come again. Malformed records and those of rows that refuse them are set aside: both are the
 * same at every delivery. All other failures pass, so they come again.
 */
export function sortedFailures(
  records: readonly StreamRecord[],
  malformed: readonly MalformedRecord[],
  rowFailures: readonly RowFailure[],
): SortedFailures {
  const again = firstFailure(rowFailures.filter(({ cause }) => !(cause instanceof RowRefused)));
  const aside = new Map<string, UnbookedRecord>();
  malformed.forEach(({ sequenceNumber, cause, record }, index) => {
    // Those without a number are all set aside: nobody knows where they stand.
    const id = sequenceNumber === '' ? ` ${index}` : streamPosition(sequenceNumber);
    aside.set(id, { kind: 'headgate.unbooked', version: 1, reason: messageOf(cause), record });
  });
  const byNumber = new Map(records.map((record) => [record.dynamodb?.SequenceNumber, record]));
  for (const { cause, row, changes } of rowFailures) {
    if (!(cause instanceof RowRefused)) continue;
    for (const { position, sequenceNumber } of changes) {
      const record = byNumber.get(sequenceNumber);
      if (record === undefined) continue;
      const rows = [...(aside.get(position)?.rows ?? []), row];
      aside.set(position, { kind: 'headgate.unbooked', version: 1, reason: cause.message, rows, record });
    }
  }
  const end = again === undefined ? undefined : streamPosition(again.sequenceNumber);
  const inFront = [...aside].filter(([position]) => end === undefined || position < end);
  return { again, aside: inFront.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, unbooked]) => unbooked) };
}

/** The failure with the lowest position; one without a sequence number comes before all others. */
export function firstFailure<Failure extends RecordFailure>(failures: readonly Failure[]): Failure | undefined {
  const position = (failure: Failure): string => streamPosition(failure.sequenceNumber);
  return failures.reduce<Failure | undefined>(
    (first, failure) => (first === undefined || position(failure) < position(first) ? failure : first),
    undefined,
  );
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
