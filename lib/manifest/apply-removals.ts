import { deleteEntity } from '../config/delete-entity.js';
import { deleteOperations } from '../config/scope-limits.js';
import { EntityHasChildren } from '../errors.js';
import type { Application } from './apply.js';
import { writeChunk } from './apply-settings.js';
import { chunksOf, type Part } from './chunk.js';
import { Conflicted } from './conflict.js';
import { managedKey } from './managed.js';
import type { Remove, Step } from './plan.js';
import type { StoredThing } from './read-things.js';
import { thingId } from './thing.js';

/** Removes what a plan removes: entities' limits, entities in the plan's order, then settings that they stood under. Throws `Conflicted`. */
export async function applyRemovals(application: Application, steps: readonly Step[]): Promise<void> {
  const removed = steps.filter((step): step is Remove => step.action === 'remove');
  const limitsOfEntities = removed.filter(({ thing }) => thing.kind === 'setting' && 'entity' in thing.scope);
  const settings = removed.filter(({ thing }) => thing.kind === 'setting' && !('entity' in thing.scope));
  await removeSettings(application, limitsOfEntities);
  for (const step of removed) if (step.thing.kind === 'entity') await removeEntity(application, step, step.thing.entity);
  await removeSettings(application, settings);
}

/**
 * Brings deletions to their end that somebody began, of entities that a plan makes anew; their limits go with them. What is then stored of them:
 * nothing. Throws `Conflicted`.
 */
export async function finishDeletions(
  application: Application,
  steps: readonly Step[],
): Promise<ReadonlyMap<string, StoredThing>> {
  const { namespace, author, expecting } = application;
  const seen = new Map(application.seen);
  for (const step of steps) {
    if (step.action !== 'create' || step.thing.kind !== 'entity' || !step.on.stored) continue;
    const { entity } = step.thing;
    await deleteEntity(expecting(step), namespace, author(), entity, {});
    for (const [id, { thing }] of seen) {
      const name = thing.kind === 'entity' ? thing.entity : 'entity' in thing.scope && thing.scope.entity;
      if (name === entity) seen.set(id, { thing, item: undefined, change: undefined });
    }
  }
  return seen;
}

async function removeSettings(application: Application, steps: readonly Remove[]): Promise<void> {
  for (const chunk of chunksOf(steps.map((step) => removal(application, step)))) await writeChunk(application, chunk);
}

function removal({ namespace, author, seen }: Application, step: Remove): Part {
  const { thing } = step;
  const item = seen.get(thingId(thing))?.item;
  if (thing.kind === 'setting' && item !== undefined)
    return { step, operations: deleteOperations(namespace, author(), thing.scope, item) };
  return { step, operations: [{ kind: 'remove', key: managedKey(namespace, thingId(thing)) }] };
}

/** An entity with its keys and limits; one that is gone is only managed no longer. */
async function removeEntity(application: Application, step: Remove, entity: string): Promise<void> {
  if (!step.on.stored) return writeChunk(application, [removal(application, step)]);
  try {
    await deleteEntity(application.expecting(step), application.namespace, application.author(), entity, {});
  } catch (error) {
    if (error instanceof EntityHasChildren) throw new Conflicted({ reason: 'has children', thing: step.thing });
    throw error;
  }
  application.done(1);
}
