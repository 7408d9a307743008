import { type Command, Option } from 'commander';
import type { Scope } from '../lib/config/config-records.js';
import { PRIORITIES } from '../lib/config/priorities.js';
import type { ScopeOptions } from '../lib/config/scope-rules.js';
import { InvalidArgument } from '../lib/errors.js';
import { parseShares } from './shares-text.js';

interface ScopeFlags {
  readonly system?: true;
  readonly resource?: string;
  readonly tier?: string;
  readonly entity?: string;
}

/** Adds the options that name a scope. */
export function withScope(command: Command): Command {
  return command
    .option('--system', 'the limits of everybody')
    .option('--entity <name>', 'the limits of an entity (with --resource: on one resource)')
    .option('--tier <name>', 'the limits of a tier (with --resource: on one resource)')
    .option('--resource <name>', 'the limits of a resource');
}

/** The scope that options name. Throws `InvalidArgument` where they name none; a combination that is none is refused by the library. */
export function scopeOf({ system, resource, tier, entity }: ScopeFlags): Scope {
  if (system === undefined && resource === undefined && tier === undefined && entity === undefined) {
    throw new InvalidArgument({
      field: 'scope',
      value: undefined,
      expected: '--system, --resource, --tier, --entity, or --resource with one of the last two',
    });
  }
  return {
    ...(system !== undefined && { system }),
    ...(entity !== undefined && { entity }),
    ...(tier !== undefined && { tier }),
    ...(resource !== undefined && { resource }),
  } as Scope;
}

interface RuleFlags {
  readonly shards?: string;
  readonly priorities?: string | true;
  readonly inherit?: true;
  readonly disabled?: boolean;
  readonly bypass?: boolean;
  readonly allowedResources?: string;
  readonly maxContextTokens?: string;
  readonly priority?: ScopeOptions['priority'];
  readonly defaultTier?: string;
}

/** Adds the options that are stored with a scope's limits. */
export function withRules(command: Command): Command {
  return command
    .option('--shards <number>', 'split each bucket, 1 to 64')
    .option('--priorities [shares]', 'keep headroom for the more urgent: low=0.5,normal=0.9 (the default shares)')
    .option('--inherit', 'keep the limits of the next scope beside these, and its options where none are given here')
    .option('--disabled', 'admit nothing')
    .option('--no-disabled', 'admit where a less specific scope is disabled')
    .option('--bypass', 'admit everything, draw nothing, count usage')
    .option('--allowed-resources <patterns>', 'of a tier: names or patterns, separated by commas')
    .option('--max-context-tokens <number>', 'of a tier: the most tokens of one call')
    .addOption(new Option('--priority <priority>', 'of a tier: of requests that state none').choices(PRIORITIES))
    .option('--default-tier <tier>', 'of the system: the tier of entities without a record');
}

/** What options say is to be stored with a scope's limits. */
export function rulesOf(flags: RuleFlags): ScopeOptions {
  const { shards, priorities, inherit, disabled, bypass, allowedResources, maxContextTokens, priority, defaultTier } = flags;
  const given: ScopeOptions = {
    shards: shards === undefined ? undefined : numberOf(shards),
    priorities: typeof priorities === 'string' ? parseShares(priorities) : priorities,
    inherit,
    disabled,
    bypass,
    allowedResources: allowedResources?.split(','),
    maxContextTokens: maxContextTokens === undefined ? undefined : numberOf(maxContextTokens),
    priority,
    defaultTier,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A number, or the text itself, which the library then refuses by its name. */
export const numberOf = (text: string): number => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : (text as unknown as number));
