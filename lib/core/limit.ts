import { InvalidArgument } from '../errors.js';
import { checkTimeZone } from './calendar.js';
import { COUNTS, type Counts, inferCounts } from './counts.js';
import { takesForms } from './forms.js';
import type { Quota, Session } from './quota.js';
import { checkedSchedule, formFields, type ScheduleEntry } from './schedule-entry.js';
import type { Concurrency } from './slots.js';
import { FS_PER_MS } from './time.js';
import { parseWeights, type TokenWeights } from './weights.js';

/** What every limit has besides its arithmetic. */
export interface Counted {
  /** 1 to 64 of `A-Z a-z 0-9 _ - .` */
  readonly name: string;
  readonly counts: Counts;
  /** Observed: decided and reported, never denied. Absent: enforced. */
  readonly mode?: 'observe';
  /** What a token of each part of a call counts, of limits that count tokens. Absent: 1. */
  readonly weights?: TokenWeights;
  /** Other amounts at other times. Absent: the same at all times. */
  readonly schedule?: readonly ScheduleEntry[];
}

/**
 * A token bucket: at most `capacity` at once from full, refilled evenly by `refillAmount` every `refillPeriodMs`.
 * A plain frozen value; equal fields mean the same limit.
 */
export interface TokenBucketLimit extends Counted {
  readonly kind: 'bucket';
  /** Tokens of a full bucket: the largest cost admitted at once. 1 to 2^53 - 1. */
  readonly capacity: number;
  readonly refillAmount: number;
  readonly refillPeriodMs: number;
}

/** At most `capacity` in each day or month of a time zone: a hard budget, there again at midnight or on the first. */
export interface QuotaLimit extends Quota, Counted {}

/** At most `capacity` within `everyMs` of the first admitted use; anew with the first use after that. */
export interface SessionLimit extends Session, Counted {}

/** At most `capacity` leases at a time: each takes a slot, until it ends or the slot expires. */
export interface ConcurrencyLimit extends Concurrency, Counted {}

export type Limit = TokenBucketLimit | QuotaLimit | SessionLimit | ConcurrencyLimit;

export type Mode = 'enforce' | 'observe';

interface CountOptions {
  /** @default inferred from the name: `rpm` counts requests, `tpm` tokens, `itpm` input tokens, `usd…` micro-dollars, else 'custom' */
  readonly counts?: Counts;
  /** 'observe' decides and reports, and never denies: to try a limit out, or as a soft one. @default 'enforce' */
  readonly mode?: Mode;
  /**
   * Other amounts at other times: `[{ cron: '* 9-17 * * 1-5', timeZone: 'Europe/Berlin', scale: 0.5 }]` halves the limit in business hours.
   * @default the same at all times
   */
  readonly schedule?: readonly ScheduleEntry[];
}

interface TokenOptions extends CountOptions {
  /**
   * Of a limit that counts tokens, input or output tokens: what each token of a call counts. `{ cachedInput: 0.1, output: 5 }` charges `tpm` for
   * cached input a tenth and for output fivefold; `{ cachedInput: 0 }` leaves cached input out of `itpm`. The gateway charges the weighted sum,
   * rounded up once to whole tokens. What `consume` and `settle` are given is taken as it is. @default every token counts 1
   */
  readonly weights?: TokenWeights;
}

export interface BucketOptions extends TokenOptions {
  /** Capacity of the bucket, where it differs from the amount. @default the amount */
  readonly burst?: number;
}

export interface QuotaOptions extends TokenOptions {
  readonly per: 'day' | 'month';
  /** An IANA name, such as Europe/Paris. @default 'UTC' */
  readonly timeZone?: string;
}

export interface WindowOptions extends TokenOptions {
  /** How long a window lasts from its first use, 1 to 3,660 days in milliseconds. */
  readonly everyMs: number;
}

export interface ConcurrentOptions extends CountOptions {
  /** When a slot is free again that was never given back, 1 to 86,400,000: longer than the longest call takes. */
  readonly leaseMs: number;
}

export interface CustomBucket extends TokenOptions {
  readonly name: string;
  readonly capacity: number;
  readonly refillAmount: number;
  readonly refillPeriodMs: number;
}

