import type { NewEntity } from '../config/entities.js';
import { InvalidArgument } from '../errors.js';
import type { Store } from '../store/store.js';
import { readManaged } from './managed.js';
import type { Manifest } from './manifest.js';
import { readThings, type StoredThing } from './read-things.js';
import { type Thing, thingId, thingOf } from './thing.js';
import { type EntityState, entityState, sameState, settingState, storedState, type ThingState } from './thing-state.js';

/** Below all levels that entities can have. */
const DEEPEST = 4;

/** What is to be done so that the store holds what a manifest says. Plain JSON: it can be kept in a file and applied later. */
export interface Plan {
  readonly namespace: string;
  /** What had been applied when this was planned: it can be applied as long as no other apply came in between. */
  readonly base: { readonly revision: number; readonly writes: number };
  readonly prune: boolean;
  /** What is written: settings first, then entities, parents before their children; then what is removed, entities from the bottom up. */
  readonly steps: readonly Step[];
  /** How many things are stored as the manifest says, and managed. */
  readonly unchanged: number;
  /** What is managed, is no longer in the manifest, and stays. */
  readonly kept: readonly Kept[];
}

interface Kept {
  readonly thing: Thing;
  /** Nothing was said of removing it; or an entity has children that stay. */
  readonly because: 'not pruned' | 'has children';
}

export type Step = Create | Change | Adopt | Remove;

interface Planned {
  readonly thing: Thing;
  /** What was stored: nothing, or what its change of this id made it; null where nothing knows of a change. */
  readonly on: { readonly stored: false } | { readonly stored: true; readonly change: string | null };
  /** Somebody changed or deleted it since it was applied last. */
  readonly drifted: boolean;
}

/** It is not there. */
export interface Create extends Planned {
  readonly action: 'create';
  readonly to: ThingState;
}

/** It is there, and otherwise. */
export interface Change extends Planned {
  readonly action: 'change';
  readonly from: ThingState;
  readonly to: ThingState;
}

/** It is there as the manifest says, made by somebody else: nothing of it changes, and from now on it is managed. */
export interface Adopt extends Planned {
  readonly action: 'adopt';
}

/** It is managed and no longer in the manifest. An entity goes with its keys and limits. */
export interface Remove extends Planned {
  readonly action: 'remove';
  /** Null: it is gone already, and only no longer managed. */
  readonly from: ThingState | null;
}

export interface PlanOptions {
  readonly namespace: string;
  /** Removes what is managed and no longer in the manifest. @default false */
  readonly prune?: boolean | undefined;
}

/** How many steps of each kind. `changes` counts those that change what is stored for limiters: none, and the plan is empty. */
export interface PlanCounts {
  readonly create: number;
  readonly change: number;
  readonly adopt: number;
  readonly remove: number;
  readonly changes: number;
}

export function countsOf({ steps }: Plan): PlanCounts {
  const count = (action: Step['action']) => steps.filter((step) => step.action === action).length;
  const create = count('create');
  const change = count('change');
  const remove = count('remove');
  return { create, change, adopt: count('adopt'), remove, changes: create + change + remove };
}

/**
 * What has to change in the store so that it holds what the manifest says. Reads what is managed and what the manifest names, as they are now, and
 * nothing else; writes nothing. Throws `InvalidArgument` for a parent that is neither in the manifest nor stored, or that is to be removed.
 */
export async function planManifest(store: Store, manifest: Manifest, options: PlanOptions): Promise<Plan> {
  const { namespace, prune = false } = options;
  const wanted = wantedThings(manifest);
  const { head, changes } = await readManaged(store, namespace);
  const gone = [...changes.keys()].filter((id) => !wanted.has(id));
  const parents = [...parentsOutside(manifest, wanted)];
  const ids = new Set([...wanted.keys(), ...gone, ...parents]);
  const stored = await readThings(store, namespace, [...ids].map(thingOf));
  const found = new Map(stored.map((one) => [thingId(one.thing), one]));
  for (const id of parents) checkParent(found.get(id), prune && changes.has(id));

  const planned = (one: StoredThing, id: string): Planned => ({
    thing: one.thing,
    on: one.item === undefined ? { stored: false } : { stored: true, change: one.change ?? null },
    drifted: changes.has(id) && (one.item === undefined || changes.get(id) !== one.change),
  });
  const written = [...wanted].flatMap(([id, to]): Step[] => {
    const one = found.get(id) as StoredThing;
    const from = goesWithItsEntity(one, found) ? undefined : storedState(one.thing, one.item);
    const base = planned(one, id);
    if (from === undefined) return [{ action: 'create', ...base, to }];
    if (!sameState(from, to)) return [{ action: 'change', ...base, from, to }];
    return changes.has(id) && !base.drifted ? [] : [{ action: 'adopt', ...base }];
  });
  const removed = gone.map((id): Remove => {
    const one = found.get(id) as StoredThing;
    return { action: 'remove', ...planned(one, id), from: storedState(one.thing, one.item) ?? null };
  });
  if (prune) checkRemovals(removed, wanted);
  const { leaving, staying } = prune ? fromTheBottomUp(removed, written, found) : { leaving: [], staying: [] };
  return {
    namespace,
    base: { revision: head.revision, writes: head.writes },
    prune,
    steps: [...written, ...leaving],
    unchanged: wanted.size - written.length,
    kept: prune
      ? staying.map(({ thing }) => ({ thing, because: 'has children' }))
      : removed.filter(({ from }) => from !== null).map(({ thing }) => ({ thing, because: 'not pruned' })),
  };
}

