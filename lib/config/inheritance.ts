/** What the scopes of one level amount to together: the first that has limits, and as long as they inherit, the next ones. */
import type { Limit } from '../core/limit.js';
import type { StoredLimits } from './config-records.js';
import type { PriorityShares } from './priorities.js';
import type { LevelFacts, Said, ScopeName } from './resolution.js';

/** A limit that applies, and the scope it is stored for. */
export interface AppliedLimit {
  readonly limit: Limit;
  readonly from: ScopeName;
}

/** What applies of one level. */
export interface Applied {
  /** No name twice: of two, the more specific scope's. */
  readonly limits: readonly AppliedLimit[];
  /** From the first scope of the chain that says so. @default 1: it is whole */
  readonly shards: number | undefined;
  /** From the first scope of the chain that says so. Undefined: every priority may use all. */
  readonly priorities: PriorityShares | undefined;
}

interface Link extends Said {
  readonly stored: StoredLimits;
}

/**
 * The scopes whose limits apply, the most specific first: the first that has any, and after each that inherits the next that has any. Scopes that
 * store rules alone are passed over. Empty where none has limits.
 */
export function chainOf({ said }: LevelFacts): readonly Link[] {
  const storing = said.filter((one): one is Link => one.stored !== undefined);
  const last = storing.findIndex(({ stored }) => !stored.inherit);
  return last === -1 ? storing : storing.slice(0, last + 1);
}

/** What a chain amounts to; undefined where it has no limit. */
export function appliedOf(level: LevelFacts): Applied | undefined {
  const chain = chainOf(level);
  const limits = new Map<string, AppliedLimit>();
  for (const { scope, stored } of chain) {
    for (const limit of stored.limits) if (!limits.has(limit.name)) limits.set(limit.name, { limit, from: scope });
  }
  if (limits.size === 0) return undefined;
  return {
    limits: [...limits.values()],
    shards: chain.find(({ stored }) => stored.shards !== undefined)?.stored.shards,
    priorities: chain.find(({ stored }) => stored.priorities !== undefined)?.stored.priorities,
  };
}

/** The scope that says whether the level is disabled; undefined where none does. */
export const enabling = ({ said }: LevelFacts): Said | undefined => said.find(({ rules }) => rules.disabled !== undefined);

/** The scope that decides whether the level is drawn on: the first that says so, or has limits and does not inherit. */
export const bypassing = ({ said }: LevelFacts): Said | undefined =>
  said.find(({ stored, rules }) => rules.bypass !== undefined || stored?.inherit === false);