const MS_PER_DAY = 86_400_000;
const MAX_PERIOD_MS = 3_660 * MS_PER_DAY;
const MAX_SLOTS = 1_000;
const MAX_WINDOW_DAYS = 10_000_000;
const MAX_AMOUNT_PER_MS = 10_000_000_000;
const MAX_WINDOW_FS = BigInt(MAX_WINDOW_DAYS) * BigInt(MS_PER_DAY) * FS_PER_MS;

const TOKEN_FIELDS = ['counts', 'mode', 'weights', 'schedule'];

const per =
  (periodMs: number) =>
  (name: string, amount: number, options: BucketOptions = {}): TokenBucketLimit => {
    const { burst, ...counting } = knownFields(options, ['burst', ...TOKEN_FIELDS], 'options');
    const capacity = burst === undefined ? amount : burst;
    return defined({ name, capacity, refillAmount: amount, refillPeriodMs: periodMs, ...counting }, 'limit', {
      capacity: burst === undefined ? 'amount' : 'burst',
      refillAmount: 'amount',
    });
  };

/** Constructors of limits. Each throws `InvalidArgument` naming the field, the value and the legal range. */
export const Limit = {
  /** `amount` a second, evenly; `burst` of them at once from full. */
  perSecond: per(1_000),
  perMinute: per(60_000),
  perHour: per(3_600_000),
  perDay: per(MS_PER_DAY),
  /** Any capacity with any refill: `capacity` at once, `refillAmount` every `refillPeriodMs`. */
  custom(bucket: CustomBucket): TokenBucketLimit {
    return defined(
      knownFields(bucket, ['name', 'capacity', 'refillAmount', 'refillPeriodMs', ...TOKEN_FIELDS], 'limit'),
      'limit',
    );
  },
  /** `amount` a day or month of a time zone, all of it at once if need be: `Limit.quota('usd', 5_000_000, { per: 'month' })`. */
  quota: (name: string, amount: number, options: QuotaOptions): QuotaLimit => quota(name, amount, options, 'limit', 'amount'),
  /** `amount` within `everyMs` of the first use: `Limit.window('messages', 50, { everyMs: 18_000_000 })`. */
  window: (name: string, amount: number, options: WindowOptions): SessionLimit =>
    session(name, amount, options, 'limit', 'amount'),
  /** `slots` leases at a time, 1 to 1,000: `Limit.concurrent('inflight', 20, { leaseMs: 120_000 })`. A lease takes one: `consume: { inflight: 1 }`. */
  concurrent: (name: string, slots: number, options: ConcurrentOptions): ConcurrencyLimit =>
    concurrent(name, slots, options, 'limit', 'slots'),
} as const;

/** A limit of so many tokens a window, whenever the window starts. */
export type WindowedLimit = QuotaLimit | SessionLimit;

/** Femtoseconds of one token, and of a full bucket. Rounded up per token, so that capacities are exact and rates never exceeded. */
export interface Rate {
  readonly tokenFs: bigint;
  readonly windowFs: bigint;
}

/** Every limit made here, with its rate: membership is the proof that its fields were checked. The values are frozen. */
const rates = new WeakMap<TokenBucketLimit, Rate>();
const withoutRate = new WeakSet<WindowedLimit | ConcurrencyLimit>();

/** The rate of a limit made by `Limit` or `parseLimit`. */
export function rateOf(limit: TokenBucketLimit): Rate {
  const rate = rates.get(limit);
  if (rate === undefined) throw new InvalidArgument({ field: 'limit', value: limit, expected: 'a value made by Limit' });
  return rate;
}

/** A token bucket with another capacity and rate, as one shard of it has: its refill stands for the whole limit's. */
export function slowed(limit: TokenBucketLimit, capacity: number, rate: Rate): TokenBucketLimit {
  const slower = Object.freeze({ ...limit, capacity });
  rates.set(slower, rate);
  return slower;
}

/** The limit with another capacity. */
export function withCapacity(limit: WindowedLimit | ConcurrencyLimit, capacity: number): WindowedLimit | ConcurrencyLimit {
  const other: WindowedLimit | ConcurrencyLimit = Object.freeze({ ...limit, capacity });
  withoutRate.add(other);
  return other;
}

