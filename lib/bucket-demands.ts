import { randomBytes } from 'node:crypto';
import type { BucketDemand } from './admission/bucket-demand.js';
import type { SplitBucket } from './admission/shard-choice.js';
import type { Priority } from './config/priorities.js';
import type { Level } from './config/resolution.js';
import { everHolds, shareOf } from './core/coming-forms.js';
import type { Demand } from './core/decision.js';
import { formsOf, inForce } from './core/forms.js';
import { Limit } from './core/limit.js';
import { shardsOf } from './core/shards.js';
import { CostExceedsCapacity, CostExceedsShard, InvalidArgument, UnknownLimit } from './errors.js';
import { type Tokens, tokensOf } from './lease.js';

export interface Asked {
  readonly namespace: string;
  readonly resource: string;
  readonly consume: Tokens;
  readonly priority: Priority;
  /** Which forms of scheduled limits are in force. */
  readonly nowMs: number;
}

/**
 * What a request asks of the bucket of each level: every limit configured there, with its cost. Throws `UnknownLimit` when a cost names no limit
 * of any level, `CostExceedsCapacity` when one is above what its limit ever holds for this priority, and `CostExceedsShard` when it is above what
 * the largest shard of it holds.
 */
export function bucketDemands(configured: readonly Level[], asked: Asked): readonly SplitBucket[] {
  const levels = configured.map((level) => presentLevel(level, asked.nowMs));
  const isKnown = (name: string) => levels.some(({ limits }) => limits.some((limit) => limit.name === name));
  const unknown = Object.keys(asked.consume).filter((name) => !isKnown(name));
  const [first] = unknown;
  if (first === undefined) return levels.map((level) => splitBucket(level, asked));
  const known = new Set(levels.flatMap(({ limits }) => limits.map((limit) => limit.name)));
  // Where nothing is drawn, whatever is consumed is counted.
  if (!levels.some(({ bypass }) => bypass)) throw new UnknownLimit({ limit: first, known: [...known], where: 'consume' });
  const counted = unknown.map((name) => Limit.custom({ name, capacity: 1, refillAmount: 1, refillPeriodMs: 1 }));
  return levels.map((level) => splitBucket(level.bypass ? { ...level, limits: [...level.limits, ...counted] } : level, asked));
}

/**
 * The most of each limit that a request may take at once: by its priority, of the forms in force now and of their smallest shards, the least over the
 * levels, at least 1. What nothing bounds, observed or bypassed, is left out.
 */
export function mostAtOnce(configured: readonly Level[], asked: Pick<Asked, 'priority' | 'nowMs'>): Tokens {
  const most = new Map<string, number>();
  for (const level of configured.map((one) => presentLevel(one, asked.nowMs))) {
    if (level.bypass) continue;
    for (const limit of level.limits) {
      if (limit.mode === 'observe') continue;
      const held = Math.max(
        1,
        shareOf(Math.floor(limit.capacity / (level.shards ?? 1)), level.priorities?.[asked.priority] ?? 1),
      );
      most.set(limit.name, Math.min(held, most.get(limit.name) ?? held));
    }
  }
  return Object.fromEntries(most);
}

/** The level with the forms of its limits that are in force now. */
function presentLevel(level: Level, nowMs: number): Level {
  if (level.limits.every(({ schedule }) => schedule === undefined)) return level;
  return { ...level, limits: level.limits.map((limit) => inForce(limit, nowMs)) };
}

function splitBucket(level: Level, asked: Asked): SplitBucket {
  const { shards = 1 } = level;
  const { namespace, resource } = asked;
  if (shards === 1) {
    const demands = level.limits.map((limit) => demand(level, limit, cost(level, limit, asked), asked));
    const whole = { key: { namespace, resource, entity: level.entity, shard: 0 }, demands };
    return { shards, holding: 1, shard: () => whole, fits: demands.every(fitsNow) };
  }
  const costs = level.limits.map((limit) => cost(level, limit, asked));
  const shard = (index: number): BucketDemand => {
    const demands = level.limits.map((limit, at) =>
      demand(level, shardsOf(limit, shards)[index] ?? limit, costs[at] ?? 0, asked),
    );
    return { key: { namespace, resource, entity: level.entity, shard: index }, demands };
  };
  const holds = (index: number): boolean =>
    level.bypass ||
    level.limits.every((limit, at) => {
      const part = shardsOf(limit, shards)[index] ?? limit;
      return part.mode === 'observe' || (costs[at] ?? 0) <= within(level, part, asked);
    });
  let holding = shards;
  // The first shards are the larger ones, by one token.
  while (holding > 1 && !holds(holding - 1)) holding -= 1;
  return { shards, holding, shard, fits: shard(0).demands.every(fitsNow) };
}

/** The cost of one limit, which its first shard can hold. */
function cost(level: Level, limit: Limit, asked: Asked): number {
  const { entity, priorities, shards = 1 } = level;
  const { resource, consume, priority } = asked;
  const { name, capacity } = limit;
  const requested = tokensOf(consume, name) ?? 0;
  if (level.bypass) return requested;
  const share = priorities?.[priority] ?? 1;
  const comes = (one: Limit) => formsOf(one) !== undefined && everHolds({ limit: one, cost: requested, share }, asked.nowMs);
  if (limit.mode !== 'observe' && requested > within(level, limit, asked) && !comes(limit))
    throw new CostExceedsCapacity({ entity, resource, limit: name, capacity, requested, ...(share < 1 && { priority, share }) });
  if (limit.kind === 'concurrent' && requested > 1) {
    throw new InvalidArgument({ field: `consume.${name}`, value: requested, expected: '0 or 1: a lease takes one slot' });
  }
  if (limit.mode === 'observe') return requested;
  const first = shardsOf(limit, shards)[0] ?? limit;
  const shardCapacity = within(level, first, asked);
  if (requested > shardCapacity && !comes(first))
    throw new CostExceedsShard({ entity, resource, limit: name, shardCapacity, shards, requested });
  return requested;
}

function demand(level: Level, limit: Limit, requested: number, asked: Asked): Demand {
  if (level.bypass) return { limit, cost: requested, bypass: true };
  const share = level.priorities?.[asked.priority] ?? 1;
  const plain = { limit, cost: requested, within: within(level, limit, asked), ...(share < 1 && { share }) };
  return limit.kind === 'concurrent' && requested > 0 ? { ...plain, slot: newSlot() } : plain;
}

/** How much of a limit may be in use with a request of this priority. */
function within({ priorities }: Level, { capacity }: Limit, { priority }: Asked): number {
  return shareOf(capacity, priorities?.[priority] ?? 1);
}

/** Whether the form in force now can hold the cost: a later one may. */
const fitsNow = ({ limit, cost, within: most = limit.capacity, bypass }: Demand): boolean =>
  bypass === true || limit.mode === 'observe' || cost <= most;

/** A key that no other slot of the bucket has: 48 random bits, short because it is stored. */
const newSlot = (): string => randomBytes(6).toString('base64url');
