import { randomUUID } from 'node:crypto';
import type { DynamoDB } from '@aws-sdk/client-dynamodb';
import { Contended, Limit, RateLimiter } from '../lib/index.js';
import { bareUpdate } from './bare-update.js';
import { type Bed, benchClient, delayCalls, headgateTable } from './bed.js';
import { closedLoop, type Load, median } from './latency.js';
import { consumed, peerLimiter, peerTable } from './peer.js';
import { type Section, shown, type Table } from './report.js';

/** Long enough for the slowest queue of writers that do not share. */
const DEADLINE_MS = 60_000;
const ROUND_TRIP_MS = 5;
const SHARED_CALLERS = 500;

/** Both hold all that is asked. In use: what is taken is hardly refilled, so that tokens are missing all the time. Hardly used: full again within microseconds. */
const inUse = (name: string) => Limit.custom({ name, capacity: 1e8, refillAmount: 1, refillPeriodMs: 1_000_000 });
const hardlyUsed = (name: string) => Limit.custom({ name, capacity: 1e8, refillAmount: 1e8, refillPeriodMs: 60_000 });
const twoLimits = (of: typeof inUse) => [of('rpm'), of('tpm')];

/** A load, with the writes and grants of all that was done, warm-up included. */
interface Written extends Load {
  readonly writes: number;
  readonly granted: number;
  readonly gaveUp: number;
}

interface HotKey {
  readonly client: DynamoDB;
  readonly tableName: string;
  readonly times: { readonly forMs: number; readonly warmUpMs: number };
}

/** One hot key: callers of one process that share their writes, and as many that do not. */
export async function groupCommit(bed: Bed): Promise<Section> {
  const local = await hotKey(bed, 0);
  const far = await hotKey(bed, ROUND_TRIP_MS);
  const { shared: sharedLocal, alone } = local;
  const fewer = perAcquire(alone) / perAcquire(sharedLocal);
  const faster = sharedLocal.perSecond / alone.perSecond;
  return {
    title: 'Group commit: one hot key',
    method: [
      'Callers of one process draw on one bucket of two limits in a closed loop: each calls again as soon as it is answered. Latencies in units of a round trip, the median of bare `UpdateItem` calls one at a time, a round of them before every load.',
      `"Each its own limiter": as many callers, each with a \`RateLimiter\` of its own, as so many processes would have; nothing is shared but the bucket. A bucket in use has some tokens missing all the time; a bucket hardly used is full again between two requests, which writers that do not share dispute.`,
    ],
    tables: [local.table, far.table],
    remarks: [
      'At 5,000 callers the processor is the limit: latency is the time that this process takes to compose and answer so many.',
      `Round trips to DynamoDB Local as it is differ by more than a network's: a lone caller's p99 is ${shown(local.lone.p99Ms / local.roundTripMs, 1)} of them, that of ${SHARED_CALLERS} is ${shown(sharedLocal.p99Ms / local.roundTripMs, 1)}.`,
      'rate-limiter-flexible writes twice for each request, and all of them wait in line at one item.',
    ],
    targets: [
      {
        what: `one hot key, ${SHARED_CALLERS} callers: writes, against each its own limiter`,
        promised: 'at least 100 x fewer',
        measured: `${shown(fewer)} x fewer`,
        met: fewer >= 100,
      },
      {
        what: `one hot key, ${SHARED_CALLERS} callers: acquires a second, against each its own limiter`,
        promised: 'at least 30 x',
        measured: `${shown(faster)} x`,
        met: faster >= 30,
      },
      {
        what: `one hot key, ${SHARED_CALLERS} callers: writes an acquire`,
        promised: 'at most 0.01',
        measured: shown(perAcquire(sharedLocal), 4),
        met: perAcquire(sharedLocal) <= 0.01,
      },
      {
        what: `one hot key, ${SHARED_CALLERS} callers, ${ROUND_TRIP_MS} ms added: p99`,
        promised: 'at most 3 round trips',
        measured: `${shown(far.shared.p99Ms / far.roundTripMs, 1)} round trips`,
        met: far.shared.p99Ms / far.roundTripMs <= 3,
      },
    ],
  };
}

