/** Works off a queue of records that were not booked. */

import type { StreamRecord } from '../lib/usage/bucket-changes.js';
import { parseUnbookedRecord, type Replayed, type ReplayRows, replayAdditions, replayRecord } from '../lib/usage/replay-usage.js';
import type { UsageRowId } from '../lib/usage/usage-rows.js';
import { type GivenUpRecords, parseGivenUpRecords } from './given-up-records.js';
import type { Message, MessageQueue } from './message-queue.js';
import type { Progress } from './progress.js';

export interface ReplayJob {
  readonly queue: MessageQueue;
  readonly rows: ReplayRows;
  /** Reads what Lambda gave up from the stream. */
  readonly readGivenUp: (given: GivenUpRecords) => Promise<readonly StreamRecord[]>;
  readonly tableName: string;
  /** Only says what it would do; the messages stay. */
  readonly dryRun: boolean;
  /** Counts what Lambda gave up also in rows that have moved on. */
  readonly countMoved: boolean;
}

/** What became of the messages. In a dry run `counted` are the rows that the records belong into. */
export interface ReplayTotals {
  messages: number;
  records: number;
  counted: number;
  replayedBefore: number;
  moved: number;
  /** Messages that stay in the queue, and why. */
  readonly left: { readonly message: string; readonly reason: string }[];
}

/** Replays every message that waits, and removes those that were replayed in full. Messages that cannot be stay in the queue. */
export async function replayMessages(job: ReplayJob, progress: Progress): Promise<ReplayTotals> {
  const totals: ReplayTotals = { messages: 0, records: 0, counted: 0, replayedBefore: 0, moved: 0, left: [] };
  const kept: Message[] = [];
  try {
    for (let received = await job.queue.receive(); received.length > 0; received = await job.queue.receive()) {
      for (const message of received) {
        totals.messages++;
        const reason = await replayed(job, message, totals).catch((error: unknown) => messageOf(error));
        if (reason !== undefined) totals.left.push({ message: named(message), reason });
        if (reason === undefined && !job.dryRun) await job.queue.remove(message);
        else kept.push(message);
        progress.at(totals.messages, `${totals.messages} messages, ${totals.counted} rows`);
      }
    }
  } finally {
    for (const message of kept) await job.queue.giveBack(message);
  }
  return totals;
}

/** Replays one message. Returns why it stays in the queue; undefined: all of it is counted. */
async function replayed(job: ReplayJob, { body }: Message, totals: ReplayTotals): Promise<string | undefined> {
  const unbooked = parseUnbookedRecord(body);
  if (unbooked !== undefined) {
    const { moved } = await replayedRecord(job, unbooked.record, { rows: unbooked.rows, onlyNext: false }, totals);
    return moved.length === 0 ? undefined : `${moved.length} rows have moved on`;
  }
  const given = parseGivenUpRecords(body);
  if (given === undefined) return 'it is neither a record nor a position in a stream';
  const moved: UsageRowId[] = [];
  for (const record of await job.readGivenUp(given)) {
    moved.push(...(await replayedRecord(job, record, { onlyNext: !job.countMoved }, totals)).moved);
  }
  return moved.length === 0
    ? undefined
    : `${moved.length} rows have counted later records, and perhaps this one, such as ${moved[0]?.pk} ${moved[0]?.sk}`;
}

async function replayedRecord(
  { rows, tableName, dryRun }: ReplayJob,
  record: StreamRecord,
  options: { readonly rows?: readonly UsageRowId[] | undefined; readonly onlyNext: boolean },
  totals: ReplayTotals,
): Promise<Replayed> {
  const source = (record as { eventSourceARN?: string }).eventSourceARN;
  const table = /:table\/([^/]+)\//.exec(source ?? '')?.[1];
  if (table !== undefined && table !== tableName) throw new Error(`it is a record of the table ${table}`);
  totals.records++;
  if (dryRun) {
    totals.counted += replayAdditions(record, options.rows).length;
    return { counted: 0, replayedBefore: 0, moved: [] };
  }
  const done = await replayRecord(rows, record, options);
  totals.counted += done.counted;
  totals.replayedBefore += done.replayedBefore;
  totals.moved += done.moved.length;
  return done;
}

/** What a message is about, in a few words. */
function named({ body }: Message): string {
  const given = parseGivenUpRecords(body);
  if (given !== undefined) return `${given.shardId} ${given.startSequenceNumber} to ${given.endSequenceNumber}`;
  const { Keys, SequenceNumber } = parseUnbookedRecord(body)?.record.dynamodb ?? {};
  return SequenceNumber === undefined ? body.slice(0, 60) : `${SequenceNumber} ${Keys?.pk?.S ?? ''}`.trim();
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
