import { type DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb';
import type { DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { HeadgateAdmin, Limit } from '../../lib/index.js';
import { countCalls, createTestTable, testEndpoint } from '../support/dynamodb.js';
import { EventStub } from '../support/event-stub.js';
import { bucketKey, RecordedBuckets } from '../usage/recorded-buckets.js';

const at = '2026-11-22T13:00:00Z';
const topicArn = 'arn:aws:sns:us-east-1:000000000000:budgets';
const stub = new EventStub();
let handler: (event: DynamoDBStreamEvent) => Promise<DynamoDBBatchResponse>;
let client: DynamoDBClient;
let tableName: string;
let admin: HeadgateAdmin;

beforeAll(async () => {
  tableName = await createTestTable();
  const endpoint = await stub.start();
  vi.stubEnv('HEADGATE_TABLE', tableName);
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
  vi.stubEnv('AWS_ENDPOINT_URL_EVENTBRIDGE', endpoint);
  vi.stubEnv('AWS_ENDPOINT_URL_SNS', endpoint);
  vi.stubEnv('HEADGATE_DEADLINE_MS', '10000');
  vi.stubEnv('HEADGATE_BUDGET_ALERTS', JSON.stringify({ eventBus: 'default', topicArn }));
  ({ handler } = await import('../../lambda/aggregator.js'));
  ({ client } = (await import('../../lambda/compose.js')).compose());
  admin = new HeadgateAdmin({ tableName, client });
  await admin.setLimits({ system: true }, [
    Limit.quota('usd', 1_000, { per: 'month' }),
    Limit.perMinute('tpm', 100),
    Limit.window('messages', 10, { everyMs: 3_600_000 }),
  ]);
});
afterAll(() => stub.stop());
beforeEach(() => {
  stub.events.length = 0;
  stub.messages.length = 0;
  stub.refuses = false;
});

const november = BigInt(Date.parse('2026-11-01T00:00:00Z')) * 1_000_000_000_000n;
const december = BigInt(Date.parse('2026-12-01T00:00:00Z')) * 1_000_000_000_000n;
const buckets = new RecordedBuckets();

/** A write after which so much of the month's quota is used. */
function using(entity: string, used: number, { window = november, limit = 'usd', shard = 0 } = {}): DynamoDBRecord {
  const record = buckets.write(bucketKey({ entity, shard }), { at, consumed: { [limit]: 1 }, requests: 1 });
  const NewImage = {
    ...record.dynamodb?.NewImage,
    [`s_${limit}`]: { N: String(window) },
    [`q_${limit}`]: { N: String(used) },
  };
  return { ...record, dynamodb: { ...record.dynamodb, NewImage } };
}

async function deliver(...Records: readonly DynamoDBRecord[]): Promise<void> {
  expect(await handler({ Records: [...Records] })).toEqual({ batchItemFailures: [] });
}
const percents = () => stub.events.map(({ Detail }) => JSON.parse(Detail).thresholdPercent);

it('tells EventBridge and SNS what was used of which quota', async () => {
  await deliver(using('told', 612));

  const alert = {
    id: 'default#told#budget#gpt-4#usd#2026-11-01T00:00:00.000Z#50',
    namespace: 'default',
    entity: 'told',
    resource: 'gpt-4',
    limit: 'usd',
    counts: 'microUsd',
    thresholdPercent: 50,
    used: 612,
    capacity: 1_000,
    windowStart: '2026-11-01T00:00:00.000Z',
    windowEnd: '2026-12-01T00:00:00.000Z',
  };
  expect(stub.events.map(({ Detail, ...event }) => ({ ...event, detail: JSON.parse(Detail) }))).toEqual([
    { EventBusName: 'default', Source: 'headgate', DetailType: 'Headgate Budget Alert', detail: alert },
  ]);
  expect(stub.messages.map(({ message, ...rest }) => ({ ...rest, message: JSON.parse(message) }))).toEqual([
    { topicArn, subject: 'Headgate: 50 % of usd used', message: alert },
  ]);
});

describe('a threshold', () => {
  it('is told once in a window, through repeated batches, new processes and refunds, and again in the next', async () => {
    await deliver(using('once', 499));
    expect(percents()).toEqual([]);
    const reached = using('once', 500);
    await deliver(reached);
    await deliver(reached);
    await deliver(using('once', 450), using('once', 799), using('once', 800), using('once', 1_000));
    expect(percents()).toEqual([50, 80, 100]);

    // A process that remembers nothing.
    vi.resetModules();
    const fresh = await import('../../lambda/aggregator.js');
    expect(await fresh.handler({ Records: [reached, using('once', 1_200)] })).toEqual({ batchItemFailures: [] });
    expect(percents()).toEqual([50, 80, 100]);

    await deliver(using('once', 510, { window: december }));
    expect(percents()).toEqual([50, 80, 100, 50]);
  });

  it('is told later when nobody took it, and books usage all the same', async () => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    stub.refuses = true;
    await deliver(using('refused', 500));
    expect(logged).toHaveBeenCalledWith('Budget alert not sent', expect.objectContaining({ limit: 'usd' }));
    const { rows } = await admin.usage({ entity: 'refused', from: '2026-11-22', to: '2026-11-23' });
    expect(rows.map(({ requests }) => requests)).toEqual([1]);

    stub.refuses = false;
    await deliver(using('refused', 510));
    expect(percents()).toEqual([50]);
    logged.mockRestore();
  });

  it('is a share of the shard, where the bucket is split', async () => {
    await admin.setLimits({ entity: 'split' }, [Limit.quota('usd', 1_000, { per: 'month' })], { shards: 4 });
    await deliver(using('split', 124, { shard: 2 }));
    expect(percents()).toEqual([]);
    await deliver(using('split', 125, { shard: 2 }), using('split', 200, { shard: 3 }));
    expect(percents()).toEqual([50, 80]);
  });

  it('is none of a session, of a limit that came with the request, or of a window without use', async () => {
    await deliver(using('other', 10, { limit: 'messages' }), using('other', 900, { limit: 'own' }), using('other', 0));
    expect(percents()).toEqual([]);
  });
});

it('reads the limits of an entity once in many batches, and writes its mark with an end', async () => {
  await deliver(using('cached', 500));
  const calls = countCalls(client);
  await deliver(using('cached', 501));
  await deliver(using('cached', 502));

  // Three rows in each of three views, twice.
  expect(calls.byCommand).toEqual({ UpdateItemCommand: 18 });
  const { Items } = await client.send(
    new QueryCommand({
      TableName: tableName,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :budget)',
      ExpressionAttributeValues: { ':pk': { S: 'default#e#cached' }, ':budget': { S: 'budget#' } },
    }),
  );
  // 35 days after the month.
  expect(Items?.map(({ ttl }) => ttl?.N)).toEqual([String(Date.parse('2027-01-05T00:00:00Z') / 1_000)]);
});
