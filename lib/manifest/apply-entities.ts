/** Entities of a plan, made and changed: parents before their children, as many in a transaction as fit. */
import { isDeepStrictEqual } from 'node:util';
import { attempted } from '../config/attempted.js';
import { metaKey } from '../config/config-records.js';
import { creation, type EntityChange, plainUpdate, updateEntity } from '../config/entities.js';
import { readEntities, readEntity, type StoredEntity, storedEntityOf } from '../config/entity-record.js';
import { linkKey } from '../config/entity-tree.js';
import { InvalidArgument } from '../errors.js';
import type { Operation } from '../store/store.js';
import type { Application } from './apply.js';
import { adoption } from './apply-settings.js';
import { MOST_OPERATIONS, type Part } from './chunk.js';
import { Conflicted } from './conflict.js';
import type { Adopt, Change, Create, Step } from './plan.js';
import type { EntityState } from './thing-state.js';

/** The most operations of a step, with the line of the thing and the count of its parent. */
const SIZE = { create: 6, change: 3, adopt: 1 } as const;
const FIELDS = ['parent', 'cascade', 'tier', 'name', 'metadata'] as const;

type Entity = { readonly kind: 'entity'; readonly entity: string };
type EntityStep = (Create | Change | Adopt) & { readonly thing: Entity };

interface EntityPart extends Part {
  readonly step: EntityStep;
}

const isOfEntity = (step: Step): step is EntityStep => step.thing.kind === 'entity' && step.action !== 'remove';

/** Makes, changes and adopts the entities of a plan, in its order. Throws `Conflicted`. */
export async function applyEntities(application: Application, steps: readonly Step[]): Promise<void> {
  const entities = steps.filter(isOfEntity);
  const work = new EntityWork(application);
  for (let from = 0; from < entities.length; ) {
    const written = await work.next(entities.slice(from, from + MOST_OPERATIONS), () => entities.slice(from + 1));
    application.done(written);
    from += written;
  }
}

class EntityWork {
  readonly #application: Application;
  /** Entities as they were read last; those that this apply has changed since are not among them. */
  readonly #known = new Map<string, StoredEntity>();
  /** What takes more than one transaction. */
  readonly #alone = new Set<string>();
  /** The change that took an entity from its parent on the way, in place of the planned one. */
  readonly #detached = new Map<string, string | null>();

  constructor(application: Application) {
    this.#application = application;
    for (const { thing, item } of application.seen.values()) {
      const stored = thing.kind === 'entity' ? storedEntityOf(item) : undefined;
      if (stored !== undefined) this.#known.set(stored.record.entity, stored);
    }
  }

  /** Writes the first of these steps, and those after it that fit in the same transaction; how many they were. `rest`: all after the first. */
  async next(steps: readonly EntityStep[], rest: () => readonly EntityStep[]): Promise<number> {
    const [first] = steps as readonly [EntityStep];
    if (this.#isAlone(first)) {
      await this.#writeAlone(first, rest);
      // What lies below it has changed as well.
      this.#known.clear();
      return 1;
    }
    const chunk: EntityStep[] = [];
    const names = new Set<string>();
    let room = MOST_OPERATIONS;
    for (const step of steps) {
      const parent = step.action === 'create' ? stateOf(step).parent : undefined;
      room -= SIZE[step.action];
      // A transaction names no item twice, and what it makes cannot be linked to in it.
      if (room < 0 || this.#isAlone(step) || (parent !== undefined && names.has(parent))) break;
      names.add(step.thing.entity);
      chunk.push(step);
    }
    return this.#writeChunk(chunk);
  }

  #isAlone(step: EntityStep): boolean {
    if (step.action === 'change' && stateOf(step).parent !== (step.from as EntityState).parent) return true;
    return this.#alone.has(step.thing.entity);
  }

  /** How many steps were written: all, or none because one turned out to take more than one transaction. */
  async #writeChunk(chunk: readonly EntityStep[]): Promise<number> {
    return attempted(`entity ${JSON.stringify(chunk[0]?.thing.entity)}`, async () => {
      await this.#learn(chunk);
      const parts: EntityPart[] = [];
      for (const step of chunk) {
        const operations = this.#operations(step);
        if (operations === undefined) this.#alone.add(step.thing.entity);
        else parts.push({ step, operations });
      }
      if (parts.length < chunk.length) return 0;
      return (await this.#sent(parts)) ? chunk.length : undefined;
    });
  }

  /** Reads what a chunk needs to know: the parents of what it makes, and what it changes. */
  async #learn(chunk: readonly EntityStep[]): Promise<void> {
    const names = chunk.flatMap((step) => {
      if (step.action === 'adopt') return [];
      return step.action === 'change' ? [step.thing.entity] : (stateOf(step).parent ?? []);
    });
    const { store, namespace } = this.#application;
    const unknown = [...new Set(names)].filter((name) => !this.#known.has(name));
    for (const stored of await readEntities(store, namespace, unknown)) this.#known.set(stored.record.entity, stored);
  }

