import { InvalidArgument } from '../errors.js';

/** What one unit of a limit stands for, so that a gateway knows what to consume and what to settle. */
export type Counts = 'requests' | 'tokens' | 'inputTokens' | 'outputTokens' | 'microUsd' | 'inFlight' | 'custom';

/**
 * A token bucket: at most `capacity` at once from full, refilled evenly by `refillAmount` every `refillPeriodMs`.
 * A plain frozen value; equal fields mean the same limit.
 */
export interface TokenBucketLimit {
  readonly kind: 'bucket';
  /** 1 to 64 of `A-Z a-z 0-9 _ - .` */
  readonly name: string;
  /** Tokens of a full bucket: the largest cost admitted at once. 1 to 2^53 - 1. */
  readonly capacity: number;
  readonly refillAmount: number;
  readonly refillPeriodMs: number;
  readonly counts: Counts;
  /** Observed: decided and reported, never denied. Absent: enforced. */
  readonly mode?: 'observe';
}

export type Limit = TokenBucketLimit;

export interface BucketOptions {
  /** Capacity of the bucket, where it differs from the amount. @default the amount */
  readonly burst?: number;
  /** @default inferred from the name: `rpm` counts requests, `tpm` tokens, `itpm` input tokens, `usd…` micro-dollars, else 'custom' */
  readonly counts?: Counts;
  /** 'observe' decides and reports, and never denies: to try a limit out, or as a soft one. @default 'enforce' */
  readonly mode?: Mode;
}

export type Mode = 'enforce' | 'observe';

export interface CustomBucket {
  readonly name: string;
  readonly capacity: number;
  readonly refillAmount: number;
  readonly refillPeriodMs: number;
  /** @default inferred from the name */
  readonly counts?: Counts;
  /** @default 'enforce' */
  readonly mode?: Mode;
}

const MS_PER_DAY = 86_400_000;
const MAX_PERIOD_MS = 3_660 * MS_PER_DAY;
const MAX_WINDOW_DAYS = 10_000_000;
const MAX_AMOUNT_PER_MS = 10_000_000_000;
export const FS_PER_MS = 1_000_000_000_000n;
const MAX_WINDOW_FS = BigInt(MAX_WINDOW_DAYS) * BigInt(MS_PER_DAY) * FS_PER_MS;

const per =
  (periodMs: number) =>
  (name: string, amount: number, options: BucketOptions = {}): Limit => {
    const { burst, counts, mode } = knownFields(options, ['burst', 'counts', 'mode'], 'options');
    const capacity = burst === undefined ? amount : burst;
    return defined({ name, capacity, refillAmount: amount, refillPeriodMs: periodMs, counts, mode }, 'limit', {
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
  custom(bucket: CustomBucket): Limit {
    return defined(
      knownFields(bucket, ['name', 'capacity', 'refillAmount', 'refillPeriodMs', 'counts', 'mode'], 'limit'),
      'limit',
    );
  },
} as const;

/** Femtoseconds of one token, and of a full bucket. Rounded up per token, so that capacities are exact and rates never exceeded. */
export interface Rate {
  readonly tokenFs: bigint;
  readonly windowFs: bigint;
}

/** Every limit made here, with its rate: membership is the proof that its fields were checked. The values are frozen. */
const rates = new WeakMap<Limit, Rate>();

/** The rate of a limit made by `Limit` or `parseLimit`. */
export function rateOf(limit: Limit): Rate {
  const rate = rates.get(limit);
  if (rate === undefined) throw new InvalidArgument({ field: 'limit', value: limit, expected: 'a value made by Limit' });
  return rate;
}

/** Checks a limit that came from outside (a request, a stored record); a limit made here is returned as it is. */
export function parseLimit(value: unknown, field: string): Limit {
  if (typeof value !== 'object' || value === null) {
    throw new InvalidArgument({ field, value, expected: 'a limit made by Limit.perMinute and its kind' });
  }
  if (rates.has(value as Limit)) return value as Limit;
  const { kind, ...fields } = knownFields(
    value as Record<string, unknown>,
    ['kind', 'name', 'capacity', 'refillAmount', 'refillPeriodMs', 'counts', 'mode'],
    field,
  );
  if (kind !== undefined && kind !== 'bucket')
    throw new InvalidArgument({ field: `${field}.kind`, value: kind, expected: "'bucket'" });
  return defined(fields as unknown as CustomBucket, field);
}

const COUNTS: readonly Counts[] = ['requests', 'tokens', 'inputTokens', 'outputTokens', 'microUsd', 'inFlight', 'custom'];

const MODES: readonly Mode[] = ['enforce', 'observe'];

/** What a conventional name counts: `rps rpm rph rpd` requests, `tps tpm tph tpd` tokens, `itpm`, `otpm`, `usd…`, `inflight`. */
export function inferCounts(name: string): Counts {
  if (/^rp[smhd]$/.test(name)) return 'requests';
  if (/^tp[smhd]$/.test(name)) return 'tokens';
  if (name === 'itpm') return 'inputTokens';
  if (name === 'otpm') return 'outputTokens';
  if (name.startsWith('usd')) return 'microUsd';
  if (name === 'inflight') return 'inFlight';
  return 'custom';
}

function defined(bucket: LooseBucket, at: string, as: Partial<Record<keyof CustomBucket, string>> = {}): Limit {
  const name = (field: keyof CustomBucket) => `${at}.${as[field] ?? field}`;
  limitName(bucket.name, name('name'));
  integerIn(bucket.capacity, 1, Number.MAX_SAFE_INTEGER, name('capacity'));
  integerIn(bucket.refillPeriodMs, 1, MAX_PERIOD_MS, name('refillPeriodMs'));
  const fastest = Math.min(Number.MAX_SAFE_INTEGER, MAX_AMOUNT_PER_MS * bucket.refillPeriodMs);
  integerIn(bucket.refillAmount, 1, fastest, name('refillAmount'));
  if (bucket.counts !== undefined && !COUNTS.includes(bucket.counts)) {
    throw new InvalidArgument({ field: name('counts'), value: bucket.counts, expected: `one of ${COUNTS.join(', ')}` });
  }
  if (bucket.mode !== undefined && !MODES.includes(bucket.mode)) {
    throw new InvalidArgument({ field: name('mode'), value: bucket.mode, expected: `one of ${MODES.join(', ')}` });
  }
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
  const limit: Limit = Object.freeze({
    kind: 'bucket',
    name: bucket.name,
    capacity: bucket.capacity,
    refillAmount: bucket.refillAmount,
    refillPeriodMs: bucket.refillPeriodMs,
    counts: bucket.counts ?? inferCounts(bucket.name),
    ...(bucket.mode === 'observe' && { mode: bucket.mode }),
  });
  rates.set(limit, { tokenFs, windowFs });
  return limit;
}

type LooseBucket = Omit<CustomBucket, 'counts' | 'mode'> & {
  readonly counts?: Counts | undefined;
  readonly mode?: Mode | undefined;
};

function limitName(value: unknown, field: string): asserts value is string {
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
