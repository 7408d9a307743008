/** The records of entities, as manifests write them: whom they belong to, in an order in which they can be created. */
import { checkEntity, type NewEntity } from '../config/entities.js';
import { InvalidArgument } from '../errors.js';
import { type Entry, entryProblem, type ScopeDraft } from './draft.js';
import { argumentProblem, SAYS_NOTHING } from './draft-limits.js';
import { listed, type Problem, suggestion } from './problem.js';

/** What an entity says of itself, and not of its limits. */
export const ENTITY_FIELDS = ['parent', 'cascade', 'tier', 'name', 'metadata', 'record'] as const;
const MOST_LEVELS = 4;

/** The entities that have records, parents before their children; otherwise in the order of the file. */
export function entitiesOf(drafts: ReadonlyMap<string, ScopeDraft>, whole: boolean, problems: Problem[]): readonly NewEntity[] {
  const recorded = new Map([...drafts].filter(([, { fields }]) => fields.get('record')?.value !== false));
  for (const [name, draft] of drafts) {
    if (!recorded.has(name)) checkUnrecorded(draft, problems);
  }
  const above = new Map<string, string>();
  for (const [name, draft] of recorded) {
    const parent = parentOf(draft, recorded, whole, problems);
    if (parent !== undefined) above.set(name, parent);
    else checkRoot(draft, problems);
  }
  const depths = depthsOf(above, recorded, problems);
  const placed = new Map<string, NewEntity>();
  const place = (name: string) => {
    const draft = recorded.get(name);
    if (draft === undefined || placed.has(name)) return;
    const parent = above.get(name);
    if (parent !== undefined && depths.has(name)) place(parent);
    placed.set(name, entityOf(name, draft, problems));
  };
  for (const name of recorded.keys()) place(name);
  return [...placed.values()];
}

function checkUnrecorded({ fields, limits, resources, flawed, at }: ScopeDraft, problems: Problem[]): void {
  if (fields.size === 1 && limits.size + resources.size === 0 && !flawed) problems.push(entryProblem(at, SAYS_NOTHING, 'key'));
  for (const field of ENTITY_FIELDS) {
    const entry = field === 'record' ? undefined : fields.get(field);
    if (entry !== undefined)
      problems.push(entryProblem(entry, `Expected no ${field} beside record: false: it is part of the record`, 'key'));
  }
}

function checkRoot({ fields, flawed }: ScopeDraft, problems: Problem[]): void {
  const cascade = fields.get('cascade');
  if (cascade !== undefined && !fields.has('parent') && !flawed)
    problems.push(entryProblem(cascade, 'Expected no cascade: only an entity with a parent has it', 'key'));
}

/** The parent, where there is one of that name. */
function parentOf(
  { fields }: ScopeDraft,
  recorded: ReadonlyMap<string, ScopeDraft>,
  whole: boolean,
  problems: Problem[],
): string | undefined {
  const entry = fields.get('parent');
  if (entry === undefined || typeof entry.value !== 'string') return undefined;
  if (recorded.has(entry.value)) return entry.value;
  if (whole) problems.push(undefinedName(entry, 'an entity with a record in this manifest', recorded.keys()));
  return undefined;
}

/** The problem of a name that nothing has. */
export function undefinedName(entry: Entry, what: string, names: Iterable<string>): Problem {
  const all = [...names];
  const meant = suggestion(String(entry.value), all);
  return entryProblem(entry, `Expected ${what} (${listed(all)}), got ${JSON.stringify(entry.value)}${meant && `.${meant}`}`);
}

/** Levels from the root, 1 for a root; none for those whose parents lead in a circle, which is told once. */
function depthsOf(
  above: ReadonlyMap<string, string>,
  recorded: ReadonlyMap<string, ScopeDraft>,
  problems: Problem[],
): ReadonlyMap<string, number> {
  const depths = new Map<string, number>();
  const circular = new Set<string>();
  for (const start of recorded.keys()) {
    const way: string[] = [];
    const seen = new Set<string>();
    let name: string | undefined = start;
    for (; name !== undefined && !depths.has(name) && !circular.has(name) && !seen.has(name); name = above.get(name)) {
      way.push(name);
      seen.add(name);
    }
    if (name !== undefined && seen.has(name)) {
      const circle = way.slice(way.indexOf(name));
      refuseParent(
        name,
        recorded,
        problems,
        `Expected an entity that is not below ${name} itself: ${[...circle, name].join(' → ')}`,
      );
    }
    if (name !== undefined && !depths.has(name)) {
      for (const one of way) circular.add(one);
      continue;
    }
    let depth = name === undefined ? 0 : (depths.get(name) ?? 0);
    for (const one of way.reverse()) {
      depth += 1;
      depths.set(one, depth);
      if (depth === MOST_LEVELS + 1)
        refuseParent(
          one,
          recorded,
          problems,
          `Expected at most ${MOST_LEVELS} levels: this parent has ${MOST_LEVELS - 1} above it already`,
        );
    }
  }
  return depths;
}

function refuseParent(name: string, recorded: ReadonlyMap<string, ScopeDraft>, problems: Problem[], message: string): void {
  const entry = recorded.get(name)?.fields.get('parent');
  if (entry !== undefined) problems.push(entryProblem(entry, message));
}

function entityOf(entity: string, { fields }: ScopeDraft, problems: Problem[]): NewEntity {
  const made: Record<string, unknown> = { entity };
  for (const field of ENTITY_FIELDS) {
    const entry = field === 'record' ? undefined : fields.get(field);
    if (entry === undefined) continue;
    made[field] = entry.value;
    try {
      checkEntity({ entity: '-', [field]: entry.value });
    } catch (error) {
      if (!(error instanceof InvalidArgument)) throw error;
      problems.push(argumentProblem(entry, field, error));
    }
  }
  return made as unknown as NewEntity;
}