  /** A step's own operations, its thing's first; undefined where something else has to follow. Throws `Conflicted`. */
  #operations(step: EntityStep): readonly Operation[] | undefined {
    const { namespace, author } = this.#application;
    const { entity } = step.thing;
    if (step.action === 'adopt') return adoption(namespace, step).operations;
    if (step.action === 'change') {
      const seen = this.#known.get(entity);
      if (seen === undefined || (seen.change ?? null) !== this.#planned(step)) throw changed(entity);
      return plainUpdate(namespace, author(), seen, changeOfEntity(step));
    }
    const { parent } = stateOf(step);
    const above = parent === undefined ? undefined : this.#known.get(parent);
    if (parent !== undefined && (above === undefined || above.deleting)) throw changed(parent);
    const { operations } = creation(namespace, author(), { entity, ...stateOf(step) }, above);
    return parent === undefined ? operations : [...operations, { kind: 'put', item: linkKey(namespace, parent, entity) }];
  }

  /** False: a parent or what was to be changed is no longer as it was read, though not by a change of its own. Throws `Conflicted`. */
  async #sent(parts: readonly EntityPart[]): Promise<boolean> {
    const { store } = this.#application;
    const counts = this.#childCounts(parts);
    const operations = [...parts.flatMap((part) => part.operations), ...counts];
    const result = await store.transact(operations);
    for (const { step } of parts) if (step.action === 'change') this.#known.delete(step.thing.entity);
    if (result.applied) return true;
    for (const { index } of result.failed) {
      const step = parts.find((part) => part.operations[0] === operations[index])?.step;
      if (step?.action === 'create') throw changed(step.thing.entity);
    }
    for (const { step } of parts) this.#known.delete(stateOf(step).parent ?? '');
    return false;
  }

  /** One update of each parent, however many children it gets. */
  #childCounts(parts: readonly EntityPart[]): readonly Operation[] {
    const counts = new Map<string, number>();
    for (const { step } of parts) {
      const parent = step.action === 'create' ? stateOf(step).parent : undefined;
      if (parent !== undefined) counts.set(parent, (counts.get(parent) ?? 0) + 1);
    }
    return [...counts].map(([parent, children]) => ({
      kind: 'update',
      key: metaKey(this.#application.namespace, parent),
      add: { children },
      ifEqual: { version: this.#known.get(parent)?.version },
    }));
  }

  /** A move, or a change that others follow. */
  async #writeAlone(step: EntityStep, rest: () => readonly EntityStep[]): Promise<void> {
    const { namespace, author, expecting } = this.#application;
    const change = changeOfEntity(step as Change);
    const write = () => updateEntity(expecting(step, this.#planned(step)), namespace, author(), change);
    try {
      await write();
    } catch (error) {
      // Too deep for the moment: below it stands what is to move as well.
      if (!(error instanceof InvalidArgument) || !(await this.#detach(rest()))) throw error;
      await write();
    }
  }

  /** Makes roots of all that is yet to move: whatever stands below it now is what stays there. Whether there was any. */
  async #detach(steps: readonly EntityStep[]): Promise<boolean> {
    const { store, namespace, author, expecting } = this.#application;
    let any = false;
    for (const step of steps) {
      const { entity } = step.thing;
      if (step.action !== 'change' || this.#detached.has(entity)) continue;
      const { parent } = step.from as EntityState;
      if (parent === undefined || parent === stateOf(step).parent) continue;
      await updateEntity(expecting(step), namespace, author(), { entity, parent: null });
      this.#detached.set(entity, (await readEntity(store, namespace, entity))?.change ?? null);
      any = true;
    }
    return any;
  }

  #planned(step: EntityStep): string | null {
    return this.#detached.get(step.thing.entity) ?? (step.on.stored ? step.on.change : null);
  }
}

/** What a step wants. */
const stateOf = (step: EntityStep): EntityState => ('to' in step ? step.to : {}) as EntityState;

const changed = (entity: string): Conflicted => new Conflicted({ reason: 'changed', thing: { kind: 'entity', entity } });

/** What is to be changed of an entity; a move states what it draws on anew. */
function changeOfEntity({ thing, from, to }: Change): EntityChange {
  const [before, after] = [from as EntityState, to as EntityState];
  const differing = FIELDS.filter((field) => !isDeepStrictEqual(before[field], after[field]));
  const change = Object.fromEntries(differing.map((field) => [field, after[field] ?? null]));
  const isMove = before.parent !== after.parent;
  return { entity: (thing as Entity).entity, ...change, ...(isMove && { cascade: after.cascade }) };
}
