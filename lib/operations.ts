/** What operators do to a live bucket. */
import { type Clock, nowFs } from './clock.js';
import type { LimitWrite } from './core/branch.js';
import { type Limit, rateOf, type WindowedLimit } from './core/limit.js';
import { NOTHING_USED, predictUse, thenAdjustUse, type WindowUse, windowSpanFs } from './core/quota.js';
import { scaledFs } from './core/settlement.js';
import { Contended, InvalidArgument, UnknownLimit } from './errors.js';
import type { Tokens } from './lease.js';
import { BUCKET_SK, type BucketKey, bucketPk } from './store/schema.js';
import type { BucketState, Store } from './store/store.js';

const MOST_ATTEMPTS = 8;

/** Makes a bucket as new: full, without debt or queue. Usage that was counted stays. */
export async function resetBucket(store: Store, key: BucketKey): Promise<void> {
  await store.transact([{ kind: 'remove', key: { pk: bucketPk(key), sk: BUCKET_SK } }]);
}

/**
 * Gives a bucket tokens that nobody had charged, up to full. Not usage: no count changes. Throws `UnknownLimit` and `InvalidArgument`.
 * Tokens are whole and from 0.
 */
export async function topUpBucket(
  store: Store,
  clock: Clock,
  key: BucketKey,
  limits: readonly Limit[],
  tokens: Tokens,
): Promise<void> {
  const refills = Object.entries(tokens).map(([name, amount]) => {
    const limit = limits.find((other) => other.name === name);
    if (limit === undefined) throw new UnknownLimit({ limit: name, known: limits.map((other) => other.name), where: 'tokens' });
    if (!Number.isSafeInteger(amount) || amount < 0) {
      throw new InvalidArgument({
        field: `tokens.${name}`,
        value: amount,
        expected: `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`,
      });
    }
    if (limit.kind === 'concurrent') {
      throw new InvalidArgument({
        field: `tokens.${name}`,
        value: amount,
        expected: 'left out: slots come back when leases end, or by reset',
      });
    }
    return { name, limit, amount };
  });
  let stored: BucketState | undefined = await store.read(key);
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
    const writes = refills.flatMap(({ name, limit, amount }) => {
      if (amount === 0) return [];
      if (limit.kind !== 'bucket') return usedUp(limit, stored?.uses.get(name), amount, nowFs(clock));
      const position = stored?.positions.get(name);
      if (position === undefined) return [];
      const charge = { kind: 'bucket' as const, name, counts: limit.counts, tokens: 0, ...rateOf(limit) };
      const branch = { kind: 'shift' as const, addFs: scaledFs(charge, -amount, position.windowFs), ifAbsentFs: nowFs(clock) };
      return [{ name, windowFs: position.windowFs, branch, consumed: 0n }];
    });
    if (stored === undefined || writes.length === 0) return;
    const ttl = { seconds: stored.ttlSeconds ?? 0, ifAbsent: true };
    const result = await store.write({ key, limits: writes, requests: 0, denials: 0, ttl });
    if (result.applied) return;
    stored = result.state;
  }
  throw new Contended(bucketPk(key), MOST_ATTEMPTS);
}

/** The write that gives back what was used of a running window. */
function usedUp(limit: WindowedLimit, use: WindowUse | undefined, amount: number, atFs: bigint): readonly LimitWrite[] {
  if (use === undefined) return [];
  const step = thenAdjustUse(NOTHING_USED, use.windowStartFs, -BigInt(amount));
  return step === undefined
    ? []
    : [{ name: limit.name, windowFs: windowSpanFs(limit, atFs), branch: predictUse(step, use), consumed: 0n }];
}
