/** What a scope says beside its limits: whether its requests are admitted at all, and what a tier allows. */
import { InvalidArgument } from '../errors.js';
import { type ModelPrices, modelRates } from '../llm/prices.js';
import { checkFields, checkName } from '../names.js';
import type { Item } from '../store/store.js';
import type { LimitsOptions, Scope } from './config-records.js';
import { PRIORITIES, type Priority } from './priorities.js';

export interface ScopeRules {
  /**
   * Nothing is admitted: `ResourceDisabled`. Outranks all that is stored but what a more specific scope says of it: `disabled: false` of one entity
   * exempts it where the resource is disabled. @default what the next scope says
   */
  readonly disabled?: boolean | undefined;
  /**
   * All is admitted, nothing is drawn, and usage is counted; what stands above the entity is drawn on all the same. As with limits, the first scope
   * that has any, or says this, decides. @default false
   */
  readonly bypass?: boolean | undefined;
  /** Of a tier: the resources its entities may use, as names or patterns (`gpt-4o*`; `*` any characters, `?` one). @default all */
  readonly allowedResources?: readonly string[] | undefined;
  /** Of a tier: the most tokens of one call, input and output together; above it `ContextTooLong`. @default any number */
  readonly maxContextTokens?: number | undefined;
  /** Of a tier: the priority of requests that state none. @default 'normal' */
  readonly priority?: Priority | undefined;
  /** Of the system: the tier of entities without a record. @default none */
  readonly defaultTier?: string | undefined;
  /** Of a resource: what the tokens of the model of that name cost. @default none: limits of money cannot be charged by what is stored */
  readonly prices?: ModelPrices | undefined;
}

/** The third argument of `setLimits`. */
export interface ScopeOptions extends LimitsOptions, ScopeRules {}

const FIELDS = ['disabled', 'bypass', 'allowedResources', 'maxContextTokens', 'priority', 'defaultTier', 'prices'] as const;
const OF_TIERS: readonly string[] = ['allowedResources', 'maxContextTokens', 'priority'];
const MOST_PATTERNS = 100;

/** A scope's rules, and its other options. Throws `InvalidArgument` for a rule out of its range, or of another kind of scope. */
export function scopeRules(options: ScopeOptions, scope: Scope): { readonly rules: ScopeRules; readonly rest: LimitsOptions } {
  checkFields(options, Object.keys(Object(options)), 'options');
  const { disabled, bypass, allowedResources, maxContextTokens, priority, defaultTier, prices, ...rest } = options;
  const rules = parsedRules({ disabled, bypass, allowedResources, maxContextTokens, priority, defaultTier, prices }, '');
  const isTier = 'tier' in scope && !('resource' in scope);
  for (const field of Object.keys(rules)) {
    const value = rules[field as keyof ScopeRules];
    if (OF_TIERS.includes(field) && !isTier)
      throw new InvalidArgument({ field, value, expected: 'left out: only a scope { tier } has it' });
    if (field === 'defaultTier' && !('system' in scope))
      throw new InvalidArgument({ field, value, expected: 'left out: only the scope { system: true } has it' });
    if (field === 'prices' && Object.keys(scope).join() !== 'resource')
      throw new InvalidArgument({ field, value, expected: 'left out: only a scope { resource } has it' });
  }
  return { rules, rest };
}

/** The rules of a stored scope. Throws when the item was changed by hand into something illegal. */
export function storedRulesOf(item: Item | undefined): ScopeRules {
  return item === undefined ? {} : parsedRules(item, ` stored at ${item.pk} / ${item.sk}`);
}

function parsedRules(value: Readonly<Record<string, unknown>> | Item, where: string): ScopeRules {
  const { disabled, bypass, allowedResources, maxContextTokens, priority, defaultTier, prices } = value as Record<
    string,
    unknown
  >;
  const given = Object.fromEntries(
    FIELDS.flatMap((field) => {
      const one = (value as Record<string, unknown>)[field];
      return one === undefined ? [] : [[field, one] as const];
    }),
  ) as ScopeRules;
  for (const [field, flag] of Object.entries({ disabled, bypass })) {
    if (flag !== undefined && typeof flag !== 'boolean')
      throw new InvalidArgument({ field: field + where, value: flag, expected: 'true or false' });
  }
  if (allowedResources !== undefined) checkPatterns(allowedResources, `allowedResources${where}`);
  if (maxContextTokens !== undefined && !(Number.isSafeInteger(maxContextTokens) && Number(maxContextTokens) >= 1)) {
    throw new InvalidArgument({
      field: `maxContextTokens${where}`,
      value: maxContextTokens,
      expected: `an integer from 1 to ${Number.MAX_SAFE_INTEGER}`,
    });
  }
  if (priority !== undefined && !PRIORITIES.some((one) => one === priority))
    throw new InvalidArgument({ field: `priority${where}`, value: priority, expected: `one of ${PRIORITIES.join(', ')}` });
  if (defaultTier !== undefined) checkName(defaultTier, `defaultTier${where}`);
  if (prices !== undefined) modelRates(prices as ModelPrices, `prices${where}`);
  return given;
}

function checkPatterns(value: unknown, field: string): void {
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_PATTERNS)
    throw new InvalidArgument({ field, value, expected: `a list of 1 to ${MOST_PATTERNS} names or patterns` });
  value.forEach((pattern: unknown, index) => {
    checkName(pattern, `${field}[${index}]`);
  });
}