/** Checks a limit that came from outside (a request, a stored record); a limit made here is returned as it is. */
export function parseLimit(value: unknown, field: string): Limit {
  if (typeof value !== 'object' || value === null) {
    throw new InvalidArgument({ field, value, expected: 'a limit made by Limit.perMinute and its kind' });
  }
  if (rates.has(value as TokenBucketLimit) || withoutRate.has(value as WindowedLimit)) return value as Limit;
  const { kind: stored, name, capacity, ...options } = value as Record<string, unknown>;
  if (stored === 'quota') return quota(name, capacity, options, field);
  if (stored === 'session') return session(name, capacity, options, field);
  if (stored === 'concurrent') return concurrent(name, capacity, options, field);
  const { kind, ...fields } = knownFields(
    value as Record<string, unknown>,
    ['kind', 'name', 'capacity', 'refillAmount', 'refillPeriodMs', ...TOKEN_FIELDS],
    field,
  );
  if (kind !== undefined && kind !== 'bucket')
    throw new InvalidArgument({ field: `${field}.kind`, value: kind, expected: "'bucket', 'quota', 'session' or 'concurrent'" });
  return defined(fields as unknown as CustomBucket, field);
}

const MODES: readonly Mode[] = ['enforce', 'observe'];

function defined(bucket: LooseBucket, at: string, as: Partial<Record<keyof CustomBucket, string>> = {}): TokenBucketLimit {
  const name = (field: keyof CustomBucket) => `${at}.${as[field] ?? field}`;
  checkLimitName(bucket.name, name('name'));
  integerIn(bucket.capacity, 1, Number.MAX_SAFE_INTEGER, name('capacity'));
  integerIn(bucket.refillPeriodMs, 1, MAX_PERIOD_MS, name('refillPeriodMs'));
  const fastest = Math.min(Number.MAX_SAFE_INTEGER, MAX_AMOUNT_PER_MS * bucket.refillPeriodMs);
  integerIn(bucket.refillAmount, 1, fastest, name('refillAmount'));
  const amount = BigInt(bucket.refillAmount);
  const tokenFs = (BigInt(bucket.refillPeriodMs) * FS_PER_MS + amount - 1n) / amount;
  const windowFs = BigInt(bucket.capacity) * tokenFs;
  if (windowFs > MAX_WINDOW_FS) {
    const most = MAX_WINDOW_FS / tokenFs;
    throw new InvalidArgument({
      field: name('capacity'),
      value: bucket.capacity,
      expected: `at most ${most}, so that it refills within ${MAX_WINDOW_DAYS} days`,
    });
  }
  const limit: TokenBucketLimit = Object.freeze({
    kind: 'bucket',
    name: bucket.name,
    capacity: bucket.capacity,
    refillAmount: bucket.refillAmount,
    refillPeriodMs: bucket.refillPeriodMs,
    ...counted(bucket.name, bucket, at),
  });
  rates.set(limit, { tokenFs, windowFs });
  return withForms(limit, at);
}

function quota(name: unknown, amount: unknown, options: unknown, at: string, as = 'capacity'): QuotaLimit {
  const { per: span, timeZone = 'UTC', ...counting } = knownFields(Object(options) as Partial<QuotaOptions>, QUOTA_FIELDS, at);
  checkLimitName(name, `${at}.name`);
  integerIn(amount, 1, Number.MAX_SAFE_INTEGER, `${at}.${as}`);
  if (span !== 'day' && span !== 'month')
    throw new InvalidArgument({ field: `${at}.per`, value: span, expected: "'day' or 'month'" });
  checkTimeZone(timeZone, `${at}.timeZone`);
  const limit: QuotaLimit = Object.freeze({
    kind: 'quota',
    name,
    capacity: amount,
    per: span,
    timeZone,
    ...counted(name, counting, at),
  });
  withoutRate.add(limit);
  return withForms(limit, at);
}

