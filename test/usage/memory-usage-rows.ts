import type { AdditionOutcome, UsageRowStore } from '../../lib/usage/book-usage.js';
import type { RowAddition } from '../../lib/usage/usage-rows.js';

/** What a usage row holds, in a form that compares. */
export interface RowContent {
  readonly consumed: Readonly<Record<string, bigint>>;
  readonly requests: bigint;
  readonly denials: bigint;
}

/** Usage rows in memory, judged by the condition that the table's rows are judged by. */
export class MemoryUsageRows implements UsageRowStore {
  private readonly rows = new Map<string, RowContent & { readonly lastPosition: string }>();

  async add(addition: RowAddition): Promise<AdditionOutcome> {
    const id = `${addition.pk} ${addition.sk}`;
    const row = this.rows.get(id);
    if (row !== undefined && !(row.lastPosition < addition.firstPosition))
      return { counted: false, lastPosition: row.lastPosition };
    const consumed = { ...row?.consumed };
    for (const [limit, tokens] of addition.consumed) consumed[limit] = (consumed[limit] ?? 0n) + tokens;
    this.rows.set(id, {
      consumed,
      requests: (row?.requests ?? 0n) + addition.requests,
      denials: (row?.denials ?? 0n) + addition.denials,
      lastPosition: addition.lastPosition,
    });
    return { counted: true };
  }

  /** Every row by `pk sk`. */
  content(): Map<string, RowContent> {
    return new Map([...this.rows].map(([id, { consumed, requests, denials }]) => [id, { consumed, requests, denials }]));
  }
}
