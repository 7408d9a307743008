import { evaluated, movesPosition, movesSlots } from '../core/branch.js';
import { evaluatedUse } from '../core/quota.js';
import { evaluatedSlots } from '../core/slots.js';
import type { BucketState, BucketWrite } from './store.js';

/** The bucket that a write leaves, or undefined when one of its conditions fails: what DynamoDB makes of it, evaluated here. */
export function after(write: BucketWrite, stored: BucketState | undefined): BucketState | undefined {
  const positions = new Map(stored?.positions);
  const uses = new Map(stored?.uses);
  const slots = new Map(stored?.slots);
  for (const limit of write.limits) {
    const { name, branch, windowFs } = limit;
    if (branch.kind === 'unmoved') continue;
    if (movesPosition(branch)) {
      const position = evaluated(branch, windowFs, stored?.positions.get(name));
      if (position === undefined) return undefined;
      positions.set(name, position);
    } else if (movesSlots(branch)) {
      const held = evaluatedSlots(branch, stored?.slots.get(name));
      if (held === undefined) return undefined;
      slots.set(name, held);
    } else {
      const use = evaluatedUse(branch, stored?.uses.get(name));
      if (use === undefined) return undefined;
      uses.set(name, use);
    }
  }
  const ttlSeconds = write.ttl.ifAbsent ? (stored?.ttlSeconds ?? write.ttl.seconds) : write.ttl.seconds;
  return { positions, uses, slots, reservedUntilFs: write.reservedUntilFs ?? stored?.reservedUntilFs, ttlSeconds };
}
