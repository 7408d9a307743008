/** A limit split over several buckets, so that one hot key is not bound by what one item takes: all shards together hold exactly what the limit holds. */
import { formsOf, takesForms } from './forms.js';
import { type Limit, type Rate, rateOf, slowed, withCapacity } from './limit.js';

export const MOST_SHARDS = 64;

const divided = new WeakMap<Limit, Map<number, readonly Limit[]>>();

/**
 * The limits of `count` shards, in their order. The capacity is divided in whole tokens, what is left over to the first shards, but each has at
 * least 1; a token takes `count` times as long to come back. So capacities and rates add up to the limit's own.
 */
export function shardsOf<L extends Limit>(limit: L, count: number): readonly L[] {
  if (count === 1) return [limit];
  const known = divided.get(limit)?.get(count);
  if (known !== undefined) return known as readonly L[];
  const scheduled = formsOf(limit);
  const divisions = (scheduled?.forms ?? [limit]).map((form) => divide(form, count));
  if (scheduled !== undefined) {
    for (let index = 0; index < count; index += 1) {
      const [first, ...others] = divisions.flatMap((shards) => shards[index] ?? []);
      if (first !== undefined) takesForms(first, scheduled.schedule, [first, ...others]);
    }
  }
  return (divided.get(limit)?.get(count) ?? divide(limit, count)) as readonly L[];
}

function divide(limit: Limit, count: number): readonly Limit[] {
  const shards = Array.from({ length: count }, (_, index) => shardOf(limit, index, count));
  const byCount = divided.get(limit) ?? new Map<number, readonly Limit[]>();
  divided.set(limit, byCount.set(count, shards));
  return shards;
}

function shardOf(limit: Limit, index: number, count: number): Limit {
  const least = Math.floor(limit.capacity / count);
  const capacity = Math.max(1, index < limit.capacity % count ? least + 1 : least);
  if (limit.kind !== 'bucket') return withCapacity(limit, capacity);
  const tokenFs = rateOf(limit).tokenFs * BigInt(count);
  const rate: Rate = { tokenFs, windowFs: tokenFs * BigInt(capacity) };
  return slowed(limit, capacity, rate);
}
