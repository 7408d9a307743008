/** What operators do to a live bucket. */
import { type Clock, nowFs } from './clock.js';
import type { LimitWrite } from './core/branch.js';
import { type ConcurrencyLimit, type Limit, rateOf, type WindowedLimit } from './core/limit.js';
import { NOTHING_USED, predictUse, thenAdjustUse, type WindowUse, windowSpanFs } from './core/quota.js';
import { scaledFs } from './core/settlement.js';
import { shardsOf } from './core/shards.js';
import { Contended, InvalidArgument, UnknownLimit } from './errors.js';
import type { Tokens } from './lease.js';
import { BUCKET_SK, type BucketKey, bucketPk } from './store/schema.js';
import type { BucketState, Store } from './store/store.js';

const MOST_ATTEMPTS = 8;

/** Makes a bucket as new, all its shards at once: full, without debt or queue. Usage that was counted stays. */
export async function resetBucket(store: Store, key: BucketKey, shards: number): Promise<void> {
  await store.transact(
    Array.from({ length: shards }, (_, shard) => ({
      kind: 'remove' as const,
      key: { pk: bucketPk({ ...key, shard }), sk: BUCKET_SK },
    })),
  );
}

/**
 * Gives a bucket tokens that nobody had charged, up to full, in equal parts to its shards. Not usage: no count changes. Throws `UnknownLimit` and
 * `InvalidArgument`. Tokens are whole and from 0.
 */
export async function topUpBucket(
  store: Store,
  clock: Clock,
  key: BucketKey,
  limits: readonly Limit[],
  tokens: Tokens,
  shards = 1,
): Promise<void> {
  const refills = Object.entries(tokens).map(([name, amount]) => refill(name, amount, limits));
  await Promise.all(
    Array.from({ length: shards }, (_, shard) => {
      const parts = refills.map(({ limit, amount }) => ({
        limit: shardsOf(limit, shards)[shard] ?? limit,
        amount: Math.floor(amount / shards) + (shard < amount % shards ? 1 : 0),
      }));
      return refillBucket(store, clock, { ...key, shard }, parts);
    }),
  );
}

interface Refill {
  readonly limit: Exclude<Limit, ConcurrencyLimit>;
  readonly amount: number;
}

function refill(name: string, amount: number, limits: readonly Limit[]): Refill {
  const limit = limits.find((other) => other.name === name);
  const field = `tokens.${name}`;
  if (limit === undefined) throw new UnknownLimit({ limit: name, known: limits.map((other) => other.name), where: 'tokens' });
  if (!Number.isSafeInteger(amount) || amount < 0)
    throw new InvalidArgument({ field, value: amount, expected: `an integer from 0 to ${Number.MAX_SAFE_INTEGER}` });
  if (limit.kind === 'concurrent')
    throw new InvalidArgument({ field, value: amount, expected: 'left out: slots come back when leases end, or by reset' });
  return { limit, amount };
}

async function refillBucket(store: Store, clock: Clock, key: BucketKey, refills: readonly Refill[]): Promise<void> {
  let stored: BucketState | undefined = await store.read(key);
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
    const writes = refills.flatMap(({ limit, amount }) => refillWrites(limit, amount, stored, nowFs(clock)));
    if (stored === undefined || writes.length === 0) return;
    const ttl = { seconds: stored.ttlSeconds ?? 0, ifAbsent: true };
    const result = await store.write({ key, limits: writes, requests: 0, denials: 0, ttl });
    if (result.applied) return;
    stored = result.state;
  }
  throw new Contended(bucketPk(key), MOST_ATTEMPTS);
}

function refillWrites(
  limit: Refill['limit'],
  amount: number,
  stored: BucketState | undefined,
  atFs: bigint,
): readonly LimitWrite[] {
  const { name } = limit;
  if (amount === 0) return [];
  if (limit.kind !== 'bucket') return usedUp(limit, stored?.uses.get(name), amount, atFs);
  const position = stored?.positions.get(name);
  if (position === undefined) return [];
  const charge = { kind: 'bucket' as const, name, counts: limit.counts, tokens: 0, ...rateOf(limit) };
  const branch = { kind: 'shift' as const, addFs: scaledFs(charge, -amount, position.windowFs), ifAbsentFs: atFs };
  return [{ name, windowFs: position.windowFs, branch, consumed: 0n }];
}

/** The write that gives back what was used of a running window. */
function usedUp(limit: WindowedLimit, use: WindowUse | undefined, amount: number, atFs: bigint): readonly LimitWrite[] {
  if (use === undefined) return [];
  const step = thenAdjustUse(NOTHING_USED, use.windowStartFs, -BigInt(amount));
  return step === undefined
    ? []
    : [{ name: limit.name, windowFs: windowSpanFs(limit, atFs), branch: predictUse(step, use), consumed: 0n }];
}
