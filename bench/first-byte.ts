import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { limitedFetch } from '../lib/clients/index.js';
import { HeadgateAdmin, Limit, RateLimiter } from '../lib/index.js';
import { bareUpdate } from './bare-update.js';
import { type Bed, benchClient, delayCalls, headgateTable } from './bed.js';
import { CallCounter } from './call-counter.js';
import { type Deployed, deployed } from './deployed-functions.js';
import { median } from './latency.js';
import { counted, type Section, shown } from './report.js';

const ROUND_TRIP_MS = 50;
/** Beside the round trip: what is left for the work of a call and its connections. */
const MOST_ROUND_TRIPS = 1.25;
const MODEL = 'gpt-4o';
const NAMESPACE = 'default';
const ASKED = {
  model: MODEL,
  stream: true,
  stream_options: { include_usage: true },
  messages: [{ role: 'user', content: 'Hello?!!' }],
};
const WORD = 'data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\n';
const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}\n\ndata: [DONE]\n\n';

/** An answer whose first byte is here. */
export interface Begun {
  readonly tookMs: number;
  /** Reads the rest, until all of it is settled. */
  readonly end: () => Promise<unknown>;
}

interface Measured {
  readonly name: string;
  /** What it is compared with, by its name; undefined: nothing, it is bare. */
  readonly against?: string;
  readonly call: () => Promise<Begun>;
}

/** How much later an answer begins because its call is limited, where every call of the database takes 50 ms more. */
export async function firstByte({ endpoint, sized }: Bed): Promise<Section> {
  const provider = await startProvider();
  const url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  const table = benchClient(endpoint);
  const tableName = await headgateTable(table);
  const admin = new HeadgateAdmin({ client: table, tableName, namespace: NAMESPACE });
  const entity = randomUUID();
  await admin.setLimits({ entity, resource: MODEL }, [Limit.perMinute('rpm', 1e6), Limit.perMinute('tpm', 1e9)]);
  await admin.setLimits({ entity, resource: 'openai' }, [Limit.perMinute('rpm', 1e6)]);
  const { secret } = await admin.createKey({ entity });
  const functions = await deployed({ endpoint, tableName, providerUrl: url, body: JSON.stringify(ASKED), secret, entity });

  const { client } = functions;
  delayCalls(client, ROUND_TRIP_MS);
  const counter = new CallCounter(client);
  const process = () => new RateLimiter({ client, tableName, namespace: NAMESPACE, deadlineMs: 30_000 });
  const limited = (limiter: RateLimiter) => limitedFetch({ limiter, entity });
  const warm = limited(process());
  const write = bareUpdate(client, tableName);
  const subjects: readonly Measured[] = [
    { name: WRITE, call: async () => ({ tookMs: await timed(write), end: async () => {} }) },
    ...subjectsOf(`${url}/v1/chat/completions`, functions, { warm, cold: () => limited(process()) }),
  ];
  const found = await inTurns(subjects, counter, sized(60, 10));
  for (const one of [client, table]) one.destroy();
  provider.close();
  provider.closeAllConnections();
  return section(subjects, found);
}

/** A provider that begins at once, and ends in the next turn. */
async function startProvider(): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(WORD);
      setImmediate(() => response.end(USAGE));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const WRITE = 'a bare UpdateItem, which is a round trip';
const FETCH = 'fetch';
const LIMITED = 'limitedFetch';
const FORWARDED = 'a function that forwards, and limits nothing';
const GATEWAY = 'the gateway alone, on the model alone';
const AUTHORIZED = 'the authorizer and the gateway, on model and provider';

function subjectsOf(
  url: string,
  { forward, gateway, authorizedGateway }: Deployed,
  { warm, cold }: { readonly warm: typeof fetch; readonly cold: () => typeof fetch },
): readonly Measured[] {
  return [
    { name: FETCH, call: () => fetched(fetch, url) },
    { name: LIMITED, against: FETCH, call: () => fetched(warm, url) },
    { name: 'limitedFetch, the first call of a process', against: FETCH, call: () => fetched(cold(), url) },
    { name: FORWARDED, call: forward },
    { name: GATEWAY, against: FORWARDED, call: gateway },
    { name: AUTHORIZED, against: FORWARDED, call: authorizedGateway },
  ];
}

