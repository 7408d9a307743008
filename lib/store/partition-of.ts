import { createHash } from 'node:crypto';

/**
 * The partition that holds what belongs to a name, 0 to `partitions` - 1, by the name's hash: the same for ever, and names spread evenly.
 * `partitions` is 1 to 256, a power of two.
 */
export const partitionOf = (name: string, partitions: number): number =>
  (createHash('sha256').update(name).digest()[0] ?? 0) % partitions;
