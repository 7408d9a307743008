import { randomUUID } from 'node:crypto';
import { Limit, RateLimiter } from '../lib/index.js';
import { bareUpdate } from './bare-update.js';
import { type Bed, benchClient, delayCalls, headgateTable } from './bed.js';
import { ascending, closedLoop, quantile } from './latency.js';
import { consumed, peerLimiter, peerTable } from './peer.js';
import { type Section, shown } from './report.js';

const ROUND_TRIP_MS = 5;
const CALLERS = [1, 50] as const;
/** Of every call before the first round. */
const WARM_UP_MS = 500;

interface Rounds {
  readonly p50Ms: number[];
  readonly p99Ms: number[];
  readonly perSecond: number[];
}

/** Latency of a decision behind a network of 5 ms. */
export async function roundTripLatency({ endpoint, sized }: Bed): Promise<Section> {
  const client = benchClient(endpoint, { sockets: 200 });
  delayCalls(client, ROUND_TRIP_MS);
  const tableName = await headgateTable(client);
  const limiter = new RateLimiter({ client, tableName, deadlineMs: 30_000 });
  const peer = peerLimiter({ client, tableName: await peerTable(client) });
  const limits = ['rpm', 'tpm'].map((name) => Limit.custom({ name, capacity: 1e10, refillAmount: 60, refillPeriodMs: 60_000 }));
  const acquire = (entity: string) => limiter.acquire({ entity, resource: 'gpt-4', limits, consume: { rpm: 1, tpm: 500 } });
  const entities = Array.from({ length: Math.max(...CALLERS) }, () => randomUUID());
  const bare = entities.map((entity) => bareUpdate(client, tableName, entity));
  const own = (caller: number) => entities[caller] ?? '';
  const hot = randomUUID();
  const calls: Readonly<Record<string, (caller: number) => Promise<unknown>>> = {
    'bare UpdateItem, a key each': (caller) => bare[caller]?.() ?? Promise.resolve(),
    'Headgate, a key each': (caller) => acquire(own(caller)),
    'rate-limiter-flexible, a key each': (caller) => consumed(peer, own(caller)),
    'Headgate, one key': () => acquire(hot),
    'rate-limiter-flexible, one key': () => consumed(peer, hot),
  };
  const rows: string[][] = [];
  for (const callers of CALLERS) {
    const measured = await inTurns(calls, callers, sized({ rounds: 5, forMs: 1_000 }, { rounds: 2, forMs: 300 }));
    for (const [name, rounds] of Object.entries(measured)) {
      const [p50Ms, p99Ms, perSecond] = [middle(rounds.p50Ms), middle(rounds.p99Ms), middle(rounds.perSecond)];
      rows.push([name, shown(callers), shown(p50Ms, 1), shown(p99Ms, 1), shown(perSecond)]);
    }
  }
  client.destroy();
  return {
    title: `Latency behind a round trip of ${ROUND_TRIP_MS} ms`,
    method: [
      `Every call of the client waits ${ROUND_TRIP_MS} ms before it goes to DynamoDB Local, whose own time comes on top: the bare \`UpdateItem\` shows how much that is. Closed loops, in rounds by turns, warm buckets; medians of the rounds’ quantiles. Headgate with two limits, rate-limiter-flexible with one.`,
    ],
    tables: [{ title: '', columns: ['call', 'callers', 'p50 ms', 'p99 ms', 'calls/s'], rows }],
    remarks: [
      'A key each, nothing can be shared: Headgate waits one round trip, rate-limiter-flexible two.',
      'One key: Headgate’s callers share writes, and one who arrives while a write is under way waits for it and for his own. At 50 callers that is the median.',
    ],
    targets: [],
  };
}

const middle = (values: readonly number[]): number => quantile(ascending(values), 0.5);

async function inTurns(
  calls: Readonly<Record<string, (caller: number) => Promise<unknown>>>,
  callers: number,
  { rounds, forMs }: { readonly rounds: number; readonly forMs: number },
): Promise<Readonly<Record<string, Rounds>>> {
  const measured = Object.fromEntries(
    Object.keys(calls).map((name) => [name, { p50Ms: [], p99Ms: [], perSecond: [] } as Rounds]),
  );
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, call] of Object.entries(calls)) {
      const load = await closedLoop({ callers, forMs, warmUpMs: round === 0 ? WARM_UP_MS : 0, call });
      for (const quantity of ['p50Ms', 'p99Ms', 'perSecond'] as const) measured[name]?.[quantity].push(load[quantity]);
    }
  }
  return measured;
}
