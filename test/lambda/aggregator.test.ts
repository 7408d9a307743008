import { DeleteItemCommand, type DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import type { DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent, DynamoDBStreamHandler } from 'aws-lambda';
import { afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import type { BucketKey } from '../../lib/store/schema.js';
import { bucketPk, parseBucketPk } from '../../lib/store/schema.js';
import { readUsage } from '../../lib/usage/read-usage.js';
import { createStreamedTable, testEndpoint } from '../support/dynamodb.js';
import { altered, bucketKey, RecordedBuckets, sequenceNumber } from '../usage/recorded-buckets.js';
import { streamRecords } from '../usage/table-stream.js';

const at = '2026-11-22T13:00:00Z';
const none: DynamoDBBatchResponse = { batchItemFailures: [] };
const from = (record: DynamoDBRecord): DynamoDBBatchResponse => ({
  batchItemFailures: [{ itemIdentifier: sequenceNumber(record) }],
});

let handler: (event: DynamoDBStreamEvent) => Promise<DynamoDBBatchResponse>;
/** The handler's own client. */
let client: DynamoDBClient;
let tableName: string;

beforeAll(async () => {
  tableName = await createStreamedTable();
  vi.stubEnv('HEADGATE_TABLE', tableName);
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
  // The environment is read when the handler composes itself, as in a cold start.
  ({ handler } = await import('../../lambda/aggregator.js'));
  ({ client } = (await import('../../lambda/compose.js')).compose());
});

let logged: ReturnType<typeof vi.spyOn>;
beforeEach(() => {
  logged = vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => {
  client.middlewareStack.remove('failing');
  vi.restoreAllMocks();
});

/** Lets writes to rows of these entities fail, in every view: not sent at all, or sent and their answers lost. */
function failWrites(entities: readonly string[], how: 'lost' | 'answer lost', times = Number.POSITIVE_INFINITY): void {
  let left = times;
  client.middlewareStack.add(
    (next) => async (args) => {
      const sk = (args.input as { Key?: { sk?: { S?: string } } }).Key?.sk?.S;
      const fails = entities.some((entity) => sk?.includes(`#${entity}#`)) && left-- > 0;
      if (fails && how === 'lost') throw new Error('request lost');
      const answer = await next(args);
      if (fails) throw new Error('answer lost');
      return answer;
    },
    { step: 'initialize', name: 'failing' },
  );
}

/** What an entity used in all of time, month by month and resource by resource. */
async function usageOf(entity: string, namespace = 'default') {
  const query = { entity, by: 'month', from: '2020-01-01', to: '2100-01-01' } as const;
  const { rows } = await readUsage(client, tableName, namespace, query, new Date(at));
  return rows.map(({ resource, consumed, requests, denied }) => ({ resource, consumed, requests, denied }));
}

it('has the type of a stream handler', () => {
  expectTypeOf(handler).toExtend<DynamoDBStreamHandler>();
});

it('answers no failures for an empty batch', async () => {
  expect(await handler({ Records: [] })).toEqual(none);
});

it('books every namespace, entity, resource and shard in the batch', async () => {
  const buckets = new RecordedBuckets();
  const entity = 'everyone';
  buckets.write(bucketKey({ entity }), { at, consumed: { rpm: 1, tpm: 500 }, requests: 1 });
  buckets.write(bucketKey({ entity, shard: 3 }), { at, consumed: { rpm: 1, tpm: 30 }, requests: 1 });
  buckets.write(bucketKey({ entity, resource: 'gpt-5' }), { at, denials: 2 });
  buckets.write(bucketKey({ entity, namespace: 'other' }), { at, consumed: { rpm: 7 }, requests: 7 });

  expect(await handler({ Records: buckets.records })).toEqual(none);

  expect(await usageOf(entity)).toEqual([
    { resource: 'gpt-4', consumed: { rpm: 2, tpm: 530 }, requests: 2, denied: 0 },
    { resource: 'gpt-5', consumed: {}, requests: 0, denied: 2 },
  ]);
  expect(await usageOf(entity, 'other')).toEqual([{ resource: 'gpt-4', consumed: { rpm: 7 }, requests: 7, denied: 0 }]);
});

it('changes nothing when a batch comes twice, at once or one after the other', async () => {
  const buckets = new RecordedBuckets();
  for (let i = 0; i < 5; i++) buckets.write(bucketKey({ entity: 'twice' }), { at, consumed: { tpm: 10 }, requests: 1 });
  const event = { Records: buckets.records };

  expect(await Promise.all([handler(event), handler(event), handler(event)])).toEqual([none, none, none]);
  expect(await handler(event)).toEqual(none);

  expect(await usageOf('twice')).toEqual([{ resource: 'gpt-4', consumed: { tpm: 50 }, requests: 5, denied: 0 }]);
});

describe('when writes fail', () => {
  it('names the lowest record that is not booked, whatever the order of the batch, and logs the cause', async () => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey({ entity: 'fails-not' }), { at, consumed: { tpm: 1 } });
    const lowest = buckets.write(bucketKey({ entity: 'fails-early' }), { at, consumed: { tpm: 1 } });
    buckets.write(bucketKey({ entity: 'fails-late' }), { at, consumed: { tpm: 1 } });
    buckets.write(bucketKey({ entity: 'fails-early' }), { at, consumed: { tpm: 1 } });
    failWrites(['fails-early', 'fails-late'], 'lost');

    expect(await handler({ Records: buckets.records.toReversed() })).toEqual(from(lowest));

    expect(logged).toHaveBeenCalledWith('Usage not booked', {
      sequenceNumber: sequenceNumber(lowest),
      failures: 18,
      cause: expect.objectContaining({ message: 'request lost' }),
    });
    expect(await usageOf('fails-not')).toEqual([{ resource: 'gpt-4', consumed: { tpm: 1 }, requests: 0, denied: 0 }]);
  });

  it.each(['lost', 'answer lost'] as const)(
    'counts each record once when it is delivered until all is booked (%s)',
    async (how) => {
      const buckets = new RecordedBuckets();
      const entities = [`until-done-a ${how}`, `until-done-b ${how}`];
      for (let i = 0; i < 20; i++) {
        const entity = entities[i % 2]!;
        buckets.write(bucketKey({ entity }), { at: `2026-11-22T1${i % 5}:00:00Z`, consumed: { tpm: 1 }, requests: 1 });
      }
      failWrites(entities, how, 90);

      let rest = buckets.records;
      for (let deliveries = 0; rest.length > 0 && deliveries < 100; deliveries++) {
        const [failure] = (await handler({ Records: rest })).batchItemFailures;
        rest =
          failure === undefined ? [] : rest.slice(rest.findIndex((record) => sequenceNumber(record) === failure.itemIdentifier));
      }

      expect(rest).toEqual([]);
      for (const entity of entities) {
        expect(await usageOf(entity)).toEqual([{ resource: 'gpt-4', consumed: { tpm: 10 }, requests: 10, denied: 0 }]);
      }
    },
  );
});

describe('a damaged record', () => {
  it('is named, and what is around it is booked', async () => {
    const buckets = new RecordedBuckets();
    const records = [0, 1, 2].map((exponent) =>
      buckets.write(bucketKey({ entity: 'damaged' }), { at, consumed: { tpm: 10 ** exponent } }),
    );
    records[1] = altered(records[1]!, { NewImage: undefined });

    expect(await handler({ Records: records })).toEqual(from(records[1]!));

    expect((await usageOf('damaged')).map((row) => row.consumed)).toEqual([{ tpm: 101 }]);
    expect(logged).toHaveBeenCalledWith(
      'Usage not booked',
      expect.objectContaining({ sequenceNumber: sequenceNumber(records[1]!) }),
    );
  });

  it('makes the whole batch come again when it has no sequence number', async () => {
    const buckets = new RecordedBuckets();
    const good = buckets.write(bucketKey({ entity: 'numberless' }), { at, consumed: { tpm: 1 } });
    const bad = altered(buckets.write(bucketKey({ entity: 'numberless' }), { at, consumed: { tpm: 1 } }), {
      SequenceNumber: undefined,
    });

    expect(await handler({ Records: [good, bad] })).toEqual({ batchItemFailures: [{ itemIdentifier: '' }] });
  });
});

describe("the table's own stream", () => {
  async function move(key: BucketKey, counters: Record<string, number | string>): Promise<void> {
    const moved = Object.entries(counters);
    await client.send(
      new UpdateItemCommand({
        TableName: tableName,
        Key: { pk: { S: bucketPk(key) }, sk: { S: 'b' } },
        UpdateExpression: `ADD ${moved.map((_, i) => `#c${i} :c${i}`).join(', ')}`,
        ExpressionAttributeNames: Object.fromEntries(moved.map(([name], i) => [`#c${i}`, name])),
        ExpressionAttributeValues: Object.fromEntries(moved.map(([, by], i) => [`:c${i}`, { N: String(by) }])),
      }),
    );
  }

  /** The records of the entity's buckets, once there are as many as `count`. */
  async function recorded(entity: string, count: number): Promise<DynamoDBRecord[]> {
    return vi.waitFor(
      async () => {
        const records = await streamRecords(client, tableName);
        const own = records.filter((record) => parseBucketPk(record.dynamodb!.Keys!.pk!.S!)?.entity === entity);
        expect(own).toHaveLength(count);
        return own;
      },
      { timeout: 20_000, interval: 50 },
    );
  }

  it('is booked exactly, with refunds, a deletion and numbers of 25 digits', async () => {
    const key = bucketKey({ entity: 'streamed' });
    await move(key, { u_rpm: 1, u_tpm: '9007199254740993', n: 1 });
    await move(key, { u_tpm: '-9007199254740923' });
    await move(key, { d: 2 });
    await client.send(new DeleteItemCommand({ TableName: tableName, Key: { pk: { S: bucketPk(key) }, sk: { S: 'b' } } }));
    await move(key, { u_rpm: 1, u_tpm: 500, n: 1, u_wide: '1000000000000000000000000' });
    await move(key, { u_wide: '-999999999999999999999999' });
    const records = await recorded('streamed', 6);

    expect(await handler({ Records: records })).toEqual(none);
    expect(await handler({ Records: records.slice(2) })).toEqual(none);

    expect(await usageOf('streamed')).toEqual([
      { resource: 'gpt-4', consumed: { rpm: 2, tpm: 570, wide: 1 }, requests: 2, denied: 2 },
    ]);
  });

  it("shows a lease's usage as it was settled, and a released one's as nothing", async () => {
    const namespace = 'default';
    const limiter = new RateLimiter({ tableName, client, namespace, deadlineMs: 30_000 });
    const request = {
      entity: 'settled',
      resource: 'gpt-4',
      limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)],
      consume: { rpm: 1, tpm: 100 },
    };
    const settled = await limiter.acquire(request);
    await settled.settle({ tpm: 70 });
    const released = await limiter.acquire(request);
    await released.release();
    await limiter.close();
    const records = await recorded('settled', 4);

    expect(await handler({ Records: records })).toEqual(none);

    const admin = new HeadgateAdmin({ tableName, client, namespace });
    const { rows } = await admin.usage({ entity: 'settled', by: 'month' });
    expect(rows.map((row) => row.consumed)).toEqual([{ rpm: 1, tpm: 70 }]);
  });

  it('holds nothing that a batch of all its records would book of the usage rows themselves', async () => {
    await move(bucketKey({ entity: 'echo' }), { u_tpm: 5 });
    await recorded('echo', 1);
    expect(await handler({ Records: await streamRecords(client, tableName) })).toEqual(none);
    const before = await usageOf('echo');

    // The rows just written are in the stream now, beside the buckets.
    const records = await vi.waitFor(async () => {
      const all = await streamRecords(client, tableName);
      expect(all.some((record) => record.dynamodb!.Keys!.pk!.S === 'default#e#echo')).toBe(true);
      return all;
    });
    expect(await handler({ Records: records })).toEqual(none);

    expect(before.map((row) => row.consumed)).toEqual([{ tpm: 5 }]);
    expect(await usageOf('echo')).toEqual(before);
  });
});
