/** What operators do to a live bucket. Each act leaves a record in the history, whether or not it found anything to change. */
import { type Clock, nowFs } from './clock.js';
import { type Author, audited } from './config/audit.js';
import type { LimitWrite } from './core/branch.js';
import { type ConcurrencyLimit, type Limit, rateOf, type WindowedLimit } from './core/limit.js';
import { NOTHING_USED, predictUse, thenAdjustUse, type WindowUse, windowSpanFs } from './core/quota.js';
import { scaledFs } from './core/settlement.js';
import { shardsOf } from './core/shards.js';
import { Contended, InvalidArgument, UnknownLimit } from './errors.js';
import type { Tokens } from './lease.js';
import { BUCKET_SK, type BucketKey, bucketPk } from './store/schema.js';
import type { BucketState, BucketWrite, Operation, Store } from './store/store.js';

const MOST_ATTEMPTS = 8;

/** Makes a bucket as new, all its shards at once: full, without debt or queue. Usage that was counted stays. */
export async function resetBucket(store: Store, author: Author, key: BucketKey, shards: number): Promise<void> {
  const { namespace, entity, resource } = key;
  const { record } = audited(namespace, author, { action: 'bucket.reset', target: { entity, resource } });
  const removals = Array.from({ length: shards }, (_, shard) => ({
    kind: 'remove' as const,
    key: { pk: bucketPk({ ...key, shard }), sk: BUCKET_SK },
  }));
  await store.transact([...removals, record]);
}

/**
 * Gives a bucket tokens that nobody had charged, up to full, in equal parts to its shards. Not usage: no count changes. Throws `UnknownLimit` and
 * `InvalidArgument`. Tokens are whole and from 0. The record is written with the first shard's part; the others follow, each by itself, so that hot
 * shards are not held together.
 */
export async function topUpBucket(
  store: Store,
  clock: Clock,
  author: Author,
  key: BucketKey,
  { limits, tokens, shards }: { readonly limits: readonly Limit[]; readonly tokens: Tokens; readonly shards: number },
): Promise<void> {
  const refills = Object.entries(tokens).map(([name, amount]) => refill(name, amount, limits));
  const { namespace, entity, resource } = key;
  const { record } = audited(namespace, author, { action: 'bucket.topUp', target: { entity, resource }, to: { tokens } });
  const given = (shard: number, audit?: Operation) => {
    const parts = refills.map(({ limit, amount }) => ({
      limit: shardsOf(limit, shards)[shard] ?? limit,
      amount: Math.floor(amount / shards) + (shard < amount % shards ? 1 : 0),
    }));
    return refillBucket(store, clock, { ...key, shard }, parts, audit);
  };
  await given(0, record);
  await Promise.all(Array.from({ length: shards - 1 }, (_, index) => given(index + 1)));
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

/** `record` is written with the bucket, in one transaction; alone where the bucket is full. */
async function refillBucket(
  store: Store,
  clock: Clock,
  key: BucketKey,
  refills: readonly Refill[],
  record: Operation | undefined,
): Promise<void> {
  let stored: BucketState | undefined = await store.read(key);
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
    const writes = refills.flatMap(({ limit, amount }) => refillWrites(limit, amount, stored, nowFs(clock)));
    if (stored === undefined || writes.length === 0) {
      if (record !== undefined) await store.transact([record]);
      return;
    }
    const ttl = { seconds: stored.ttlSeconds ?? 0, ifAbsent: true };
    const refused = await refusedBy(store, { key, limits: writes, requests: 0, denials: 0, ttl }, record);
    if (refused === undefined) return;
    stored = refused.met;
  }
  throw new Contended(bucketPk(key), MOST_ATTEMPTS);
}

/** Writes a bucket, and a record with it. Undefined: both are written; otherwise neither is, and this bucket was met. */
async function refusedBy(
  store: Store,
  write: BucketWrite,
  record: Operation | undefined,
): Promise<{ readonly met: BucketState | undefined } | undefined> {
  if (record === undefined) {
    const result = await store.write(write);
    return result.applied ? undefined : { met: result.state };
  }
  const result = await store.transact([{ kind: 'bucket', write }, record]);
  return result.applied ? undefined : { met: result.failed.find(({ index }) => index === 0)?.state };
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
