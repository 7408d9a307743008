import { BoundedMap } from '../bounded-map.js';
import { type Clock, steadyMs } from '../clock.js';
import type { Limit } from '../core/limit.js';
import { type HeadgateError, InvalidArgument, NoLimitsConfigured, ResourceDisabled, ResourceNotAllowed } from '../errors.js';
import { MOST_LIMITS } from '../limit-set.js';
import type { ModelPrices } from '../llm/prices.js';
import { META_SK } from '../store/schema.js';
import type { Item, ItemKey, Store } from '../store/store.js';
import {
  entityKey,
  entityResourceKey,
  metaKey,
  resourceKey,
  type StoredLimits,
  storedLimitsOf,
  systemKey,
  tierKey,
  tierResourceKey,
} from './config-records.js';
import { drawnOn, type StoredEntity, storedEntityOf } from './entity-record.js';
import { matchesGlob } from './glob.js';
import { appliedOf, bypassing, enabling } from './inheritance.js';
import { type CacheStats, ItemCache } from './item-cache.js';
import type { Priority, PriorityShares } from './priorities.js';
import { type ScopeRules, storedRulesOf } from './scope-rules.js';

/** One level that a request draws on: an entity, and the limits that apply to it on the resource. */
export interface Level {
  readonly entity: string;
  readonly limits: readonly Limit[];
  /** How many its bucket is split into. @default 1: it is whole */
  readonly shards?: number | undefined;
  /** Undefined: every priority may use all. */
  readonly priorities?: PriorityShares | undefined;
  /** All is admitted, nothing is drawn, and usage is counted. @default false */
  readonly bypass?: boolean | undefined;
  /** What calls of the resource cost, where it is stored with it. */
  readonly prices?: ModelPrices | undefined;
}

/** Where limits of an entity on a resource can be stored, the most specific first. */
export const SCOPES = ['entity+resource', 'entity', 'tier+resource', 'tier', 'resource', 'system'] as const;
export type ScopeName = (typeof SCOPES)[number];

/** What is stored for one scope. */
export interface Said {
  readonly scope: ScopeName;
  /** Undefined: neither limits, nor that it inherits. */
  readonly stored: StoredLimits | undefined;
  readonly rules: ScopeRules;
}

/** Everything stored that concerns an entity on a resource. */
export interface LevelFacts {
  readonly entity: string;
  readonly tier: string | undefined;
  /** It has the tier of entities without a record. */
  readonly hasDefaultTier: boolean;
  /** In the order of `SCOPES`; those of a tier only where it has one. */
  readonly said: readonly Said[];
}

/** What applies to a request. */
export interface Resolved {
  /** The entity's own first; levels without limits are left out, unless they are bypassed. */
  readonly levels: readonly Level[];
  /** Makes the error that says why nothing is admitted, whatever the limits. */
  readonly refusal: (() => HeadgateError) | undefined;
  /** The most tokens of one call, by the tiers of all levels. */
  readonly contexts: readonly { readonly entity: string; readonly tier: string; readonly maxContextTokens: number }[];
  /** Of requests that state none. */
  readonly priority: Priority;
}

/** Entities on resources whose limits were resolved. */
const PAIRS_REMEMBERED = 10_000;

type Configured = {
  readonly stored: StoredLimits | undefined;
  readonly rules: ScopeRules;
  readonly meta: StoredEntity | undefined;
};

/**
 * Which limits apply to an entity on a resource. The first that is stored wins, as a whole set: entity and resource, entity, tier and resource, tier,
 * resource, system. One that inherits wins limit by limit: those it has not come from the next. An entity that cascades draws on its ancestors as well,
 * each with the limits that apply to it.
 */
export class Resolution {
  readonly #namespace: string;
  readonly #clock: Clock;
  readonly #cache: ItemCache<Configured>;
  /** What was resolved of items that need not be asked for again yet: most requests end here. */
  readonly #resolved = new BoundedMap<string, { resolved: Resolved; items: number; freshUntilMs: number }>(PAIRS_REMEMBERED);
  #hits = 0;

  constructor(parts: {
    readonly store: Store;
    readonly clock: Clock;
    readonly namespace: string;
    readonly ttlMs: number;
    readonly deadlineMs: number;
  }) {
    this.#namespace = parts.namespace;
    this.#clock = parts.clock;
    this.#cache = new ItemCache({ ...parts, parse: configured });
  }