function session(name: unknown, amount: unknown, options: unknown, at: string, as = 'capacity'): SessionLimit {
  const { everyMs, ...counting } = knownFields(Object(options) as Partial<WindowOptions>, WINDOW_FIELDS, at);
  checkLimitName(name, `${at}.name`);
  integerIn(amount, 1, Number.MAX_SAFE_INTEGER, `${at}.${as}`);
  integerIn(everyMs, 1, MAX_PERIOD_MS, `${at}.everyMs`);
  const limit: SessionLimit = Object.freeze({
    kind: 'session',
    name,
    capacity: amount,
    everyMs,
    ...counted(name, counting, at),
  });
  withoutRate.add(limit);
  return withForms(limit, at);
}

function concurrent(name: unknown, slots: unknown, options: unknown, at: string, as = 'capacity'): ConcurrencyLimit {
  const { leaseMs, counts, mode, schedule } = knownFields(Object(options) as Partial<ConcurrentOptions>, CONCURRENT_FIELDS, at);
  checkLimitName(name, `${at}.name`);
  integerIn(slots, 1, MAX_SLOTS, `${at}.${as}`);
  integerIn(leaseMs, 1, MS_PER_DAY, `${at}.leaseMs`);
  const limit: ConcurrencyLimit = Object.freeze({
    kind: 'concurrent',
    name,
    capacity: slots,
    leaseMs,
    ...counted(name, { counts: counts ?? 'inFlight', mode, schedule }, at),
  });
  withoutRate.add(limit);
  return withForms(limit, at);
}

/** The limit, with what its schedule makes of it. */
function withForms<L extends Limit>(limit: L, at: string): L {
  const { schedule } = limit;
  if (schedule === undefined) return limit;
  const entries = [...schedule, {}];
  const forms = entries.map((entry, index) => parseLimit(formFields(limit, entry), `${at}.schedule[${index}]`));
  takesForms(limit, schedule, forms);
  return limit;
}

const CONCURRENT_FIELDS = ['leaseMs', 'counts', 'mode', 'schedule'];
const QUOTA_FIELDS = ['per', 'timeZone', ...TOKEN_FIELDS];
const WINDOW_FIELDS = ['everyMs', ...TOKEN_FIELDS];

type Counting = { readonly [Field in keyof TokenOptions]?: TokenOptions[Field] | undefined };

/** What a limit counts, whether it is observed, and what a token weighs. */
function counted(
  name: string,
  { counts = inferCounts(name), mode, weights, schedule }: Counting,
  at: string,
): Omit<Counted, 'name'> {
  if (!COUNTS.includes(counts)) {
    throw new InvalidArgument({ field: `${at}.counts`, value: counts, expected: `one of ${COUNTS.join(', ')}` });
  }
  if (mode !== undefined && !MODES.includes(mode)) {
    throw new InvalidArgument({ field: `${at}.mode`, value: mode, expected: `one of ${MODES.join(', ')}` });
  }
  const weighing = weights === undefined ? {} : { weights: parseWeights(weights, counts, `${at}.weights`) };
  return {
    counts,
    ...(mode === 'observe' && { mode }),
    ...weighing,
    ...(schedule && { schedule: checkedSchedule(schedule, `${at}.schedule`) }),
  };
}

type LooseBucket = Omit<CustomBucket, keyof TokenOptions> & Counting;

/** Checks the name of a limit: 1 to 64 of `A-Z a-z 0-9 _ - .` */
export function checkLimitName(value: unknown, field: string): asserts value is string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(value)) {
    throw new InvalidArgument({ field, value, expected: '1 to 64 characters of A-Z a-z 0-9 _ - .' });
  }
}

function integerIn(value: unknown, least: number, most: number, field: string): asserts value is number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) {
    throw new InvalidArgument({ field, value, expected: `an integer from ${least} to ${most}` });
  }
}

function knownFields<T extends object>(value: T, known: readonly string[], at: string): T {
  if (typeof value !== 'object' || value === null) throw new InvalidArgument({ field: at, value, expected: 'an object' });
  for (const field of Object.keys(value)) {
    if (!known.includes(field)) {
      throw new InvalidArgument({
        field: `${at}.${field}`,
        value: (value as Record<string, unknown>)[field],
        expected: `left out: the known fields are ${known.join(', ')}`,
      });
    }
  }
  return value;
}
