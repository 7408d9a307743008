import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent } from 'aws-lambda';
import { beforeAll, expect, it, vi } from 'vitest';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { parseBucketPk } from '../../lib/store/schema.js';
import { countCalls, createStreamedTable, testEndpoint } from '../support/dynamodb.js';
import { streamRecords } from '../usage/table-stream.js';

const limits = [Limit.perMinute('rpm', 10_000), Limit.perMinute('tpm', 10_000_000)];
const resource = 'gpt-4o';
const allOfTime = { by: 'month', from: '2020-01-01', to: '2100-01-01' } as const;

let handler: (event: DynamoDBStreamEvent) => Promise<DynamoDBBatchResponse>;
let client: DynamoDBClient;
let tableName: string;
let admin: HeadgateAdmin;

beforeAll(async () => {
  tableName = await createStreamedTable();
  vi.stubEnv('HEADGATE_TABLE', tableName);
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
  ({ handler } = await import('../../lambda/aggregator.js'));
  ({ client } = (await import('../../lambda/compose.js')).compose());
  admin = new HeadgateAdmin({ tableName, client });
});

/** The stream's records of these entities' buckets, once there are `count`. */
function recorded(isOurs: (entity: string) => boolean, count: number): Promise<DynamoDBRecord[]> {
  return vi.waitFor(
    async () => {
      const records = await streamRecords(client, tableName);
      const own = records.filter((record) => isOurs(parseBucketPk(record.dynamodb!.Keys!.pk!.S!)?.entity ?? ''));
      expect(own).toHaveLength(count);
      return own;
    },
    { timeout: 60_000, interval: 100 },
  );
}

it('books a recorded batch of a thousand acquires, settlements and releases to the token, cut anywhere and repeated', {
  timeout: 120_000,
}, async () => {
  const limiter = new RateLimiter({ tableName, client, deadlineMs: 20_000 });
  const truth = new Map<string, { rpm: number; tpm: number; requests: number }>();
  // Ten entities at once; a hundred writes of each, one after the other: 60 acquires, 20 of them settled, 20 released.
  await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const entity = `thousand-${index}`;
      const used = { rpm: 0, tpm: 0, requests: 0 };
      for (let call = 0; call < 40; call++) {
        const lease = await limiter.acquire({ entity, resource, limits, consume: { rpm: 1, tpm: 100 + index } });
        used.requests++;
        if (call % 2 === 0) {
          await lease.settle({ tpm: 40 * call + index });
          used.rpm += 1;
          used.tpm += 40 * call + index;
        } else {
          await lease.release();
        }
      }
      for (let call = 0; call < 20; call++) await limiter.acquire({ entity, resource, limits, consume: { rpm: 1, tpm: 7 } });
      truth.set(entity, { rpm: used.rpm + 20, tpm: used.tpm + 140, requests: used.requests + 20 });
    }),
  );
  await limiter.close();
  const batch = await recorded((entity) => entity.startsWith('thousand-'), 1_000);

  // A third of it, from its middle back to its start, and then all of it, twice.
  for (const records of [batch.slice(0, 333), batch.slice(0, 500), batch, batch]) {
    expect(await handler({ Records: records })).toEqual({ batchItemFailures: [] });
  }

  const consumers = await admin.topConsumers({ ...allOfTime, resource, limit: 100 });
  const booked = consumers.filter(({ entity }) => entity.startsWith('thousand-'));
  expect(new Map(booked.map(({ entity, consumed, requests }) => [entity, { ...consumed, requests }]))).toEqual(truth);
  const { rows } = await admin.usage({ ...allOfTime, entity: 'thousand-7' });
  expect(rows.map(({ consumed, requests, denied }) => ({ consumed, requests, denied }))).toEqual([
    // Settled to 7, 87, 167 and so on up to 1,527; twenty times 7.
    { consumed: { rpm: 40, tpm: 15_480 }, requests: 60, denied: 0 },
  ]);
});

it('needs three writes a view for fifty acquires of two limits, from the first acquire of the bucket on', {
  timeout: 90_000,
}, async () => {
  const limiter = new RateLimiter({ tableName, client, deadlineMs: 20_000 });
  for (let call = 0; call < 50; call++) {
    await limiter.acquire({ entity: 'fifty', resource, limits, consume: { rpm: 1, tpm: 20 } });
  }
  await limiter.close();
  const records = await recorded((entity) => entity === 'fifty', 50);
  expect(records[0]).toMatchObject({ eventName: 'INSERT' });
  // The hour may end while the test runs.
  const at = records[0]!.dynamodb!.ApproximateCreationDateTime;
  const inOneHour = records.map((record) => ({
    ...record,
    dynamodb: { ...record.dynamodb, ApproximateCreationDateTime: at },
  })) as DynamoDBRecord[];
  const calls = countCalls(client);

  expect(await handler({ Records: inOneHour })).toEqual({ batchItemFailures: [] });

  // The hour, the day and the month, with the entity, with the resource and with the namespace.
  expect(calls.byCommand).toEqual({ UpdateItemCommand: 9 });
  const { rows } = await admin.usage({ ...allOfTime, entity: 'fifty' });
  expect(rows.map(({ consumed, requests }) => ({ consumed, requests }))).toEqual([
    { consumed: { rpm: 50, tpm: 1_000 }, requests: 50 },
  ]);
});
