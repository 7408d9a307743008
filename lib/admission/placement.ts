/** Which places in the queue a batch reserves. */
import { fillFs } from '../core/bucket.js';
import type { Stored } from '../core/standing.js';
import type { Operation } from './operation.js';
import { Place } from './places.js';

/** The places of a batch's operations that start later than now, when the batch has left the bucket at `after`. */
export function placesOf(operations: readonly Operation[], { positions }: Stored): ReadonlyMap<Operation, Place> {
  const places = new Map<Operation, Place>();
  if (operations.every((operation) => operation.kind === 'post' || operation.startFs === operation.nowFs)) return places;
  const behindFs = new Map([...positions].map(([name, { fullAtFs }]) => [name, fullAtFs]));
  const before = (name: string, fs: bigint) => behindFs.set(name, (behindFs.get(name) ?? 0n) - fs);
  for (const operation of operations.toReversed()) {
    if (operation.kind === 'acquire') {
      const { demands, startFs, nowFs, movable } = operation;
      const charged = demands.filter(({ limit }) => !operation.overdrawn.includes(limit.name));
      if (startFs !== nowFs) places.set(operation, new Place(charged, startFs, behindFs, movable));
      for (const { limit, cost } of charged) if (limit.kind === 'bucket') before(limit.name, fillFs(limit, cost));
    } else {
      for (const { charge, tokens } of operation.settlement.differences) {
        if (charge.kind === 'bucket' && !charge.overdrawn) before(charge.name, BigInt(tokens) * charge.tokenFs);
      }
    }
  }
  return places;
}

/** The latest start of the places that a batch reserves; undefined: it reserves none. */
export function latestStart(operations: readonly Operation[]): bigint | undefined {
  let latestFs: bigint | undefined;
  for (const operation of operations) {
    if (operation.kind === 'post' || operation.startFs === operation.nowFs) continue;
    if (latestFs === undefined || operation.startFs > latestFs) latestFs = operation.startFs;
  }
  return latestFs;
}
