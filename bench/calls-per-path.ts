import { randomUUID } from 'node:crypto';
import { type DynamoDB, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { Limit } from '../lib/index.js';
import { bucketItemKey } from '../lib/store/bucket-expressions.js';
import { type Bed, benchClient, headgateTable } from './bed.js';
import { CallCounter, type Sent } from './call-counter.js';
import { itemSizeBytes } from './item-size.js';
import { costs, firstLimits, headgate, type Prepared, paths, RESOURCE } from './paths.js';
import { peerLimiter, peerTable } from './peer.js';
import { counted, type Section, shown, type Table, type Target } from './report.js';

/** Calls and capacity of each path, counted at the SDK's client. */
export async function callsPerPath({ endpoint }: Bed): Promise<Section> {
  const client = benchClient(endpoint);
  const counter = new CallCounter(client, { inStep: true });
  const tables = { headgate: await headgateTable(client), peer: await peerTable(client) };
  const count = async (prepared: Prepared | undefined): Promise<Sent | undefined> => {
    const step = await prepared?.();
    if (step === undefined) return undefined;
    counter.take();
    await step();
    return counter.take();
  };
  const counts = new Map<string, { readonly headgate: Sent | undefined; readonly peer: Sent | undefined }>();
  for (const { name, headgate: ours, peer } of paths(client, tables.headgate, tables.peer)) {
    counts.set(name, { headgate: await count(ours), peer: await count(peer) });
  }
  const sizes = await itemSizes(client, tables);
  client.destroy();
  return {
    title: 'Calls and capacity',
    method: [
      'Counted at the client, every attempt; answers are handed over once all calls under way have theirs, so that round trips can be counted as well. Units are those that DynamoDB Local reports; it reports none for a failed condition, which counts as the one write unit that AWS charges, nor for items of a batch that are not there, which count as half a read unit each. ' +
        'rate-limiter-flexible has one limit a limiter: its rows of several limits or levels are a `RateLimiterUnion` of so many.',
    ],
    tables: [
      {
        title: '',
        columns: [
          'path',
          'Headgate: calls',
          'round trips',
          'WCU',
          'RCU',
          'rate-limiter-flexible: calls',
          'round trips',
          'WCU',
          'RCU',
        ],
        rows: [...counts].map(([name, { headgate: ours, peer }]) => [name, ...cells(ours), ...cells(peer)]),
      },
      sizes.table,
    ],
    remarks: [
      'A `RateLimiterUnion` is not one decision: where one of its limiters refuses, the others stay charged, and a refused request is charged as well. Headgate gives back what it took, which is the third call where the upper level denies as nobody here knew; while the denial is remembered, further requests cost no call.',
      'Limits stored in the table cost a read when they are not cached (60 s by default); rate-limiter-flexible stores none.',
      'After a refill: Headgate’s drained bucket holds what half a minute brought back; rate-limiter-flexible has fixed windows, and waits for the next.',
      'A process that meets a bucket in use for the first time guesses that it is full, and learns better by the write that fails.',
      'The numbers of `rate-limiter-flexible` do not depend on the number of processes; Headgate’s hold where few processes share a bucket, and the simulation below shows what many cost.',
      'A bucket of Headgate is the larger item. Both cost one unit a write up to 1,024 bytes.',
    ],
    targets: [...callTargets(counts), sizes.target],
  };
}

function cells(sent: Sent | undefined): readonly string[] {
  if (sent === undefined) return ['-', '-', '-', '-'];
  return [shown(sent.calls), shown(sent.roundTrips), shown(sent.writeUnits), shownUnits(sent.readUnits)];
}

const shownUnits = (units: number): string => shown(units, Number.isInteger(units) ? 0 : 1);

/** What is promised of a path, in calls, round trips and write units; no read units. */
const PROMISED: readonly (readonly [path: string, calls: number, roundTrips: number, writeUnits: number])[] = [
  ['warm acquire, 2 limits', 1, 1, 1],
  ['warm acquire, 8 limits', 1, 1, 1],
  ['first acquire of an entity, limits in the code', 1, 1, 1],
  ['first acquire of an entity, limits stored, cached here', 1, 1, 1],
  ['acquire on a drained bucket after a refill', 1, 1, 1],
  ['denied once more, within 250 ms', 0, 0, 0],
  ['acquire + settle', 2, 2, 2],
  ['acquire + rollback', 2, 2, 2],
  ['50 simultaneous acquires of one process on one key', 1, 1, 1],
  ['two levels, warm', 2, 1, 2],
  ['three levels, first acquire, limits and levels cached here', 3, 1, 3],
];

function callTargets(counts: ReadonlyMap<string, { readonly headgate: Sent | undefined }>): readonly Target[] {
  return PROMISED.map(([path, calls, roundTrips, writeUnits]) => {
    const sent = counts.get(path)?.headgate;
    if (sent === undefined) throw new Error(`no such path: ${path}`);
    return {
      what: path,
      promised: sentText({ calls, roundTrips, writeUnits, readUnits: 0 }),
      measured: sentText(sent),
      met: sent.calls <= calls && sent.roundTrips <= roundTrips && sent.writeUnits <= writeUnits && sent.readUnits === 0,
    };
  });
}

const sentText = ({ calls, roundTrips, writeUnits, readUnits }: Sent): string =>
  `${counted(calls, 'call')}, ${counted(roundTrips, 'round trip')}, ${writeUnits} WCU, ${readUnits} RCU`;

const MOST_BYTES = 1_024;
/** So large that counters and instants have as many digits as they get in years. */
const YEARS_OF_USE = 123_456_789_012_345;

async function itemSizes(
  client: DynamoDB,
  tables: { headgate: string; peer: string },
): Promise<{ table: Table; target: Target }> {
  const rows: string[][] = [];
  let eightBytes = Number.NaN;
  for (const count of [1, 2, 4, 8]) {
    const bytes = await bucketBytes(client, tables.headgate, firstLimits(count));
    if (count === 8) eightBytes = bytes;
    rows.push([`Headgate, ${count === 1 ? '1 limit' : `${count} limits`}`, shown(bytes)]);
  }
  const long = Array.from({ length: 8 }, (_, index) => Limit.perMinute(`${index}`.padEnd(64, 'x'), 1_000));
  rows.push(['Headgate, 8 limits, each with a name of 64 characters', shown(await bucketBytes(client, tables.headgate, long))]);
  for (const held of [1, 10, 30, 50, 100, 1_000]) {
    rows.push([
      `Headgate, 2 limits and ${counted(held, 'slot')} of a concurrency limit in use`,
      shown(await heldBytes(client, tables.headgate, held)),
    ]);
  }
  rows.push(['rate-limiter-flexible, 1 limit', shown(await peerBytes(client, tables.peer))]);
  return {
    table: {
      title: 'Bytes of an item: entity of 36 characters, resource of 23, counters of 15 digits',
      columns: ['item', 'bytes'],
      rows,
    },
    target: {
      what: 'a bucket of 8 limits',
      promised: `under ${shown(MOST_BYTES)} bytes`,
      measured: `${shown(eightBytes)} bytes`,
      met: eightBytes < MOST_BYTES,
    },
  };
}

async function bucketBytes(client: DynamoDB, tableName: string, limits: readonly Limit[]): Promise<number> {
  const { limiter, namespace } = headgate(client, tableName);
  const entity = randomUUID();
  const large = limits.map(({ name }) => {
    return Limit.custom({ name, capacity: 3 * YEARS_OF_USE, refillAmount: YEARS_OF_USE, refillPeriodMs: 86_400_000 });
  });
  const one = { entity, resource: RESOURCE, limits: large };
  await limiter.acquire({ ...one, consume: costs(large, YEARS_OF_USE), maxWaitMs: 1 });
  await limiter.acquire({ ...one, consume: costs(large, YEARS_OF_USE) });
  await limiter.tryAcquire({ ...one, consume: costs(large, 2 * YEARS_OF_USE) });
  await (await limiter.acquire({ ...one, consume: costs(large, 1) })).settle(costs(large, 2));
  const key = bucketItemKey({ namespace: namespace, resource: RESOURCE, entity, shard: 0 });
  return sizeOf(client, tableName, key);
}

async function heldBytes(client: DynamoDB, tableName: string, held: number): Promise<number> {
  const { limiter, namespace } = headgate(client, tableName);
  const entity = randomUUID();
  const limits = [...firstLimits(2), Limit.concurrent('inflight', 1_000, { leaseMs: 60_000 })];
  const one = { entity, resource: RESOURCE, limits, consume: { ...costs(firstLimits(2), 1), inflight: 1 } };
  await Promise.all(Array.from({ length: held }, () => limiter.acquire(one)));
  return sizeOf(client, tableName, bucketItemKey({ namespace, resource: RESOURCE, entity, shard: 0 }));
}

async function peerBytes(client: DynamoDB, tableName: string): Promise<number> {
  const keyPrefix = RESOURCE;
  const entity = randomUUID();
  await peerLimiter({ client, tableName, keyPrefix, points: 2 * YEARS_OF_USE }).consume(entity, YEARS_OF_USE);
  return sizeOf(client, tableName, { key: { S: `${keyPrefix}:${entity}` } });
}

async function sizeOf(client: DynamoDB, tableName: string, key: ReturnType<typeof bucketItemKey>): Promise<number> {
  const { Item: item } = await client.send(new GetItemCommand({ TableName: tableName, Key: key }));
  if (item === undefined) throw new Error(`no item ${JSON.stringify(key)} in ${tableName}`);
  return itemSizeBytes(item);
}
