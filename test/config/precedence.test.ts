import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import type { Scope } from '../../lib/config/config-records.js';
import { Limit } from '../../lib/core/limit.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { intercepted } from '../admission/intercepted-store.js';
import { type Calls, countCalls, createTestTable, testClient } from '../support/dynamodb.js';
import { type TestBed, testBed } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const rph = (amount: number) => [Limit.perHour('rph', amount)];

/** From the strongest to the weakest; each with a limit of its own, to be told by. */
const LEVELS: readonly { readonly level: string; readonly amount: number; readonly scope?: Scope }[] = [
  { level: 'the request', amount: 700 },
  { level: 'entity+resource', amount: 600, scope: { entity: 'key-123', resource: 'gpt-4' } },
  { level: 'entity', amount: 500, scope: { entity: 'key-123' } },
  { level: 'tier+resource', amount: 400, scope: { tier: 'pro', resource: 'gpt-4' } },
  { level: 'tier', amount: 300, scope: { tier: 'pro' } },
  { level: 'resource', amount: 200, scope: { resource: 'gpt-4' } },
  { level: 'system', amount: 100, scope: { system: true } },
];
const PAIRS = LEVELS.flatMap((stronger, index) => LEVELS.slice(index + 1).map((weaker) => ({ stronger, weaker })));

let client: DynamoDBClient;
let tableName: string;
let calls: Calls;
let bed: TestBed;
let admin: HeadgateAdmin;

beforeAll(async () => {
  client = testClient();
  tableName = await createTestTable(client);
  calls = countCalls(client);
});
beforeEach(async () => {
  bed = testBed(new DynamoStore({ client, tableName }));
  admin = bed.admin();
  await admin.createEntity({ entity: 'key-123', tier: 'pro' });
});

async function store(...levels: readonly (typeof LEVELS)[number][]) {
  for (const { scope, amount } of levels) if (scope !== undefined) await admin.setLimits(scope, rph(amount));
}
const given = (...levels: readonly (typeof LEVELS)[number][]) =>
  levels.includes(LEVELS[0]!) ? { limits: rph(LEVELS[0]!.amount) } : {};

describe('of seven levels on DynamoDB', () => {
  it('there are 21 pairs', () => {
    expect(PAIRS).toHaveLength(21);
  });

  it.each(PAIRS)('$stronger.level wins over $weaker.level', async ({ stronger, weaker }) => {
    await store(weaker, stronger);

    expect(await bed.limiter().available({ ...on, ...given(stronger, weaker) })).toEqual({ rph: stronger.amount });
  });

  it.each(LEVELS)('$level applies where it is the only one', async (level) => {
    await store(level);

    expect(await bed.limiter().available({ ...on, ...given(level) })).toEqual({ rph: level.amount });
  });

  it('each applies in turn as the stronger ones are removed', async () => {
    await store(...LEVELS);
    for (const { scope, amount } of LEVELS.slice(1)) {
      expect(await bed.limiter().available(on)).toEqual({ rph: amount });
      await admin.deleteLimits(scope!);
    }

    await expect(bed.limiter().available(on)).rejects.toMatchObject({ code: 'NoLimitsConfigured' });
  });

  it('the strongest applies as a whole set, with its priorities', async () => {
    await admin.setLimits({ resource: 'gpt-4' }, [Limit.perHour('rph', 10), Limit.perMinute('tpm', 1_000)]);
    await admin.setLimits({ tier: 'pro' }, rph(100), { priorities: { low: 0.5 } });
    const limiter = bed.limiter();

    expect(await limiter.available(on)).toEqual({ rph: 100 });
    await expect(limiter.acquire({ ...on, consume: { rph: 51 }, priority: 'low' })).rejects.toMatchObject({ share: 0.5 });
  });
});

