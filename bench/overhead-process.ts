/** Measures one endpoint in a process of its own: times of paired rounds, or bytes allocated (needs --expose-gc and a young generation that holds it all). */
import { getHeapStatistics } from 'node:v8';
import { benchClient } from './bed.js';
import { childArguments, report } from './inside-child.js';
import { median } from './latency.js';
import { subjects } from './overhead-subjects.js';
import { pairedRounds } from './paired-rounds.js';

export interface OverheadArguments {
  readonly measure: 'time' | 'allocation';
  readonly endpoint: string;
  readonly tableName: string;
  readonly warmUpCalls: number;
  readonly rounds: number;
  readonly callsPerRound: number;
}

const { measure, endpoint, tableName, warmUpCalls, ...rounds } = childArguments<OverheadArguments>();
const client = benchClient(endpoint);
const { bare, acquire, smallest } = await subjects(client, tableName);
const calls = { bare, acquire, smallest };
for (const call of Object.values(calls)) for (let done = 0; done < warmUpCalls; done += 1) await call();
report(measure === 'time' ? await pairedRounds(calls, rounds) : await allocated());
client.destroy();

/** Bytes allocated by a call, by subject: the median of batches small enough for the young generation, each behind a full collection. */
async function allocated(): Promise<Record<string, number>> {
  const bytes: Record<string, number> = {};
  for (const [name, call] of Object.entries(calls)) {
    const batches: number[] = [];
    for (let round = 0; round < rounds.rounds; round += 1) {
      globalThis.gc?.();
      const before = getHeapStatistics().used_heap_size;
      for (let done = 0; done < rounds.callsPerRound; done += 1) await call();
      batches.push((getHeapStatistics().used_heap_size - before) / rounds.callsPerRound);
    }
    bytes[name] = median(batches);
  }
  return bytes;
}
