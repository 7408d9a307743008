import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { InvalidArgument } from '../../lib/errors.js';
import { RateLimiter } from '../../lib/limiter.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import type { BucketWrite } from '../../lib/store/store.js';
import { createTestTable, testClient } from '../support/dynamodb.js';

const key = { namespace: 'default', resource: 'gpt-4', entity: 'key-123', shard: 0 };
const write: BucketWrite = { key, limits: [], requests: 1, denials: 0, ttl: { seconds: 4_000_000_000, ifAbsent: true } };
/** Its condition never holds: nothing is ever stored of that limit. */
const refused: BucketWrite = {
  ...write,
  limits: [{ name: 'rpm', windowFs: 1n, branch: { kind: 'busy', addFs: 1n, minFs: 0n, maxFs: 1n }, consumed: 0n }],
};

let tableName: string;
const client = testClient();
const told: { readonly sentMs: number; readonly receivedMs: number; readonly serverSeconds: number }[] = [];
const clock = {
  machineMs: () => Date.now(),
  observe(sentMs: number, receivedMs: number, serverSeconds: number) {
    told.push({ sentMs, receivedMs, serverSeconds });
  },
};

beforeAll(async () => {
  tableName = await createTestTable();
});

beforeEach(() => {
  told.length = 0;
});

const store = (name = tableName) => new DynamoStore({ client, tableName: name, clock });
const item = { pk: 'a', sk: 'b' };

it.each([
  { answer: 'a write', ask: () => store().write(write) },
  { answer: 'a failed condition', ask: () => store().write(refused) },
  { answer: 'a read', ask: () => store().read(key) },
  { answer: 'a read of items', ask: () => store().getItems([item]) },
  { answer: 'a query', ask: () => store().queryItems('a', 'b') },
  { answer: 'a transaction', ask: () => store().transact([{ kind: 'put', item }]) },
  {
    answer: 'an error',
    ask: () =>
      store('no-such-table')
        .write(write)
        .catch((error: unknown) => expect(error).toBeInstanceOf(InvalidArgument)),
  },
])('the clock is told of the time in $answer, once', async ({ ask }) => {
  const beforeMs = Date.now();
  await ask();
  const afterMs = Date.now();

  expect(told).toHaveLength(1);
  const [{ sentMs, receivedMs, serverSeconds } = { sentMs: 0, receivedMs: 0, serverSeconds: 0 }] = told;
  expect(beforeMs <= sentMs && sentMs <= receivedMs && receivedMs <= afterMs).toBe(true);
  // The database runs on this machine.
  expect(serverSeconds).toBeGreaterThanOrEqual(Math.floor(sentMs / 1_000));
  expect(serverSeconds).toBeLessThanOrEqual(Math.floor(receivedMs / 1_000));
});

/** A client whose answers carry this date in place of the server's, whatever it is made from. */
function dated(date: (serverMs: number) => string | undefined): DynamoDBClient {
  const own = testClient();
  const handler = own.config.requestHandler;
  const handle = handler.handle.bind(handler);
  handler.handle = async (...args) => {
    const answer = await handle(...args);
    const { date: said = '', ...rest } = answer.response.headers as Record<string, string>;
    const instead = date(Date.parse(said));
    answer.response.headers = instead === undefined ? rest : { ...rest, date: instead };
    return answer;
  };
  return own;
}

it.each([
  { when: 'no time', date: () => undefined },
  { when: 'a time that is none', date: () => 'yesterday' },
])('the clock is told nothing by an answer with $when', async ({ date }) => {
  await new DynamoStore({ client: dated(date), tableName, clock }).write(write);
  expect(told).toEqual([]);
});

const inAnHour = () => dated((serverMs) => new Date(serverMs + 3_600_000).toUTCString());

const request = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perMinute('rpm', 100)], consume: { rpm: 1 } };

it('a limiter corrects the clock that it made, and says by how much', async () => {
  const limiter = new RateLimiter({ client: inAnHour(), tableName });
  expect(limiter.stats().clockOffsetMs).toBe(0);
  await limiter.acquire(request);
  expect(limiter.stats().clockOffsetMs).toBeGreaterThan(3_590_000);
  expect(limiter.stats().clockOffsetMs).toBeLessThanOrEqual(3_600_000);
});

it('a limiter never corrects a clock that was given to it', async () => {
  const given = new FakeClock(Date.now());
  const limiter = new RateLimiter({ client: inAnHour(), tableName, clock: given });
  const lease = await limiter.acquire({ ...request, entity: 'key-456' });
  expect(limiter.stats()).toMatchObject({ clockOffsetMs: 0, writes: 1 });
  expect(lease.startsAt?.getTime()).toBe(Number(given.nowNs() / 1_000_000n));
});
