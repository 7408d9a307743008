import { randomBytes } from 'node:crypto';
import type { BucketDemand } from './admission/admission.js';
import type { Priority } from './config/priorities.js';
import type { Level } from './config/resolution.js';
import type { Demand } from './core/decision.js';
import type { Limit } from './core/limit.js';
import { CostExceedsCapacity, InvalidArgument, UnknownLimit } from './errors.js';
import { type Tokens, tokensOf } from './lease.js';

export interface Asked {
  readonly namespace: string;
  readonly resource: string;
  readonly consume: Tokens;
  readonly priority: Priority;
}

/**
 * What a request asks of the bucket of each level: every limit configured there, with its cost. Throws `UnknownLimit` when a cost names no limit
 * of any level, and `CostExceedsCapacity` when one is above what its limit ever holds for this priority.
 */
export function bucketDemands(levels: readonly Level[], asked: Asked): readonly BucketDemand[] {
  const { namespace, resource, consume } = asked;
  for (const name of Object.keys(consume)) {
    if (levels.some(({ limits }) => limits.some((limit) => limit.name === name))) continue;
    const known = [...new Set(levels.flatMap(({ limits }) => limits.map((limit) => limit.name)))];
    throw new UnknownLimit({ limit: name, known, where: 'consume' });
  }
  return levels.map((level) => ({
    key: { namespace, resource, entity: level.entity, shard: 0 },
    demands: level.limits.map((limit) => demand(level, limit, asked)),
  }));
}

function demand({ entity, priorities }: Level, limit: Limit, { resource, consume, priority }: Asked): Demand {
  const requested = tokensOf(consume, limit.name) ?? 0;
  const share = priorities?.[priority] ?? 1;
  const within = share === 1 ? limit.capacity : Math.floor(limit.capacity * share);
  if (limit.kind === 'concurrent') checkSlots(limit.name, limit.capacity, requested);
  const slot = limit.kind === 'concurrent' && requested > 0 ? { slot: newSlot() } : {};
  if (requested <= within || limit.mode === 'observe') return { limit, cost: requested, within, ...slot };
  const { name, capacity } = limit;
  throw new CostExceedsCapacity({ entity, resource, limit: name, capacity, requested, ...(share < 1 && { priority, share }) });
}

/** A key that no other slot of the bucket has: 48 random bits, short because it is stored. */
const newSlot = (): string => randomBytes(6).toString('base64url');

function checkSlots(name: string, capacity: number, requested: number): void {
  if (requested <= 1 || requested > capacity) return;
  throw new InvalidArgument({ field: `consume.${name}`, value: requested, expected: '0 or 1: a lease takes one slot' });
}
