/** Steps that are written together, in one transaction. */
import type { Operation } from '../store/store.js';
import type { Step } from './plan.js';

/** What a store takes, less the fence. */
export const MOST_OPERATIONS = 99;

/** A step's own operations: the first is that of the thing itself. */
export interface Part {
  readonly step: Step;
  readonly operations: readonly Operation[];
}

export type Chunk = readonly Part[];

/** Parts in their order, in chunks that each fit in a transaction with the line of every thing and the fence. */
export function chunksOf(parts: Iterable<Part>): readonly Chunk[] {
  const chunks: Part[][] = [];
  let room = 0;
  for (const part of parts) {
    const size = part.operations.length + 1;
    if (size > room) {
      chunks.push([]);
      room = MOST_OPERATIONS;
    }
    chunks.at(-1)?.push(part);
    room -= size;
  }
  return chunks;
}

/** The operations of a chunk, each item named once: what is put twice is the line of an entity in the directory, the same both times. */
export function operationsOf(chunk: Chunk): readonly Operation[] {
  const puts = new Set<string>();
  return chunk.flatMap(({ operations }) =>
    operations.filter((operation) => {
      if (operation.kind !== 'put') return true;
      const id = `${operation.item.pk}\n${operation.item.sk}`;
      return !puts.has(id) && puts.add(id);
    }),
  );
}
