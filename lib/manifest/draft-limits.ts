/** Limits and options of scopes, as manifests write them. */
import type { Scope } from '../config/config-records.js';
import { limitOf, parseLimitText } from '../config/limit-text.js';
import { type PriorityShares, parsePriorities } from '../config/priorities.js';
import { scopeItem } from '../config/scope-limits.js';
import type { ScopeOptions } from '../config/scope-rules.js';
import { Limit } from '../core/limit.js';
import { InvalidArgument, shown } from '../errors.js';
import { type Entry, entryProblem, type ScopeDraft } from './draft.js';
import type { ScopeSetting } from './manifest.js';
import { type Problem, pathText } from './problem.js';
import type { Path } from './yaml-document.js';

const MOST_LIMITS = 32;
const PERIODS = 'second, minute, hour, day, a time such as 10s, calendar-day, calendar-month, session-TIME or lease-TIME';
const TEXT = 'a limit such as 60/minute, 10/10s,burst=20, 5000000/calendar-month, 50/session-5h or 20/lease-2m';
const QUOTES = 'Expected quotes around a limit with options where it stands in braces: { rpm: "10/10s,burst=20" }';
/** Any legal limit: with it, an option is checked by itself. */
const ANY = [Limit.perMinute('rpm', 1)];

/** Priorities that are off although the next scope has them on. */
const ALL_MAY_USE_ALL: PriorityShares = { low: 1, normal: 1, high: 1, critical: 1 };

/** The setting of a scope; undefined where it says nothing, or what it says is refused. */
export function settingOf(
  scope: Scope,
  draft: ScopeDraft,
  fields: ReadonlyMap<string, Entry>,
  priorities: PriorityShares | undefined,
  problems: Problem[],
): ScopeSetting | undefined {
  const before = problems.length;
  const limits = [...draft.limits].flatMap(([name, entry]) => limitsOf(name, entry, problems));
  if (draft.limits.size > MOST_LIMITS)
    problems.push(entryProblem(draft.at, `Expected at most ${MOST_LIMITS} limits, got ${draft.limits.size}`, 'key', ['limits']));
  const options: Record<string, unknown> = {};
  const inherits = fields.get('inherit')?.value === true;
  for (const [field, entry] of fields) {
    const value = optionOf(scope, field, entry, inherits, problems);
    if (value !== undefined) options[field] = value;
  }
  if (priorities !== undefined && limits.length > 0 && !inherits && !fields.has('priorities')) options.priorities = priorities;
  if (problems.length > before || draft.flawed || (limits.length === 0 && fields.size === 0)) return undefined;
  return checkedSetting({ scope, limits, options }, draft, problems);
}

/** What each option says may be legal, and all of it together not. */
function checkedSetting(setting: ScopeSetting, draft: ScopeDraft, problems: Problem[]): ScopeSetting | undefined {
  try {
    scopeItem('-', setting.scope, setting.limits, setting.options);
    return setting;
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    const message = error.field === 'limits' ? SAYS_NOTHING : `Expected ${error.field} to be ${error.expected}`;
    problems.push(entryProblem(draft.at, message, 'key'));
    return undefined;
  }
}

export const SAYS_NOTHING = 'Expected limits, or a rule such as disabled or bypass: there is nothing to store';

function limitsOf(name: string, entry: Entry, problems: Problem[]): readonly Limit[] {
  const { value } = entry;
  const refuse = (message: string, below?: Path, at?: 'key') => {
    problems.push(entryProblem(entry, message, at, below));
    return [];
  };
  if (value === null && name.includes('=')) return refuse(QUOTES, [], 'key');
  if (value === null) return refuse(`Expected ${TEXT}: nothing of this name is extended that could be taken away`);
  try {
    if (typeof value === 'string') return [parseLimitText(`${name}=${value}`)];
    const { amount, per, burst, ...options } = value as Readonly<Record<string, unknown>>;
    const limit = limitOf({ name, amount, per: String(per), burst, options }, 'limit');
    return limit === undefined ? refuse(`Expected ${PERIODS}, got ${shown(per)}`, ['per']) : [limit];
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    const { below, at } = limitPart(
      error.field.slice(typeof value === 'string' ? `limit ${name}`.length : 'limit'.length),
      value,
    );
    const of = typeof value === 'string' && below[0] !== undefined ? ` ${partText(below)} to be` : '';
    const expected = error.field === 'limit' ? TEXT : error.expected;
    return refuse(
      `Expected${of} ${expected}, got ${shown(error.field === 'limit' ? value : error.value)}`,
      typeof value === 'string' ? [] : below,
      at,
    );
  }
}

/** A part as a message names it: `schedule[0].cron`. */
const partText = (below: Path): string => pathText(below.map((part) => (/^\d+$/.test(part) ? Number(part) : part)));

/** Under which name a manifest has a field of a limit. */
const WRITTEN: Readonly<Record<string, string>> = {
  refillAmount: 'amount',
  refillPeriodMs: 'per',
  everyMs: 'per',
  leaseMs: 'per',
};

/** The part of a written limit that stands for `.capacity` or `.weights.output`. */
function limitPart(field: string, value: unknown): { readonly below: Path; readonly at?: 'key' } {
  const [first = '', ...rest] = field.split(/[.[\]]+/).filter((part) => part !== '');
  if (first === '') return { below: [] };
  if (first === 'name') return { below: [], at: 'key' };
  const hasBurst = typeof value === 'string' ? value.includes('burst=') : Object.hasOwn(Object(value) as object, 'burst');
  return { below: [first === 'capacity' ? (hasBurst ? 'burst' : 'amount') : (WRITTEN[first] ?? first), ...rest] };
}

/** The value of one option; undefined where it is as if left out, or refused. Where it inherits, what is left out is the next scope's. */
function optionOf(scope: Scope, field: string, entry: Entry, inherits: boolean, problems: Problem[]): unknown {
  const { value } = entry;
  if (value === false && field === 'priorities') return inherits ? ALL_MAY_USE_ALL : undefined;
  if (value === 1 && field === 'shards' && !inherits) return undefined;
  try {
    if (field === 'priorities') return parsePriorities(value as Partial<PriorityShares> | true, field);
    scopeItem('-', scope, ANY, { [field]: value } as ScopeOptions);
    return value;
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    problems.push(argumentProblem(entry, field, error));
    return undefined;
  }
}

/** The problem of an entry that was refused by the name of its field, or of a part of it: `priorities.low`. */
export function argumentProblem(entry: Entry, field: string, error: InvalidArgument): Problem {
  const below = error.field.startsWith(field)
    ? error.field
        .slice(field.length)
        .split(/[.[\]]+/)
        .filter((part) => part !== '')
    : [];
  return entryProblem(entry, `Expected ${error.expected}, got ${shown(error.value)}`, 'value', below);
}