/** What a manifest names, by id: settings, then entities, parents before their children. */
function wantedThings({ settings, entities }: Manifest): ReadonlyMap<string, ThingState> {
  return new Map<string, ThingState>([
    ...settings.map((one) => [thingId({ kind: 'setting', scope: one.scope }), settingState(one)] as const),
    ...byLevel(entities).map((one) => [thingId({ kind: 'entity', entity: one.entity }), entityState(one)] as const),
  ]);
}

/** Roots, then their children, and so on; last what hangs on entities that the manifest does not name, which may lie below those that it does. */
function byLevel(entities: readonly NewEntity[]): readonly NewEntity[] {
  const levels = new Map<string, number>();
  const byName = new Map(entities.map((one) => [one.entity, one]));
  const levelOf = ({ entity, parent }: NewEntity): number => {
    const known = levels.get(entity);
    if (known !== undefined) return known;
    levels.set(entity, 0);
    const above = parent === undefined ? undefined : byName.get(parent);
    const level = parent === undefined ? 0 : above === undefined ? DEEPEST : levelOf(above) + 1;
    levels.set(entity, level);
    return level;
  };
  return entities
    .map((one) => ({ one, level: levelOf(one) }))
    .sort((a, b) => a.level - b.level)
    .map(({ one }) => one);
}

/** The ids of parents that a manifest does not name itself. */
function parentsOutside({ entities }: Manifest, wanted: ReadonlyMap<string, unknown>): ReadonlySet<string> {
  const parents = entities.flatMap(({ parent }: NewEntity) =>
    parent === undefined ? [] : [thingId({ kind: 'entity', entity: parent })],
  );
  return new Set(parents.filter((id) => !wanted.has(id)));
}

function checkParent(parent: StoredThing | undefined, isRemoved: boolean): void {
  const there = parent !== undefined && storedState(parent.thing, parent.item) !== undefined;
  if (there && !isRemoved) return;
  throw new InvalidArgument({
    field: 'parent',
    value: parent?.thing.kind === 'entity' ? parent.thing.entity : undefined,
    expected: `an entity of the manifest, or one that is stored${isRemoved ? ' and not removed by this very plan' : ''}`,
  });
}

/** Whether a setting is of an entity that is being deleted: before the entity is made anew, that deletion is brought to its end. */
function goesWithItsEntity({ thing }: StoredThing, found: ReadonlyMap<string, StoredThing>): boolean {
  if (thing.kind === 'entity' || !('entity' in thing.scope)) return false;
  const entity = found.get(thingId({ kind: 'entity', entity: thing.scope.entity }));
  return entity?.item !== undefined && storedState(entity.thing, entity.item) === undefined;
}

/** An entity goes with its limits: they cannot stay in the manifest without it. */
function checkRemovals(removed: readonly Remove[], wanted: ReadonlyMap<string, unknown>): void {
  const going = new Set(removed.flatMap(({ thing }) => (thing.kind === 'entity' ? [thing.entity] : [])));
  for (const id of wanted.keys()) {
    const thing = thingOf(id);
    if (thing.kind !== 'setting' || !('entity' in thing.scope) || !going.has(thing.scope.entity)) continue;
    throw new InvalidArgument({
      field: 'entities',
      value: thing.scope.entity,
      expected: 'in the manifest as long as its limits are: an entity that is removed takes them with it',
    });
  }
}

/** Settings, then entities from the bottom up; those stay that keep a child, because no manifest manages it. */
function fromTheBottomUp(
  removed: readonly Remove[],
  written: readonly Step[],
  found: ReadonlyMap<string, StoredThing>,
): { readonly leaving: readonly Remove[]; readonly staying: readonly Remove[] } {
  const lost = new Map<unknown, number>();
  const lose = (parent: unknown) => lost.set(parent, (lost.get(parent) ?? 0) + 1);
  const itemOf = ({ thing }: Step) => found.get(thingId(thing))?.item;
  for (const step of written) {
    if (step.action !== 'change' || step.thing.kind !== 'entity') continue;
    const { parent } = step.from as EntityState;
    if (parent !== (step.to as EntityState).parent) lose(parent);
  }
  const settings = removed.filter(({ thing }) => thing.kind === 'setting');
  const depthOf = (step: Step) => (itemOf(step)?.ancestors as readonly unknown[] | undefined)?.length ?? 0;
  const entities = removed.filter(({ thing }) => thing.kind === 'entity').sort((a, b) => depthOf(b) - depthOf(a));
  const leaving: Remove[] = [];
  const staying: Remove[] = [];
  for (const step of entities) {
    const item = itemOf(step);
    const stays = Number(item?.children ?? 0) > (lost.get(item?.entity) ?? 0);
    if (!stays) lose(item?.parent);
    (stays ? staying : leaving).push(step);
  }
  return { leaving: [...settings, ...leaving], staying };
}
