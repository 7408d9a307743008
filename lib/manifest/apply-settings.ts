import { type ScopeContent, scopeItem, setOperations } from '../config/scope-limits.js';
import type { Application } from './apply.js';
import { type Chunk, chunksOf, operationsOf, type Part } from './chunk.js';
import { Conflicted } from './conflict.js';
import { managedItem } from './managed.js';
import type { Adopt, Step } from './plan.js';
import { thingId } from './thing.js';

/** Writes what a plan makes, changes and adopts of settings, in its order. Throws `Conflicted`. */
export async function applySettings(application: Application, steps: readonly Step[]): Promise<void> {
  const parts = steps.flatMap((step) => settingPart(application, step) ?? []);
  for (const chunk of chunksOf(parts)) await writeChunk(application, chunk);
}

/** Writes a chunk whose every condition is that of a thing: what fails was changed by somebody else. Throws `Conflicted`. */
export async function writeChunk({ store, done }: Application, chunk: Chunk): Promise<void> {
  const operations = operationsOf(chunk);
  const result = await store.transact(operations);
  if (!result.applied) {
    const failed = operations[result.failed[0]?.index ?? 0];
    const part = chunk.find((one) => failed !== undefined && one.operations.includes(failed)) ?? (chunk[0] as Part);
    throw new Conflicted({ reason: 'changed', thing: part.step.thing });
  }
  done(chunk.length);
}

function settingPart({ namespace, author, seen }: Application, step: Step): Part | undefined {
  const { thing } = step;
  if (thing.kind !== 'setting' || step.action === 'remove') return undefined;
  if (step.action === 'adopt') return adoption(namespace, step);
  const { limits, ...options } = step.to as ScopeContent;
  const item = scopeItem(namespace, thing.scope, limits, options);
  return { step, operations: setOperations(namespace, author(), thing.scope, item, seen.get(thingId(thing))?.item) };
}

/** The line alone: a change at this very moment shows as drift. */
export function adoption(namespace: string, step: Adopt): Part {
  const change = step.on.stored ? (step.on.change ?? undefined) : undefined;
  return { step, operations: [{ kind: 'put', item: managedItem(namespace, thingId(step.thing), change) }] };
}
