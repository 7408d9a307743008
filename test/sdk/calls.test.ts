import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { FakeClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { type Calls, countCalls, createTestTable, testClient } from '../support/dynamodb.js';

const limits = [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)];
const on = { entity: 'key-123', resource: 'gpt-4' };
const request = { ...on, consume: { rpm: 1, tpm: 500 }, limits };
const drained = { ...on, consume: { rpm: 100, tpm: 10_000 }, limits };

let client: DynamoDBClient;
let calls: Calls;
let tableName: string;
let clock: FakeClock;
let namespace: string;
let limiter: RateLimiter;
let tests = 0;

beforeAll(async () => {
  client = testClient();
  tableName = await createTestTable(client);
  calls = countCalls(client);
});
beforeEach(() => {
  clock = new FakeClock();
  tests += 1;
  namespace = `test-${tests}`;
  limiter = newProcess();
  calls.reset();
});

/** A limiter that has seen no bucket yet. */
const newProcess = () => new RateLimiter({ tableName, client, namespace, clock, deadlineMs: 30_000 });

/** What was sent since the last look: the commands, and the capacity that their answers reported. */
function sent() {
  const { byCommand, capacityUnits } = calls;
  calls.reset();
  return { ...byCommand, capacityUnits };
}

describe('with limits given', () => {
  it('the first acquire of an entity is one write of one unit', async () => {
    await limiter.acquire(request);

    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 1 });
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('a warm acquire of %i limits is one write of one unit', async (count) => {
    const some = Array.from({ length: count }, (_, index) => Limit.perMinute(`limit-${index}`, 1_000_000));
    const of = {
      entity: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff',
      resource: 'claude-sonnet-5-2026-11',
      limits: some,
      consume: Object.fromEntries(some.map(({ name }) => [name, 12_345])),
    };
    await limiter.acquire(of);
    sent();

    await limiter.acquire(of);

    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 1 });
  });

  it.each([
    { when: 'just enough has been refilled', afterMs: 3_000 },
    { when: 'half has been refilled', afterMs: 30_000 },
    { when: 'all has been refilled', afterMs: 60_000 },
    { when: 'a day has passed', afterMs: 86_400_000 },
  ])('an acquire of a drained bucket is one write of one unit when $when', async ({ afterMs }) => {
    await limiter.acquire(drained);
    sent();
    clock.advance(afterMs);

    await limiter.acquire(request);

    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 1 });
  });

  it('a denial is one write, which fails', async () => {
    await limiter.acquire(drained);
    sent();

    expect((await limiter.tryAcquire(request)).granted).toBe(false);

    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 0 });
  });

  it('a storm of requests on an empty bucket is one write every 250 ms', async () => {
    await limiter.acquire(drained);
    sent();

    for (let tries = 0; tries < 100; tries += 1) expect((await limiter.tryAcquire(request)).granted).toBe(false);
    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 0 });
    clock.advance(250);
    for (let tries = 0; tries < 100; tries += 1) expect((await limiter.tryAcquire(request)).granted).toBe(false);

    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 0 });
  });

  it('simultaneous callers of one process share one write of one unit', async () => {
    await Promise.all(Array.from({ length: 20 }, () => limiter.acquire(request)));

    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 1 });
  });

  it('an acquire and its settlement are two writes of two units', async () => {
    const lease = await limiter.acquire(request);
    await lease.settle({ tpm: 730 });

    expect(sent()).toEqual({ UpdateItemCommand: 2, capacityUnits: 2 });
  });

  it('an acquire and its release are two writes of two units', async () => {
    const lease = await limiter.acquire(request);
    await lease.release();

    expect(sent()).toEqual({ UpdateItemCommand: 2, capacityUnits: 2 });
  });

  it('work that throws is two writes of two units', async () => {
    const run = limiter.run(request, () => {
      throw new Error('the model is down');
    });

    await expect(run).rejects.toThrow('the model is down');
    expect(sent()).toEqual({ UpdateItemCommand: 2, capacityUnits: 2 });
  });

  it('work that throws after it settled all it had charged is two writes', async () => {
    const run = limiter.run(request, async (lease) => {
      await lease.settle({ rpm: 1, tpm: 600 });
      throw new Error('the answer could not be stored');
    });

    await expect(run).rejects.toThrow('the answer could not be stored');
    expect(sent()).toEqual({ UpdateItemCommand: 2, capacityUnits: 2 });
  });

  it('a settlement that changes nothing is no write', async () => {
    const lease = await limiter.acquire(request);
    sent();

    await lease.settle({ tpm: 500 });

    expect(sent()).toEqual({ capacityUnits: 0 });
  });

  it.each([
    { when: 'all its limits are in use', consume: { rpm: 50, tpm: 5_000 }, writes: 2 },
    { when: 'one of its two limits is in use', consume: { rpm: 50 }, writes: 2 },
    { when: 'it is full', consume: {}, writes: 1 },
  ])(
    'the first acquire of a new process takes $writes writes on a bucket that others used when $when',
    async ({ consume, writes }) => {
      await newProcess().acquire({ ...request, consume });
      clock.advance(1);
      sent();

      await limiter.acquire(request);

      expect(sent()).toEqual({ UpdateItemCommand: writes, capacityUnits: 1 });
    },
  );

  it('the first acquire of a new process on a drained bucket is denied in one write', async () => {
    await newProcess().acquire(drained);
    sent();

    expect((await limiter.tryAcquire(request)).granted).toBe(false);

    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 0 });
  });

  it('an acquire under a changed limit is one write where the bucket was seen before, and two at most where it was not', async () => {
    const raised = [Limit.perMinute('rpm', 300, { burst: 500 }), Limit.perMinute('tpm', 30_000, { burst: 50_000 })];
    await limiter.acquire(request);
    sent();
    await limiter.acquire({ ...request, limits: raised });
    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 1 });

    await newProcess().acquire(request);

    expect(sent()).toEqual({ UpdateItemCommand: 2, capacityUnits: 1 });
  });

  it.each(['available', 'status'] as const)('%s is one read of a level', async (verb) => {
    await limiter.acquire(request);
    sent();

    await limiter[verb]({ ...on, limits });

    expect(sent()).toMatchObject({ GetItemCommand: 1 });
  });

  it('a request that is refused as wrong is no call', async () => {
    await expect(limiter.acquire({ ...request, consume: { rpm: 101 } })).rejects.toMatchObject({ code: 'CostExceedsCapacity' });
    await expect(limiter.acquire({ ...request, consume: { usd: 1 } })).rejects.toMatchObject({ code: 'UnknownLimit' });
    await expect(limiter.acquire({ ...request, entity: '' })).rejects.toMatchObject({ code: 'InvalidArgument' });

    expect(sent()).toEqual({ capacityUnits: 0 });
  });
});

