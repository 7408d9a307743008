import { randomUUID } from 'node:crypto';
import { FakeClock, Limit, RateLimiter } from '../lib/index.js';
import { type Bed, benchClient, headgateTable } from './bed.js';
import { CallCounter } from './call-counter.js';
import { consumed, peerLimiter, peerTable } from './peer.js';
import { type Section, shown } from './report.js';

const PROCESSES = 4;
const DEADLINE_MS = 60_000;

/** Far more callers than tokens, all at once, over several limiters that know nothing of each other. */
export async function exactness({ endpoint, sized }: Bed): Promise<Section> {
  const [callers, capacity] = sized([5_000, 1_000], [500, 100]);
  const client = benchClient(endpoint);
  const counter = new CallCounter(client);
  const ours = await headgateCallers();
  const peer = await peerCallers();
  client.destroy();
  return {
    title: 'Admission is exact',
    method: [
      `${shown(callers)} callers at once, one token each, on a capacity of ${shown(capacity)}, over ${PROCESSES} limiters as so many processes have them. Headgate's clock stands still, so that no token comes back.`,
    ],
    tables: [
      {
        title: '',
        columns: ['who', 'granted', 'denied', 'calls', 'WCU'],
        rows: [ours.row, peer.row],
      },
    ],
    remarks: ['Both are exact. Headgate’s limiters take what fits in a few writes, and answer the rest from the answer to one.'],
    targets: [
      {
        what: `${shown(callers)} callers on a capacity of ${shown(capacity)}: granted`,
        promised: shown(capacity),
        measured: shown(ours.granted),
        met: ours.granted === capacity,
      },
    ],
  };

  async function headgateCallers() {
    const tableName = await headgateTable(client);
    const clock = new FakeClock();
    const limiters = Array.from(
      { length: PROCESSES },
      () => new RateLimiter({ client, tableName, clock, deadlineMs: DEADLINE_MS }),
    );
    const limits = [Limit.perHour('rph', capacity)];
    const one = { entity: randomUUID(), resource: 'gpt-4', limits, consume: { rph: 1 } };
    return storm('Headgate', async (caller) => (await limiters[caller % PROCESSES]?.tryAcquire(one))?.granted === true);
  }

  async function peerCallers() {
    const keyPrefix = randomUUID();
    const tableName = await peerTable(client);
    const limiters = Array.from({ length: PROCESSES }, () => peerLimiter({ client, tableName, points: capacity, keyPrefix }));
    return storm('rate-limiter-flexible', async (caller) => {
      const limiter = limiters[caller % PROCESSES];
      return limiter !== undefined && consumed(limiter, 'key');
    });
  }

  async function storm(who: string, call: (caller: number) => Promise<boolean>) {
    counter.take();
    const answers = await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
    const granted = answers.filter((answer) => answer).length;
    const { calls, writeUnits } = counter.take();
    return { granted, row: [who, shown(granted), shown(callers - granted), shown(calls), shown(writeUnits)] };
  }
}
