import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { byCharacters, type LimitedFetchOptions, learned, limitedFetch } from '../../lib/clients/index.js';
import { FakeClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { HandMadeUpstream } from '../lambda/hand-made-upstream.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { START_MS } from '../support/stores.js';
import { type AcknowledgedBody, dueAtOnce } from './acknowledged-body.js';
import { HeldDatabase } from './held-database.js';
import { asking, CHAT_PATH, digest, joined, MODEL, RECORDED } from './sent-answers.js';

let upstream: HandMadeUpstream;
let database: HeldDatabase;
let tableName: string;
let admin: HeadgateAdmin;
/** It stands still: nothing is read anew because time has passed. */
const clock = new FakeClock(START_MS);

beforeAll(async () => {
  [upstream, database, tableName] = await Promise.all([HandMadeUpstream.start(), HeldDatabase.start(), createTestTable()]);
  admin = new HeadgateAdmin({ store: new DynamoStore({ client: testClient(), tableName }), clock });
});

afterEach(() => {
  database.passAll();
  upstream.reset();
});

afterAll(async () => {
  await upstream.stop();
  await database.stop();
});

const tph = Limit.perHour('tph', 100_000_000);
const rph = Limit.perHour('rph', 1_000_000);
const inflight = Limit.concurrent('inflight', 1_000, { leaseMs: 600_000 });
const budget = Limit.quota('usd', 1_000_000_000, { per: 'month', timeZone: 'UTC' });
const PRICES = { [MODEL]: { input: 30, output: 60 } };

/** A stream, and an answer in one piece. */
const sentByAll = ['text/event-stream', 'application/json'].map((type) => {
  const sent = RECORDED.find((one) => one.path === CHAT_PATH && one.type.startsWith(type));
  if (sent === undefined) throw new Error(`no answer of chat completions is ${type}`);
  return sent;
});

function sending(body: AcknowledgedBody, type: string): void {
  upstream.answer = async (response) => {
    response.writeHead(200, { 'content-type': type });
    response.flushHeaders();
    await body.sendTo(response);
    response.end();
  };
}

/** The way of an entity's calls, of a process that has made none yet. */
function processOf(entity: string, options: Partial<LimitedFetchOptions> = {}) {
  const store = new DynamoStore({ client: testClient({ endpoint: database.url, maxAttempts: 1 }), tableName });
  const limiter = new RateLimiter({ store, clock, deadlineMs: 30_000 });
  const send = limitedFetch({ limiter, entity, clock, ...options });
  const call = (path = CHAT_PATH, body = asking()) =>
    send(`${upstream.url}/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  return { limiter, call };
}

interface Row {
  readonly when: string;
  /** Limits of an entity's own, and how its calls are made. */
  readonly limits: readonly Limit[];
  readonly options?: Partial<LimitedFetchOptions>;
  readonly hasParent?: boolean;
  /** What a warm process asks the database, all of it at once, before it asks the provider. */
  readonly asks: readonly string[];
}

const ROWS: readonly Row[] = [
  { when: 'one limit', limits: [tph], asks: ['UpdateItem'] },
  { when: 'limits of all kinds', limits: [tph, rph, inflight, budget], options: { prices: PRICES }, asks: ['UpdateItem'] },
  { when: 'limits on two levels', limits: [tph], hasParent: true, asks: ['UpdateItem', 'UpdateItem'] },
  { when: 'an estimate that learns', limits: [tph], options: { estimate: learned(byCharacters()) }, asks: ['UpdateItem'] },
  { when: 'room to wait', limits: [tph], options: { maxWaitMs: 60_000, priority: 'high' }, asks: ['UpdateItem'] },
];

/** A new entity with the limits of a row. */
async function entityOf({ limits, hasParent = false }: Row): Promise<string> {
  const [entity, parent] = [randomUUID(), randomUUID()];
  await admin.setLimits({ entity, resource: MODEL }, limits);
  if (!hasParent) return entity;
  await admin.setLimits({ entity: parent, resource: MODEL }, limits);
  await admin.createEntity({ entity: parent });
  await admin.createEntity({ entity, parent, cascade: true });
  return entity;
}

/** A process that has made a call already. */
async function warm(row: Row) {
  const made = processOf(await entityOf(row), row.options);
  await (await made.call()).arrayBuffer();
  database.take();
  return made;
}

describe('the first byte of an answer through limitedFetch', () => {
  it.each(ROWS)('waits for one round trip of the database, with $when', async (row) => {
    const { call, limiter } = await warm(row);
    database.pass(0);
    upstream.answer = (response) => {
      database.note('the provider');
      response.end('{}');
    };
    const answering = call();
    await vi.waitFor(() => expect(database.held).toEqual(row.asks));
    expect(database.take()).toEqual(row.asks);
    database.pass(row.asks.length);
    await (await answering).body?.getReader().read();
    expect(database.take()).toEqual(['the provider']);
    database.passAll();
    await limiter.close();
  });

  it.each(ROWS)('and all bytes after it wait for none, with $when', async (row) => {
    const { call, limiter } = await warm(row);
    for (const { name, path, type, pieces } of sentByAll) {
      database.pass(row.asks.length);
      const body = dueAtOnce(pieces);
      sending(body, type);
      const reader = (await call(path, asking({ stream: true, stream_options: { include_usage: true } }))).body?.getReader();
      const chunks: Uint8Array[] = [];
      while (joined(chunks).length < joined(pieces).length) {
        const read = await reader?.read();
        if (read?.value === undefined) break;
        chunks.push(read.value);
        body.acknowledge(read.value.length);
      }
      expect([name, digest(joined(chunks))]).toEqual([name, digest(joined(pieces))]);
      // Only its end waits, for the settlement.
      const [ended, told] = [vi.fn(), reader?.read()];
      void told?.then(ended);
      await vi.waitFor(() => expect(database.held.length).toBeGreaterThan(0));
      expect(ended).not.toHaveBeenCalled();
      database.passAll();
      expect(await told).toEqual({ done: true, value: undefined });
    }
    await limiter.close();
  });

  it.each([
    { hasParent: false, asks: ['BatchGetItem', 'UpdateItem'] },
    { hasParent: true, asks: ['BatchGetItem', 'BatchGetItem', 'UpdateItem', 'UpdateItem'] },
  ])('waits for the reading of the limits as well in a process that has made no call (two levels: $hasParent)', async (row) => {
    const { call, limiter } = processOf(await entityOf({ when: '', limits: [tph], ...row }));
    database.take();
    upstream.answer = (response) => {
      database.note('the provider');
      response.end('{}');
    };
    await (await call()).arrayBuffer();
    expect(database.take().slice(0, row.asks.length + 1)).toEqual([...row.asks, 'the provider']);
    await limiter.close();
  });

  it('waits for one round trip although its limits are read anew, every half minute: beside the acquire', async () => {
    const { call, limiter } = await warm({ when: '', limits: [tph], asks: [] });
    clock.advance(30_000);
    database.pass(0);
    const answering = call();
    await vi.waitFor(() => expect(database.held).toEqual(['BatchGetItem', 'UpdateItem']));
    database.pass(2);
    await (await answering).body?.getReader().read();
    expect(database.take()).toEqual(['BatchGetItem', 'UpdateItem']);
    await limiter.close();
  });
});