async function fetched(send: typeof fetch, url: string): Promise<Begun> {
  const startedMs = performance.now();
  const answer = await send(url, {
    method: 'POST',
    body: JSON.stringify(ASKED),
    headers: { 'content-type': 'application/json' },
  });
  const reader = (answer.body ?? new ReadableStream<Uint8Array>()).getReader();
  await reader.read();
  return {
    tookMs: performance.now() - startedMs,
    async end() {
      while (!(await reader.read()).done);
    },
  };
}

interface Rounds {
  readonly tookMs: number[];
  readonly calls: number[];
}

/** All subjects by turns, forwards and backwards; the first two rounds are not measured. */
async function inTurns(
  subjects: readonly Measured[],
  counter: CallCounter,
  rounds: number,
): Promise<ReadonlyMap<string, Rounds>> {
  const found = new Map(subjects.map(({ name }) => [name, { tookMs: [], calls: [] } as Rounds]));
  for (let round = -2; round < rounds; round += 1) {
    for (const { name, call } of round % 2 === 0 ? subjects : subjects.toReversed()) {
      counter.take();
      const { tookMs, end } = await call();
      const { calls } = counter.take();
      await end();
      if (round < 0) continue;
      found.get(name)?.tookMs.push(tookMs);
      found.get(name)?.calls.push(calls);
    }
  }
  return found;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

interface Result {
  readonly ms: number;
  readonly calls: number;
  /** Later than what it is compared with, in round trips; undefined: it is not compared. */
  readonly later: number | undefined;
}

function section(subjects: readonly Measured[], found: ReadonlyMap<string, Rounds>): Section {
  const roundTripMs = median(found.get(WRITE)?.tookMs ?? []);
  const results = new Map(
    subjects.map(({ name, against }): [string, Result] => {
      const { tookMs = [], calls = [] } = found.get(name) ?? {};
      const bare = against === undefined ? undefined : found.get(against)?.tookMs;
      const later = bare && median(tookMs.map((ms, round) => ms - (bare[round] ?? Number.NaN))) / roundTripMs;
      return [name, { ms: median(tookMs), calls: median(calls), later }];
    }),
  );
  return {
    title: 'The first byte of an answer',
    method: [
      `From the call to the first byte of an event stream, whose provider on this machine begins at once. Every call of the database waits ${ROUND_TRIP_MS} ms before it goes to DynamoDB Local. All by turns, in one process; medians, of the differences between turns of the same round. Two limits on the model, one on the provider; all is warm but where it says otherwise. The functions are those that are deployed, called without API Gateway.`,
    ],
    tables: [
      {
        title: '',
        columns: ['call', 'ms to its first byte', 'calls of the database before that', 'later, in round trips'],
        rows: subjects.map(({ name }) => {
          const { ms = Number.NaN, calls = Number.NaN, later } = results.get(name) ?? {};
          return [name, shown(ms, 1), shown(calls), later === undefined ? '-' : shown(later, 2)];
        }),
      },
    ],
    remarks: [
      'A call waits for its acquire, and for nothing after it: what it really used is written while its body ends.',
      'The first call of a process waits for the reading of its limits as well. Every half minute they are read anew beside a call, which does not wait for that.',
      'The authorizer finds the key in memory, and the gateway acquires the provider’s limits and the model’s at the same time: two calls, one round trip. Cold starts add the reading of the key to the authorizer, and the reading of the limits to the gateway. An authorizer that acquires the provider’s limits itself (`acquiredBy`) adds a round trip.',
    ],
    targets: [
      ...targetsOf(LIMITED, 1, results.get(LIMITED)),
      ...targetsOf(GATEWAY, 1, results.get(GATEWAY)),
      ...targetsOf(AUTHORIZED, 2, results.get(AUTHORIZED)),
    ],
  };
}

/** `most`: calls of the database at the same time. */
function targetsOf(
  name: string,
  most: number,
  { calls, later = Number.NaN }: Result = { ms: Number.NaN, calls: Number.NaN, later: undefined },
) {
  return [
    {
      what: `first byte, ${name}: calls of the database before it`,
      promised: counted(most, 'call'),
      measured: counted(calls, 'call'),
      met: calls === most,
    },
    {
      what: `first byte, ${name}, ${ROUND_TRIP_MS} ms added: later than without limits`,
      promised: `at most ${shown(MOST_ROUND_TRIPS, 2)} round trips`,
      measured: `${shown(later, 2)} round trips`,
      met: later <= MOST_ROUND_TRIPS,
    },
  ];
}
