import { level } from './core/bucket.js';
import { formAt } from './core/forms.js';
import { type Limit, rateOf } from './core/limit.js';
import type { ScheduleEntry } from './core/schedule-entry.js';
import { standingOf } from './core/standing.js';
import { FS_PER_MS } from './core/time.js';
import { ceilMs } from './report.js';
import type { BucketState } from './store/store.js';

/** Which form of a scheduled limit is in force. */
export interface FormStatus {
  /** The entry of its schedule that matches; null: none does, and the limit stands as it is. */
  readonly entry: ScheduleEntry | null;
  /** When another one comes into force, ISO 8601; null: not within eight days. */
  readonly until: string | null;
}

/** Where one limit of one level stands. */
export interface LimitStatus {
  readonly entity: string;
  readonly resource: string;
  readonly limit: string;
  /** Of a scheduled limit: of the form in force. */
  readonly capacity: number;
  /** Whole tokens there, rounded down; negative: they are reserved by a queue, or owed. */
  readonly available: number;
  /** Tokens owed by settlements above their estimates, on top of what the queue has reserved; 0 where none are. */
  readonly debt: number;
  /** Of a concurrency limit: its slots in use. */
  readonly inFlight?: number;
  /** Milliseconds until the last place of the queue starts; 0: there is no queue. */
  readonly queueMs: number;
  /** Milliseconds until the limit is full again. */
  readonly resetMs: number;
  /** ISO 8601; null where it is full, or beyond the range of dates. */
  readonly fullAt: string | null;
  /** Of a scheduled limit: its form in force. Absent: it has no schedule. */
  readonly form?: FormStatus;
  /** How many shards this sums up. Absent: the bucket is whole. */
  readonly shards?: number;
  /** A number of shards to try: this process saw DynamoDB throttle the bucket. Absent: it did not. */
  readonly suggestShards?: number;
}

export interface Status {
  readonly entity: string;
  readonly resource: string;
  readonly limits: readonly LimitStatus[];
}

const LATEST_DATE_MS = 8_640_000_000_000_000;

/** An instant as a Date; null beyond the range of dates. */
export function dateOf(ms: number): Date | null {
  return ms > LATEST_DATE_MS ? null : new Date(ms);
}

/**
 * A limit's status. Below zero, what is missing until the last reserved start is the queue, and what would be missing even then is debt:
 *
 *     now ----- queue ----- reserved until ----- debt ----- z - window ----> time
 */
export function statusOf(
  subject: { readonly entity: string; readonly resource: string },
  limit: Limit,
  bucket: BucketState,
  nowFs: bigint,
): LimitStatus {
  const { available, fullAtFs } = standingOf(limit, bucket, nowFs);
  const queueUntilFs = queueEndFs(limit, bucket, fullAtFs, nowFs);
  const resetMs = fullAtFs > nowFs ? ceilMs(fullAtFs - nowFs) : 0;
  const form = formStatus(limit, Number(nowFs / FS_PER_MS));
  return {
    entity: subject.entity,
    resource: subject.resource,
    limit: limit.name,
    capacity: limit.capacity,
    available,
    debt: Math.max(0, -(limit.kind === 'bucket' ? level(limit, fullAtFs, queueUntilFs) : available)),
    ...(limit.kind === 'concurrent' && { inFlight: limit.capacity - available }),
    queueMs: ceilMs(queueUntilFs - nowFs),
    resetMs,
    fullAt: resetMs === 0 ? null : (dateOf(Number(nowFs / FS_PER_MS) + resetMs)?.toISOString() ?? null),
    ...(form && { form }),
  };
}

/** Which form of a limit, or of one of its forms, is in force; undefined: it has no schedule. */
export function formStatus(limit: Limit, atMs: number): FormStatus | undefined {
  const form = formAt(limit, atMs);
  if (form === undefined) return undefined;
  const { entry = null, untilMs } = form;
  // Where the horizon ends rather than the form, the next one is the same.
  const changes = (formAt(limit, untilMs)?.entry ?? null) !== entry;
  return { entry, until: changes ? (dateOf(untilMs)?.toISOString() ?? null) : null };
}

/** When the last place of the queue for a token bucket starts; now: there is no queue. */
function queueEndFs(limit: Limit, { reservedUntilFs = 0n }: BucketState, fullAtFs: bigint, nowFs: bigint): bigint {
  if (limit.kind !== 'bucket') return nowFs;
  const emptyUntilFs = fullAtFs - rateOf(limit).windowFs;
  const endFs = reservedUntilFs < emptyUntilFs ? reservedUntilFs : emptyUntilFs;
  return endFs > nowFs ? endFs : nowFs;
}

/** The status of a limit from those of its shards: tokens are summed up, times are the latest. Not for none. */
export function together(shards: readonly LimitStatus[]): LimitStatus {
  const [first, ...rest] = shards;
  if (first === undefined) throw new RangeError('a limit has at least one shard');
  if (rest.length === 0) return first;
  const latest = shards.reduce((last, one) => (one.resetMs > last.resetMs ? one : last));
  const sum = (of: (status: LimitStatus) => number): number => shards.reduce((total, one) => total + of(one), 0);
  return {
    ...first,
    capacity: sum(({ capacity }) => capacity),
    available: sum(({ available }) => available),
    debt: sum(({ debt }) => debt),
    ...(first.inFlight !== undefined && { inFlight: sum(({ inFlight = 0 }) => inFlight) }),
    queueMs: Math.max(...shards.map(({ queueMs }) => queueMs)),
    resetMs: latest.resetMs,
    fullAt: latest.fullAt,
    shards: shards.length,
  };
}
