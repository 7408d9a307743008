/** Runs one part that measures times in a process of its own, compiled as users run the library; reports its section. */
import { firstByte } from './first-byte.js';
import { groupCommit } from './group-commit.js';
import { childArguments, report } from './inside-child.js';
import { manifest } from './manifest.js';
import { roundTripLatency } from './round-trip-latency.js';

const PARTS = { 'group-commit': groupCommit, 'round-trip': roundTripLatency, 'first-byte': firstByte, manifest };

export interface TimedPart {
  readonly part: keyof typeof PARTS;
  readonly endpoint: string;
  readonly short: boolean;
}

const { part, endpoint, short } = childArguments<TimedPart>();
report(await PARTS[part]({ endpoint, sized: (full, few) => (short ? few : full) }));
process.once('disconnect', () => process.exit());
