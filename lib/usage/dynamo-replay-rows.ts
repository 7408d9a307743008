import { type DynamoDBClient, TransactionCanceledException, TransactWriteItemsCommand } from '@aws-sdk/client-dynamodb';
import type { ReplayOutcome, ReplayRows } from './replay-usage.js';
import { replayIntoUsageRow } from './usage-requests.js';
import type { RowAddition } from './usage-rows.js';

/** Longer than any queue holds a message (14 days) and any stream a record. */
const MARK_KEPT_SECONDS = 35 * 86_400;

/** Changes of the row between the two transactions of a replay, after which it is given up. */
const ATTEMPTS = 10;

/** Replays into the table's usage rows: the addition and the mark that it was made are one transaction. */
export class DynamoReplayRows implements ReplayRows {
  constructor(
    private readonly client: DynamoDBClient,
    private readonly tableName: string,
    private readonly nowMs: () => number = Date.now,
  ) {}

  async replay(addition: RowAddition, { onlyNext }: { readonly onlyNext: boolean }): Promise<ReplayOutcome> {
    let moved = false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const failed = await this.#failedCondition(addition, moved);
      if (failed === undefined) return 'counted';
      if (failed === 'mark') return 'replayed before';
      if (failed === 'row' && onlyNext) return 'moved';
      // It may have been deleted since, or written for the first time.
      if (failed === 'row') moved = !moved;
    }
    throw new Error(`${addition.pk} ${addition.sk} is being written by others: replay it again`);
  }

  /** Which of the two conditions failed; `conflict`: another write held the row. Undefined: the record is counted. */
  async #failedCondition(addition: RowAddition, moved: boolean): Promise<'mark' | 'row' | 'conflict' | undefined> {
    const ttl = Math.ceil(this.nowMs() / 1_000) + MARK_KEPT_SECONDS;
    try {
      await this.client.send(new TransactWriteItemsCommand(replayIntoUsageRow(this.tableName, addition, moved, ttl)));
      return undefined;
    } catch (error) {
      if (!(error instanceof TransactionCanceledException)) throw error;
      const [mark, row] = error.CancellationReasons ?? [];
      if (mark?.Code === 'ConditionalCheckFailed') return 'mark';
      if (row?.Code === 'ConditionalCheckFailed') return 'row';
      if (mark?.Code === 'TransactionConflict' || row?.Code === 'TransactionConflict') return 'conflict';
      throw error;
    }
  }
}
