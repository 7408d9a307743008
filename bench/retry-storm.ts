import { randomUUID } from 'node:crypto';
import { Limit, RateLimiter } from '../lib/index.js';
import { type Bed, benchClient, headgateTable } from './bed.js';
import { CallCounter } from './call-counter.js';
import { closedLoop } from './latency.js';
import { consumed, peerLimiter, peerTable } from './peer.js';
import { type Section, shown } from './report.js';

const CAPACITY = 100;
const MOST_WRITES_PER_SECOND = 5;

/** Callers who do not wait: on an empty bucket, each tries again the moment it is denied. */
export async function retryStorm({ endpoint, sized }: Bed): Promise<Section> {
  const forMs = sized(2_000, 1_000);
  const client = benchClient(endpoint);
  const counter = new CallCounter(client);
  const rows: string[][] = [];
  let mostPerSecond = 0;
  for (const callers of [1, 50]) {
    const ours = await headgateTries();
    mostPerSecond = Math.max(mostPerSecond, await storm('Headgate', callers, ours));
  }
  for (const callers of [1, 50]) {
    await storm('rate-limiter-flexible', callers, await peerTries(0));
    await storm('rate-limiter-flexible, inMemoryBlockOnConsumed', callers, await peerTries(CAPACITY));
  }
  client.destroy();
  return {
    title: 'Retry storm on an empty bucket',
    method: [`A bucket without tokens; callers in a tight loop for ${shown(forMs / 1_000)} s, in one process.`],
    tables: [{ title: '', columns: ['who', 'callers', 'tries answered', 'writes/s', 'WCU/s'], rows }],
    remarks: [
      'Headgate remembers a denial for 250 ms at most, so that tokens given back by another process are found; at least every 250 ms one try asks the database.',
      'rate-limiter-flexible writes twice for each try as it comes. With `inMemoryBlockOnConsumed` it answers from memory until the window ends, and then is the cheaper one here: no write at all. What another process gives back in that time, it does not see.',
    ],
    targets: [
      {
        what: 'retry storm on an empty bucket, writes of a process',
        promised: `at most ${MOST_WRITES_PER_SECOND} a second`,
        measured: `${shown(mostPerSecond, 1)} a second`,
        met: mostPerSecond <= MOST_WRITES_PER_SECOND,
      },
    ],
  };

  async function headgateTries() {
    const limiter = new RateLimiter({ client, tableName: await headgateTable(client) });
    const limits = [Limit.perDay('rpd', CAPACITY), Limit.perDay('tpd', 1_000 * CAPACITY)];
    const one = { entity: randomUUID(), resource: 'gpt-4', limits };
    await limiter.acquire({ ...one, consume: { rpd: CAPACITY } });
    return () => limiter.tryAcquire({ ...one, consume: { rpd: 1, tpd: 500 } });
  }

  async function peerTries(inMemoryBlockOnConsumed: number) {
    const tableName = await peerTable(client);
    const limiter = peerLimiter({ client, tableName, points: CAPACITY, durationSeconds: 86_400, inMemoryBlockOnConsumed });
    await limiter.consume('key', CAPACITY);
    return () => consumed(limiter, 'key');
  }

  /** Writes a second. */
  async function storm(who: string, callers: number, call: () => Promise<unknown>): Promise<number> {
    counter.take();
    const started = performance.now();
    const { calls: tries } = await closedLoop({ callers, forMs, warmUpMs: 0, call });
    const seconds = (performance.now() - started) / 1_000;
    const { calls, writeUnits } = counter.take();
    rows.push([who, shown(callers), shown(tries), shown(calls / seconds, 1), shown(writeUnits / seconds, 1)]);
    return calls / seconds;
  }
}