  /** What was answered from memory, and what was asked for. */
  get stats(): CacheStats {
    const { hits, ...rest } = this.#cache.stats;
    return { ...rest, hits: hits + this.#hits };
  }

  /**
   * What applies to a request. Cached: no call. Otherwise one call, and one more where there is a tier, or ancestors.
   * Throws why nothing is admitted (`ResourceDisabled`, `ResourceNotAllowed`), and `NoLimitsConfigured` when no level has limits.
   */
  async admitted(entity: string, resource: string): Promise<Resolved> {
    const resolved = await this.configured(entity, resource);
    if (resolved.refusal !== undefined) throw resolved.refusal();
    return resolved;
  }

  /** The same, refused or not. Throws `NoLimitsConfigured`, unless it is refused. */
  async configured(entity: string, resource: string): Promise<Resolved> {
    const id = `${entity}\n${resource}`;
    const known = this.#resolved.get(id);
    if (known !== undefined && steadyMs(this.#clock) < known.freshUntilMs) {
      this.#hits += known.items;
      return known.resolved;
    }
    const { levels, items, freshUntilMs } = await this.#facts(entity, resource);
    const resolved = resolvedOf(levels, resource);
    if (resolved.levels.length === 0 && resolved.refusal === undefined) throw new NoLimitsConfigured(entity, resource);
    for (const level of resolved.levels) checkTogether(level, resource);
    this.#resolved.set(id, { resolved, items, freshUntilMs });
    return resolved;
  }

  /** What is stored for each level of a request, the entity's own first. */
  async facts(entity: string, resource: string): Promise<readonly LevelFacts[]> {
    return (await this.#facts(entity, resource)).levels;
  }

  /** The same, with how many items were read for it, and until when they need not be asked for again. */
  async #facts(
    entity: string,
    resource: string,
  ): Promise<{ readonly levels: readonly LevelFacts[]; readonly items: number; readonly freshUntilMs: number }> {
    const ns = this.#namespace;
    const ownKeys = [entityResourceKey(ns, entity, resource), entityKey(ns, entity)];
    const firstKeys = [metaKey(ns, entity), ...ownKeys, resourceKey(ns, resource), systemKey(ns)];
    const asked = await this.#cache.get(firstKeys);
    const [meta, ...first] = asked.values;
    const [own, wide] = [first.slice(0, 2), first.slice(2)];
    const record = meta?.meta;
    const tier = record === undefined ? wide[1]?.rules.defaultTier : record.record.tier;
    const ancestors = record === undefined ? [] : drawnOn(record);
    const tierKeys = (name: string | undefined): readonly ItemKey[] =>
      name === undefined ? [] : [tierResourceKey(ns, name, resource), tierKey(ns, name)];
    const moreKeys = [
      tierKeys(tier),
      ...ancestors.map((above) => [
        entityResourceKey(ns, above.entity, resource),
        entityKey(ns, above.entity),
        ...tierKeys(above.tier),
      ]),
    ];
    const askedNext = moreKeys.flat().length === 0 ? undefined : await this.#cache.get(moreKeys.flat());
    const more = [...(askedNext?.values ?? [])];
    const [ofTier = [], ...ofAncestors] = moreKeys.map(({ length }) => more.splice(0, length));
    const levels = [
      { entity, tier, hasDefaultTier: record === undefined && tier !== undefined, said: saidBy([...own, ...ofTier, ...wide]) },
      ...ancestors.map((above, index) => ({
        entity: above.entity,
        tier: above.tier,
        hasDefaultTier: false,
        said: saidBy([...(ofAncestors[index] ?? []), ...wide]),
      })),
    ];
    return {
      levels,
      items: asked.values.length + (askedNext?.values.length ?? 0),
      freshUntilMs: Math.min(asked.freshUntilMs, askedNext?.freshUntilMs ?? Number.POSITIVE_INFINITY),
    };
  }
}

/** Scopes that inherit may together have more limits than each alone. Throws `InvalidArgument`. */
function checkTogether({ entity, limits }: Level, resource: string): void {
  if (limits.length > MOST_LIMITS)
    throw new InvalidArgument({
      field: `the number of limits of ${entity} on ${resource}`,
      value: limits.length,
      expected: `at most ${MOST_LIMITS}, inherited ones included`,
    });
}

/** What the scopes of one level say: of all six, or, without a tier, of the four others. */
function saidBy(found: readonly Configured[]): readonly Said[] {
  const scopes = SCOPES.length === found.length ? SCOPES : SCOPES.filter((scope) => !scope.startsWith('tier'));
  return found.flatMap(({ stored, rules }, index) => {
    const scope = scopes[index];
    return scope === undefined ? [] : [{ scope, stored, rules }];
  });
}

/** The tier's own rules. */
const tierRules = ({ said }: LevelFacts): ScopeRules => said.find(({ scope }) => scope === 'tier')?.rules ?? {};

/** What applies to a request that carries its limits: nothing that is stored. */
export function carried(entity: string, limits: readonly Limit[]): Resolved {
  return { levels: [{ entity, limits }], refusal: undefined, contexts: [], priority: 'normal' };
}

export function resolvedOf(facts: readonly LevelFacts[], resource: string): Resolved {
  const [own] = facts;
  return {
    levels: facts.flatMap((level) => {
      const { limits = [], ...options } = appliedOf(level) ?? {};
      const bypass = bypassing(level)?.rules.bypass ?? false;
      if (limits.length === 0 && !bypass) return [];
      const prices = level.said.find(({ scope }) => scope === 'resource')?.rules.prices;
      return [
        {
          entity: level.entity,
          limits: limits.map(({ limit }) => limit),
          ...options,
          ...(bypass && { bypass }),
          ...(prices && { prices }),
        },
      ];
    }),
    refusal: facts.map((level) => refusalOf(level, resource)).find((refusal) => refusal !== undefined),
    contexts: facts.flatMap((level) => {
      const { maxContextTokens } = tierRules(level);
      if (level.tier === undefined || maxContextTokens === undefined) return [];
      return [{ entity: level.entity, tier: level.tier, maxContextTokens }];
    }),
    priority: (own && tierRules(own).priority) ?? 'normal',
  };
}

function refusalOf(level: LevelFacts, resource: string): (() => HeadgateError) | undefined {
  const { entity, tier } = level;
  const disabling = enabling(level);
  if (disabling?.rules.disabled) return () => new ResourceDisabled(entity, resource, disabling.scope);
  const { allowedResources: allowed } = tierRules(level);
  if (tier === undefined || allowed === undefined || allowed.some((pattern) => matchesGlob(pattern, resource))) return undefined;
  return () => new ResourceNotAllowed({ entity, resource, tier, allowed });
}

function configured(item: Item | undefined): Configured {
  if (item?.sk === META_SK) return { stored: undefined, rules: {}, meta: storedEntityOf(item) };
  return { stored: storedLimitsOf(item), rules: storedRulesOf(item), meta: undefined };
}
