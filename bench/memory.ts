import type { Bed } from './bed.js';
import { reportOf } from './child.js';
import type { MemoryArguments, MemoryReport } from './memory-process.js';
import { type Section, shown } from './report.js';

const BYTES_PER_MB = 1_000_000;

/** What a process keeps in memory of the buckets that it has seen. */
export async function memory({ sized }: Bed): Promise<Section> {
  const buckets = sized(100_000, 5_000);
  const rows: string[][] = [];
  for (const limits of ['given', 'stored'] as const) {
    const args: MemoryArguments = { buckets, limits };
    const { liveBytes, afterTwiceBytes } = await reportOf<MemoryReport>({
      script: './memory-process.ts',
      flags: ['--expose-gc'],
      args,
    });
    rows.push([
      limits === 'given' ? 'Headgate, limits in the code' : 'Headgate, limits stored in the table',
      shown(liveBytes / buckets),
      shown(liveBytes / BYTES_PER_MB, 1),
      shown(afterTwiceBytes / BYTES_PER_MB, 1),
    ]);
  }
  rows.push(['rate-limiter-flexible', '0', '0.0', '0.0']);
  return {
    title: 'Memory',
    method: [
      `Heap of one limiter after it has granted ${shown(buckets)} requests, each of another entity with two limits, and after as many again; in a process of its own, after full collections, over a client that answers without a database.`,
    ],
    tables: [
      {
        title: '',
        columns: ['who', 'bytes a bucket', `MB at ${shown(buckets)} buckets`, `MB at ${shown(2 * buckets)} buckets`],
        rows,
      },
    ],
    remarks: [
      'Headgate remembers where each bucket stood, to guess the next write right. It remembers 100,000 buckets at most, those used last; a forgotten one costs at most one more write.',
      'rate-limiter-flexible keeps nothing of a key, unless `inMemoryBlockOnConsumed` is set: there it is the smaller one. That row is what its source says, not a measurement.',
    ],
    targets: [],
  };
}
