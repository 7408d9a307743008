import type { Grant } from './admission/admission.js';
import type { Charge } from './core/settlement.js';
import { FS_PER_MS } from './core/time.js';

/** What is left of a token bucket by somebody who knows better, such as the provider behind it. */
export interface ToldLevel {
  /** Whose limit: the lease's own entity, or one above it. */
  readonly entity: string;
  readonly limit: string;
  /** Whole tokens, from 0, rounded down: there may be almost one more, but of 0. */
  readonly tokens: number;
  /** When it was so: milliseconds after the grant of the lease that tells it, whole, negative before it. */
  readonly afterMs: number;
}

/**
 * The earliest instant at which the charged limit can be full, by what was told of it; undefined where nothing was. Tokens come back from the
 * instant at which it was so, at the limit's own rate; nothing follows from as much as its capacity. Not for buckets in shards, whose parts differ.
 *
 *     ------- told ------------------- full ---> time
 *              | <- capacity - tokens -> |
 */
export function toldFloorFs(told: readonly ToldLevel[], { key, acquiredAtFs }: Grant, charge: Charge): bigint | undefined {
  if (charge.kind !== 'bucket' || charge.overdrawn) return undefined;
  let floorFs: bigint | undefined;
  for (const { entity, limit, tokens, afterMs } of told) {
    if (entity !== key.entity || limit !== charge.name) continue;
    const mostFs = tokens === 0 ? 0n : BigInt(tokens + 1) * charge.tokenFs - 1n;
    const missingFs = charge.windowFs - mostFs;
    const fullAtFs = acquiredAtFs + BigInt(afterMs) * FS_PER_MS + missingFs;
    if (missingFs > 0n && (floorFs === undefined || fullAtFs > floorFs)) floorFs = fullAtFs;
  }
  return floorFs;
}
