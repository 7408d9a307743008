/** Why a request is limited as it is: which scopes its limits come from, and what every other one says. */
import type { Limit } from '../core/limit.js';
import type { LimitsOptions } from './config-records.js';
import { type AppliedLimit, appliedOf, bypassing, chainOf, enabling } from './inheritance.js';
import { type LevelFacts, resolvedOf, SCOPES, type ScopeName } from './resolution.js';
import { givenOptions } from './scope-limits.js';
import type { ScopeRules } from './scope-rules.js';

/** What one place where limits can be stored says. */
export interface ExplainedScope {
  readonly scope: ScopeName;
  /** Whether what it says of limits applies: of the scope that wins, and, where that inherits, of those it inherits from. */
  readonly wins: boolean;
  /** Undefined: none are stored there. Empty: it only inherits. */
  readonly limits: readonly Limit[] | undefined;
  readonly options: LimitsOptions;
  readonly rules: ScopeRules;
}

/** One entity that a request draws on. */
export interface ExplainedLevel {
  readonly entity: string;
  readonly tier: string | undefined;
  /** The most specific scope that says which limits apply. Undefined: no limits are stored for it anywhere, so it does not limit. */
  readonly wins: ScopeName | undefined;
  /** The limits that apply, each with the scope it comes from: one and the same, unless that inherits. */
  readonly limits: readonly AppliedLimit[];
  /** In force, whichever scope of the limits says so. */
  readonly options: Pick<LimitsOptions, 'shards' | 'priorities'>;
  /** A sentence a person can read. */
  readonly why: string;
  readonly disabled: boolean;
  readonly bypass: boolean;
  /** The most specific first; those of a tier only where the entity has one. */
  readonly scopes: readonly ExplainedScope[];
}

export interface Explanation {
  readonly entity: string;
  readonly resource: string;
  /** What a request meets: limits, no admission at all, or no limits anywhere (`NoLimitsConfigured`). */
  readonly outcome: 'limited' | 'refused' | 'unconfigured';
  /** Why nothing is admitted, as the error that a request gets. */
  readonly refusal: { readonly code: string; readonly message: string } | undefined;
  /** The entity's own first, then the ancestors it draws on. */
  readonly levels: readonly ExplainedLevel[];
}

export function explanationOf(entity: string, resource: string, facts: readonly LevelFacts[]): Explanation {
  const { levels, ...resolved } = resolvedOf(facts, resource);
  const refusal = resolved.refusal?.();
  return {
    entity,
    resource,
    outcome: refusal !== undefined ? 'refused' : levels.length > 0 ? 'limited' : 'unconfigured',
    refusal: refusal && { code: refusal.code, message: refusal.message },
    levels: facts.map(explainedLevel),
  };
}

function explainedLevel(level: LevelFacts): ExplainedLevel {
  const { limits = [], ...options } = appliedOf(level) ?? {};
  const chain = limits.length === 0 ? [] : chainOf(level).map(({ scope }) => scope);
  return {
    entity: level.entity,
    tier: level.tier,
    wins: chain[0],
    limits,
    options: givenOptions(options),
    why: why(level, chain),
    disabled: enabling(level)?.rules.disabled ?? false,
    bypass: bypassing(level)?.rules.bypass ?? false,
    scopes: level.said.map(({ scope, stored, rules }) => ({
      scope,
      wins: chain.includes(scope),
      limits: stored?.limits,
      options: givenOptions(stored ?? {}),
      rules,
    })),
  };
}

const WORDS: Readonly<Record<ScopeName, string>> = {
  'entity+resource': 'the entity on this resource',
  entity: 'the entity',
  'tier+resource': 'its tier on this resource',
  tier: 'its tier',
  resource: 'the resource',
  system: 'the system',
};

/** "The limits of the resource apply: none are stored for the entity on this resource or the entity, and it has no tier." */
function why({ entity, tier, hasDefaultTier, said }: LevelFacts, chain: readonly ScopeName[]): string {
  const [winner, ...inherited] = chain;
  const passed = said.slice(0, winner === undefined ? said.length : said.findIndex(({ scope }) => scope === winner));
  const before = passed.map(({ scope }) => WORDS[scope]);
  const mattered = winner === undefined || SCOPES.indexOf(winner) > SCOPES.indexOf('tier');
  const ofTier =
    tier === undefined
      ? mattered
        ? ', and it has no tier'
        : ''
      : `; its tier is ${tier}${hasDefaultTier ? ', that of entities without a record' : ''}`;
  const none = before.length === 0 ? 'nothing is more specific' : `none are stored for ${listed(before, 'or')}`;
  const over =
    inherited.length === 0
      ? ''
      : `, with those of ${listed(
          inherited.map((scope) => WORDS[scope]),
          'and',
        )} inherited`;
  const first =
    winner === undefined ? `No limits apply to ${entity}` : `The limits of ${WORDS[winner]} apply to ${entity}${over}`;
  return `${first}: ${none}${ofTier}.`;
}

function listed(words: readonly string[], last: 'or' | 'and'): string {
  return words.length === 1 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`;
}