describe('with limits stored', () => {
  const stored = { ...on, consume: { rpm: 1, tpm: 500 } };

  it('the first acquire is one read and one write, a warm one a write', async () => {
    await new HeadgateAdmin({ tableName, client, namespace, clock }).setLimits({ system: true }, limits);
    sent();

    await limiter.acquire(stored);
    expect(sent()).toMatchObject({ BatchGetItemCommand: 1, UpdateItemCommand: 1 });
    await limiter.acquire(stored);
    expect(sent()).toEqual({ UpdateItemCommand: 1, capacityUnits: 1 });
    await (await limiter.acquire(stored)).settle({ tpm: 900 });
    expect(sent()).toEqual({ UpdateItemCommand: 2, capacityUnits: 2 });
  });

  it('an entity with two ancestors is two reads and three writes at first, and three writes when warm', async () => {
    const admin = new HeadgateAdmin({ tableName, client, namespace, clock });
    await admin.setLimits({ system: true }, limits);
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'project', parent: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'project' });
    sent();

    await limiter.acquire(stored);
    expect(sent()).toMatchObject({ BatchGetItemCommand: 2, UpdateItemCommand: 3 });
    await limiter.acquire(stored);

    expect(sent()).toEqual({ UpdateItemCommand: 3, capacityUnits: 3 });
  });

  it('the first acquire of three levels whose limits are cached is three writes of a unit each, all under way at once', async () => {
    const admin = new HeadgateAdmin({ tableName, client, namespace, clock });
    await admin.setLimits({ system: true }, limits);
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'project', parent: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'project' });
    await limiter.limits(on);
    sent();
    /** How many writes had left, and how many answers had come, whenever one left. */
    const order: { readonly left: number; readonly answered: number }[] = [];
    let [left, answered] = [0, 0];
    const noting = { step: 'finalizeRequest', priority: 'low', name: 'noteOrder' } as const;
    client.middlewareStack.add(
      (next) => async (args) => {
        left += 1;
        order.push({ left, answered });
        const result = await next(args);
        answered += 1;
        return result;
      },
      noting,
    );

    await limiter.acquire(stored).finally(() => client.middlewareStack.remove(noting.name));

    expect(sent()).toEqual({ UpdateItemCommand: 3, capacityUnits: 3 });
    expect(order).toEqual([
      { left: 1, answered: 0 },
      { left: 2, answered: 0 },
      { left: 3, answered: 0 },
    ]);
  });

  it('an acquire without a cache reads each time', async () => {
    await new HeadgateAdmin({ tableName, client, namespace, clock }).setLimits({ system: true }, limits);
    const uncached = new RateLimiter({ tableName, client, namespace, clock, cacheTtlMs: 0 });
    await uncached.acquire(stored);
    sent();

    await uncached.acquire(stored);

    expect(sent()).toMatchObject({ BatchGetItemCommand: 1, UpdateItemCommand: 1 });
  });
});

describe('an operator', () => {
  const stored = async (shards: number) => {
    const admin = new HeadgateAdmin({ tableName, client, namespace, clock });
    await admin.setLimits({ system: true }, limits, { shards });
    await newProcess().acquire({ ...on, consume: { rpm: 1, tpm: 50 } });
    calls.reset();
    return admin;
  };

  it('who resets a bucket, of however many shards, costs one read of what is stored and one transaction, its record included', async () => {
    const admin = await stored(64);

    await admin.reset(on);

    expect(sent()).toMatchObject({ BatchGetItemCommand: 1, TransactWriteItemsCommand: 1 });
    expect(await admin.audit({ entity: on.entity })).toMatchObject([{ action: 'bucket.reset' }]);
  });

  it('who tops a bucket up costs one read more, of the bucket', async () => {
    const admin = await stored(1);

    await admin.topUp({ ...on, tokens: { tpm: 100 } });

    const { capacityUnits: _, ...commands } = sent();
    expect(commands).toEqual({ BatchGetItemCommand: 1, GetItemCommand: 1, TransactWriteItemsCommand: 1 });
    expect(await admin.audit({ entity: on.entity })).toMatchObject([{ action: 'bucket.topUp' }]);
  });
});
