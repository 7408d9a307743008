/** Books records that were set aside, or that Lambda gave up: each once into each row, however often it is replayed. */
import { readBucketChanges, type StreamRecord } from './bucket-changes.js';
import type { UnbookedRecord } from './unbooked-record.js';
import { type RowAddition, rowAddition, type UsageRowId, usageRows } from './usage-rows.js';

/** Where rows are told apart that had a record replayed into them. */
export interface ReplayRows {
  /** Counts the addition of one record unless it was replayed into the row before. `onlyNext`: nor when the row has counted it or a later one. */
  replay(addition: RowAddition, options: { readonly onlyNext: boolean }): Promise<ReplayOutcome>;
}

/** `moved`: the row has counted this record or a later one, and nobody can tell which. */
export type ReplayOutcome = 'counted' | 'replayed before' | 'moved';

/** What a replay of one record came to, in rows. */
export interface Replayed {
  readonly counted: number;
  readonly replayedBefore: number;
  readonly moved: readonly UsageRowId[];
}

export interface ReplayOptions {
  /** Only these rows. @default all that the record belongs into */
  readonly rows?: readonly UsageRowId[] | undefined;
  /**
   * Whether rows that have counted later records are left alone: what Lambda gave up may be counted in some of them. Records that were set aside are counted
   * in none of their rows. @default false
   */
  readonly onlyNext?: boolean | undefined;
}

/**
 * The additions of one record, a row each; none where it moved no counter of a bucket. Throws what is wrong with a record that cannot be read.
 */
export function replayAdditions(record: StreamRecord, rows?: readonly UsageRowId[]): readonly RowAddition[] {
  const { buckets, malformed } = readBucketChanges([record]);
  if (malformed[0] !== undefined) throw malformed[0].cause;
  const wanted = rows && new Set(rows.map(({ pk, sk }) => `${pk} ${sk}`));
  return buckets
    .flatMap((bucket) => usageRows(bucket))
    .filter(({ pk, sk }) => wanted?.has(`${pk} ${sk}`) ?? true)
    .map(rowAddition);
}

/** Counts one record in each of its rows that lacks it. Throws when it cannot be read or a row cannot be written: replay it again then. */
export async function replayRecord(
  store: ReplayRows,
  record: StreamRecord,
  { rows, onlyNext = false }: ReplayOptions = {},
): Promise<Replayed> {
  let [counted, replayedBefore] = [0, 0];
  const moved: UsageRowId[] = [];
  for (const addition of replayAdditions(record, rows)) {
    const outcome = await store.replay(addition, { onlyNext });
    if (outcome === 'counted') counted++;
    else if (outcome === 'replayed before') replayedBefore++;
    else moved.push({ pk: addition.pk, sk: addition.sk });
  }
  return { counted, replayedBefore, moved };
}

/** The record that a message of the queue holds; undefined for any other text. */
export function parseUnbookedRecord(body: string): UnbookedRecord | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return undefined;
  }
  const { kind, version, record } = (parsed ?? {}) as Partial<UnbookedRecord>;
  return kind === 'headgate.unbooked' && version === 1 && typeof record === 'object' && record !== null
    ? (parsed as UnbookedRecord)
    : undefined;
}
