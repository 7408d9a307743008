import type { BucketDemand } from './admission/admission.js';
import type { Priority } from './config/priorities.js';
import type { Level } from './config/resolution.js';
import type { Demand } from './core/decision.js';
import type { Limit } from './core/limit.js';
import { CostExceedsCapacity, UnknownLimit } from './errors.js';
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
  if (requested <= within || limit.mode === 'observe') return { limit, cost: requested, within };
  const { name, capacity } = limit;
  throw new CostExceedsCapacity({ entity, resource, limit: name, capacity, requested, ...(share < 1 && { priority, share }) });
}
