import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Limit, rateOf } from '../../lib/core/limit.js';
import { shardsOf } from '../../lib/core/shards.js';

const capacities = (limit: Limit, count: number) => shardsOf(limit, count).map(({ capacity }) => capacity);

it.each([
  { when: 'it divides evenly', capacity: 100, count: 4, shards: [25, 25, 25, 25] },
  { when: 'some is left over', capacity: 103, count: 4, shards: [26, 26, 26, 25] },
  { when: 'there is one token a shard', capacity: 3, count: 3, shards: [1, 1, 1] },
  { when: 'there are fewer tokens than shards', capacity: 2, count: 4, shards: [1, 1, 1, 1] },
  { when: 'it is whole', capacity: 7, count: 1, shards: [7] },
])('the capacity of shards is right when $when', ({ capacity, count, shards }) => {
  expect(capacities(Limit.perMinute('rpm', capacity), count)).toEqual(shards);
  expect(capacities(Limit.quota('usd', capacity, { per: 'day' }), count)).toEqual(shards);
  expect(capacities(Limit.window('messages', capacity, { everyMs: 1_000 }), count)).toEqual(shards);
  expect(capacities(Limit.concurrent('inflight', capacity, { leaseMs: 1_000 }), count)).toEqual(shards);
});

describe('the shards of a token bucket', () => {
  it('hold together what it holds, and refill together as fast as it does, to the token', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 64, max: Number.MAX_SAFE_INTEGER }),
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.integer({ min: 1, max: 86_400_000 }),
        (count, capacity, refillAmount, refillPeriodMs) => {
          fc.pre(BigInt(capacity) * BigInt(refillPeriodMs) < BigInt(refillAmount) * 10n ** 14n);
          const limit = Limit.custom({ name: 'tpm', capacity, refillAmount, refillPeriodMs });
          const shards = shardsOf(limit, count);
          expect(shards.reduce((sum, shard) => sum + BigInt(shard.capacity), 0n)).toBe(BigInt(capacity));
          for (const shard of shards) {
            expect(rateOf(shard).tokenFs).toBe(rateOf(limit).tokenFs * BigInt(count));
            expect(rateOf(shard).windowFs).toBe(rateOf(shard).tokenFs * BigInt(shard.capacity));
          }
        },
      ),
    );
  });

  it('are the same values each time: their limits are compared by identity', () => {
    const limit = Limit.perMinute('rpm', 100);
    expect(shardsOf(limit, 4)).toBe(shardsOf(limit, 4));
    expect(shardsOf(limit, 4)).not.toBe(shardsOf(limit, 5));
  });
});