async function hotKey({ endpoint, sized }: Bed, addedMs: number) {
  const client = benchClient(endpoint, { sockets: SHARED_CALLERS });
  if (addedMs > 0) delayCalls(client, addedMs);
  const times = sized({ forMs: 2_000, warmUpMs: 500 }, { forMs: 400, warmUpMs: 500 });
  const hot = { client, tableName: await headgateTable(client), times };
  const bare = bareUpdate(client, hot.tableName);
  await closedLoop({ callers: 1, forMs: sized(2_000, 300), warmUpMs: 0, call: bare });
  const roundTripsMs: number[] = [];
  const loads: { readonly name: string; readonly load: Written }[] = [];
  /** Behind a round of bare calls: what a round trip is, all through the run. */
  const add = async (name: string, measured: () => Promise<Written>) => {
    roundTripsMs.push((await closedLoop({ callers: 1, forMs: sized(600, 150), warmUpMs: 0, call: bare })).p50Ms);
    const load = await measured();
    loads.push({ name, load });
    return load;
  };
  const who = `Headgate, ${callersText(SHARED_CALLERS)}`;
  const shared = await add(who, () => sharing(hot, SHARED_CALLERS, inUse));
  const lone = await add(`Headgate, ${callersText(1)}`, () => sharing(hot, 1, inUse));
  for (const callers of sized([50, 5_000], [])) {
    await add(`Headgate, ${callersText(callers)}`, () => sharing(hot, callers, inUse));
  }
  const alone = await add(`${who}, each its own limiter`, () => notSharing(hot, SHARED_CALLERS, inUse));
  if (addedMs === 0) {
    await add(`${who}, bucket hardly used`, () => sharing(hot, SHARED_CALLERS, hardlyUsed));
    await add(`${who}, each its own limiter, bucket hardly used`, () => notSharing(hot, SHARED_CALLERS, hardlyUsed));
  }
  for (const callers of sized([1, 50, 500], [500])) {
    await add(`rate-limiter-flexible, ${callersText(callers)}`, () => peerCallers(hot, callers));
  }
  client.destroy();
  const roundTripMs = median(roundTripsMs);
  const rows = loads.map(({ name, load }) => row(name, load, roundTripMs));
  return { table: tableOf(rows, roundTripMs, addedMs), roundTripMs, shared, lone, alone };
}

function tableOf(rows: readonly (readonly string[])[], roundTripMs: number, addedMs: number): Table {
  const where = addedMs === 0 ? 'DynamoDB Local as it is' : `${addedMs} ms added to every call`;
  return {
    title: `${where}: a round trip is ${shown(roundTripMs, 2)} ms`,
    columns: ['who', 'acquires/s', 'writes an acquire', 'gave up', 'p50, round trips', 'p99, round trips', 'p99, ms'],
    rows,
  };
}

function row(name: string, load: Written, roundTripMs: number): string[] {
  return [
    name,
    shown(load.perSecond),
    shown(perAcquire(load), perAcquire(load) < 0.1 ? 4 : 3),
    shown(load.gaveUp),
    shown(load.p50Ms / roundTripMs, 1),
    shown(load.p99Ms / roundTripMs, 1),
    shown(load.p99Ms, 1),
  ];
}

const callersText = (callers: number): string => (callers === 1 ? '1 caller' : `${shown(callers)} callers`);
const perAcquire = ({ writes, granted }: Written): number => writes / granted;

const request = (of: typeof inUse) => {
  return { entity: randomUUID(), resource: 'gpt-4', consume: { rpm: 1, tpm: 5 }, limits: twoLimits(of) };
};

async function sharing({ client, tableName, times }: HotKey, callers: number, of: typeof inUse): Promise<Written> {
  const limiter = new RateLimiter({ client, tableName, deadlineMs: DEADLINE_MS });
  const one = request(of);
  const load = await closedLoop({ callers, ...times, call: () => limiter.acquire(one) });
  return { ...load, ...limiter.stats(), gaveUp: 0 };
}

async function notSharing({ client, tableName, times }: HotKey, callers: number, of: typeof inUse): Promise<Written> {
  const limiters = Array.from({ length: callers }, () => new RateLimiter({ client, tableName, deadlineMs: DEADLINE_MS }));
  const one = request(of);
  // Every limiter has seen the bucket in use before it is measured.
  await limiters[0]?.acquire(one);
  const { entity, resource, limits } = one;
  await Promise.all(limiters.map((limiter) => limiter.available({ entity, resource, limits })));
  let gaveUp = 0;
  const load = await closedLoop({
    callers,
    ...times,
    call: async (caller) => {
      try {
        await limiters[caller]?.acquire(one);
      } catch (error) {
        if (!(error instanceof Contended)) throw error;
        gaveUp += 1;
      }
    },
  });
  const stats = limiters.map((limiter) => limiter.stats());
  const total = (of: 'writes' | 'granted') => stats.reduce((sum, each) => sum + each[of], 0);
  return { ...load, writes: total('writes'), granted: total('granted'), gaveUp };
}

async function peerCallers({ client, times }: HotKey, callers: number): Promise<Written> {
  const limiter = peerLimiter({ client, tableName: await peerTable(client) });
  let writes = 0;
  client.middlewareStack.add(
    (next) => (args) => {
      writes += 1;
      return next(args);
    },
    { step: 'initialize', name: 'countWrites' },
  );
  let granted = 0;
  const call = async () => {
    if (await consumed(limiter, 'key')) granted += 1;
  };
  const load = await closedLoop({ callers, ...times, call });
  client.middlewareStack.remove('countWrites');
  return { ...load, writes, granted, gaveUp: 0 };
}