describe('the calls of an acquire on DynamoDB', () => {
  const consume = { rph: 1 };
  async function counted(work: () => Promise<unknown>) {
    calls.reset();
    await work();
    return calls.byCommand;
  }

  it.each([
    { when: 'the entity has no record', of: { entity: 'unrecorded', resource: 'gpt-4' }, reads: 1 },
    { when: 'it has neither tier nor parent', of: { entity: 'plain', resource: 'gpt-4' }, reads: 1 },
    { when: 'it has a tier', of: on, reads: 2 },
    { when: 'it has a parent', of: { entity: 'child', resource: 'gpt-4' }, reads: 2, writes: 2 },
    { when: 'it has a tier, and three ancestors with tiers', of: { entity: 'low', resource: 'gpt-4' }, reads: 2, writes: 4 },
  ])('are $reads reads and no more cold, and none warm, when $when', async ({ of, reads, writes = 1 }) => {
    await admin.setLimits({ system: true }, rph(1_000));
    await admin.createEntity({ entity: 'plain' });
    await admin.createEntity({ entity: 'child', parent: 'plain' });
    await admin.createEntity({ entity: 'middle', parent: 'child', tier: 'pro' });
    await admin.createEntity({ entity: 'low', parent: 'middle', tier: 'free' });
    const limiter = bed.limiter();

    expect(await counted(() => limiter.acquire({ ...of, consume }))).toEqual({
      BatchGetItemCommand: reads,
      UpdateItemCommand: writes,
    });
    expect(await counted(() => limiter.acquire({ ...of, consume }))).toEqual({ UpdateItemCommand: writes });
  });

  it.each([
    { when: 'it has no tier', of: { entity: 'plain', resource: 'gpt-4' }, reads: 1 },
    { when: 'it has a tier', of: on, reads: 2 },
  ])('are the same $reads reads where every scope inherits and $when', async ({ of, reads }) => {
    for (const { scope, amount, level } of LEVELS) {
      if (scope === undefined) continue;
      const limits = [...rph(amount), Limit.perHour(level.replace('+', '-'), 5)];
      await admin.setLimits(scope, limits, level === 'system' ? {} : { inherit: true });
    }
    await admin.createEntity({ entity: 'plain' });
    const limiter = bed.limiter();
    const every = { ...consume, resource: 1, system: 1 };

    expect(await counted(() => limiter.acquire({ ...of, consume: every }))).toEqual({
      BatchGetItemCommand: reads,
      UpdateItemCommand: 1,
    });
    expect(await counted(() => limiter.acquire({ ...of, consume: every }))).toEqual({ UpdateItemCommand: 1 });
  });

  it('are one read at half the life of what was resolved, behind the answer', async () => {
    await store(LEVELS[6]!);
    const limiter = bed.limiter();
    await limiter.acquire({ ...on, consume });
    bed.clock.advance(29_999);
    expect(await counted(() => limiter.limits(on))).toEqual({});
    expect(limiter.stats().configuration).toMatchObject({ hits: 7, misses: 7, refreshes: 0 });

    bed.clock.advance(1);
    await limiter.limits(on);

    expect(limiter.stats().configuration).toMatchObject({ hits: 14, misses: 7, refreshes: 7 });
  });

  it('are one write and no read for a request that carries its limits', async () => {
    expect(await counted(() => bed.limiter().acquire({ ...on, consume, limits: rph(5) }))).toEqual({ UpdateItemCommand: 1 });
  });

  it('are the same two reads for a thousand simultaneous first requests', async () => {
    await store(LEVELS[6]!);
    const limiter = bed.limiter();
    const many = Array.from({ length: 1_000 }, () => limiter.tryAcquire({ ...on, consume }));

    expect((await counted(() => Promise.all(many))).BatchGetItemCommand).toBe(2);
    expect(limiter.stats().configuration).toMatchObject({ calls: 2, size: 7 });
  });

  it('read at each request without a cache', async () => {
    await store(LEVELS[6]!);
    const limiter = bed.limiter({ cacheTtlMs: 0 });

    for (let request = 0; request < 3; request += 1) {
      expect(await counted(() => limiter.acquire({ ...on, consume }))).toEqual({ BatchGetItemCommand: 2, UpdateItemCommand: 1 });
    }
  });

  it.each(LEVELS.slice(1))(
    'a change of $level by another process takes effect within a minute, and no request waits for it',
    async (level) => {
      await store(level);
      let underWay = 0;
      const noted = intercepted(bed.store, async (proceed) => {
        underWay += 1;
        return proceed().finally(() => {
          underWay -= 1;
        });
      });
      const limiter = bed.limiter({ store: noted });
      await limiter.acquire({ ...on, consume });
      await admin.setLimits(level.scope!, rph(10));

      for (let seconds = 0; seconds < 60; seconds += 5) {
        bed.clock.advance(5_000);
        await limiter.limits(on);
        await vi.waitFor(() => expect(underWay).toBe(0), { interval: 1 });
      }

      const { configuration } = limiter.stats();
      expect(configuration).toMatchObject({ misses: 7 });
      expect(configuration.refreshes).toBeGreaterThan(0);
      expect((await limiter.limits(on)).map(({ limits }) => limits[0]?.capacity)).toEqual([10]);
      const granted = await Promise.all(Array.from({ length: 50 }, () => limiter.tryAcquire({ ...on, consume })));
      expect(granted.filter((outcome) => outcome.granted).length).toBeLessThanOrEqual(10);
    },
  );
});
