import type { Scope } from '../config/config-records.js';
import { type PriorityShares, parsePriorities } from '../config/priorities.js';
import { InvalidArgument } from '../errors.js';
import { checkName } from '../names.js';
import { type Composed, composed, type Sources } from './compose.js';
import { type Entry, entryProblem, type ScopeDraft } from './draft.js';
import { ENTITY_FIELDS, entitiesOf, undefinedName } from './draft-entities.js';
import { argumentProblem, SAYS_NOTHING, settingOf } from './draft-limits.js';
import type { Manifest, ScopeSetting } from './manifest.js';
import type { Problem } from './problem.js';

export interface ReadOptions extends Sources {
  /** What problems call the file; what it extends is looked for beside it. */
  readonly file: string;
}

/** A manifest, or all that is wrong with its text, in the order of the lines. */
export type ReadManifest = { readonly manifest: Manifest } | { readonly problems: readonly Problem[] };

/**
 * Reads a manifest and what it extends. Nothing is stored, and nothing is asked of what is stored. All problems are found at once; only of a text
 * that is no YAML nothing more is told.
 */
export function readManifest(text: string, { file, ...sources }: ReadOptions): ReadManifest {
  const read = composed(text, file, sources);
  const problems = [...read.problems];
  const manifest = manifestOf(read, problems);
  if (problems.length === 0) return { manifest };
  const rank = (problem: Problem) => (problem.file === file ? 0 : 1);
  return { problems: problems.sort((a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column) };
}

function manifestOf({ draft, whole }: Composed, problems: Problem[]): Manifest {
  const namespace = draft.fields.get('namespace');
  if (namespace !== undefined) isNamed(namespace.value, namespace, 'value', problems);
  const priorities = defaultPriorities(draft.fields.get('priorities'), problems);
  const settings: ScopeSetting[] = [];

  const scoped = (scope: Scope, at: ScopeDraft, fields = at.fields, more: Iterable<readonly [string, Entry]> = []) => {
    const setting = settingOf(scope, at, new Map([...fields, ...more]), priorities, problems);
    if (setting !== undefined) settings.push(setting);
  };
  const onResources = (of: { readonly tier: string } | { readonly entity: string }, at: ScopeDraft) => {
    for (const [resource, each] of at.resources) {
      if (isNamed(resource, each.at, 'key', problems) && !isEmpty(each, problems)) scoped({ ...of, resource }, each);
    }
  };

  if (draft.system !== undefined && !isEmpty(draft.system, problems)) scoped({ system: true }, draft.system);
  checkTier(draft.system?.fields.get('defaultTier'));
  for (const [resource, each] of draft.resources) {
    if (!isNamed(resource, each.at, 'key', problems)) continue;
    const price = draft.prices.get(resource);
    if (price !== undefined) scoped({ resource }, each, each.fields, [['prices', price]]);
    else if (!isEmpty(each, problems)) scoped({ resource }, each);
  }
  for (const [resource, price] of draft.prices) {
    if (draft.resources.has(resource)) continue;
    if (!isNamed(resource, price, 'key', problems)) continue;
    const none = { at: price, limits: new Map(), fields: new Map(), resources: new Map(), flawed: false };
    scoped({ resource }, none, none.fields, [['prices', price]]);
  }
  for (const [tier, each] of draft.tiers) {
    if (!isNamed(tier, each.at, 'key', problems)) continue;
    scoped({ tier }, each);
    onResources({ tier }, each);
  }
  for (const [entity, each] of draft.entities) {
    if (!isNamed(entity, each.at, 'key', problems)) continue;
    const fields = new Map([...each.fields].filter(([name]) => !ENTITY_FIELDS.some((field) => field === name)));
    scoped({ entity }, each, fields);
    onResources({ entity }, each);
    checkTier(each.fields.get('tier'));
  }

  /** A tier that is named is a tier of the manifest. */
  function checkTier(entry: Entry | undefined): void {
    if (entry === undefined || !whole || typeof entry.value !== 'string' || draft.tiers.has(entry.value)) return;
    problems.push(undefinedName(entry, 'a tier of this manifest', draft.tiers.keys()));
  }

  return {
    namespace: namespace === undefined ? undefined : String(namespace.value),
    settings,
    entities: entitiesOf(draft.entities, whole, problems),
  };
}

/** Whether a scope says nothing, which is a problem. */
function isEmpty({ limits, fields, flawed, at }: ScopeDraft, problems: Problem[]): boolean {
  if (limits.size > 0 || fields.size > 0) return false;
  if (!flawed) problems.push(entryProblem(at, SAYS_NOTHING, 'key'));
  return true;
}

/** The priorities of every scope of a text that states none of its own. */
export const inheritedPriorities = (text: string, { file, ...sources }: ReadOptions): PriorityShares | undefined =>
  defaultPriorities(composed(text, file, sources).draft.fields.get('priorities'), []);

function defaultPriorities(entry: Entry | undefined, problems: Problem[]): PriorityShares | undefined {
  if (entry === undefined || entry.value === false) return undefined;
  try {
    return parsePriorities(entry.value as Partial<PriorityShares> | true, 'priorities');
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    problems.push(argumentProblem(entry, 'priorities', error));
    return undefined;
  }
}

/** Whether something has a legal name. */
function isNamed(name: unknown, entry: Entry, at: 'key' | 'value', problems: Problem[]): boolean {
  try {
    checkName(name, 'name');
    return true;
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    problems.push(entryProblem(entry, `Expected a name of ${error.expected}, got ${JSON.stringify(name)}`, at));
    return false;
  }
}
