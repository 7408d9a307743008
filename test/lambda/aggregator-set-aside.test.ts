import { type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { DynamoDBBatchResponse, DynamoDBStreamEvent } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { HeadgateAdmin } from '../../lib/index.js';
import { createTestTable, testEndpoint } from '../support/dynamodb.js';
import { SqsStub } from '../support/sqs-stub.js';
import { altered, bucketKey, RecordedBuckets, sequenceNumber } from '../usage/recorded-buckets.js';

const at = '2026-11-22T13:00:00Z';
const queue = new SqsStub();
let handler: (event: DynamoDBStreamEvent) => Promise<DynamoDBBatchResponse>;
let client: DynamoDBClient;
let tableName: string;

beforeAll(async () => {
  tableName = await createTestTable();
  vi.stubEnv('HEADGATE_TABLE', tableName);
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
  vi.stubEnv('HEADGATE_UNBOOKED_QUEUE', await queue.start());
  ({ handler } = await import('../../lambda/aggregator.js'));
  ({ client } = (await import('../../lambda/compose.js')).compose());
});
afterAll(() => queue.stop());
beforeEach(() => {
  queue.clear();
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => {
  client.middlewareStack.remove('failing');
  vi.restoreAllMocks();
});

const told = () => queue.bodies.map((body) => JSON.parse(body));

async function consumedBy(entity: string) {
  const { rows } = await new HeadgateAdmin({ tableName, client }).usage({
    entity,
    by: 'month',
    from: '2026-11-01',
    to: '2026-12-01',
  });
  return rows.map(({ consumed }) => consumed);
}

/** A row of the entity's month whose counter is text: as somebody may have left it. */
function spoilMonth(entity: string) {
  const key = { pk: { S: `default#e#${entity}` }, sk: { S: `usage#month#2026-11-01T00:00:00Z#gpt-4#${entity}#0` } };
  return client.send(new PutItemCommand({ TableName: tableName, Item: { ...key, c_tpm: { S: 'many' } } }));
}

it('sends a damaged record to the queue with its images, books what is around it, and answers no failure', async () => {
  const buckets = new RecordedBuckets();
  const records = [0, 1, 2].map((exponent) =>
    buckets.write(bucketKey({ entity: 'damaged' }), { at, consumed: { tpm: 10 ** exponent } }),
  );
  records[1] = altered(records[1]!, { NewImage: { ...records[1]!.dynamodb!.NewImage, u_tpm: { S: 'many' } } });

  expect(await handler({ Records: records })).toEqual({ batchItemFailures: [] });

  expect(told()).toEqual([
    {
      kind: 'headgate.unbooked',
      version: 1,
      reason: 'Expected u_tpm to be an integer, got {"S":"many"}',
      record: records[1],
    },
  ]);
  expect(await consumedBy('damaged')).toEqual([{ tpm: 101 }]);
});

it('sends a record whose row refuses it with the name of that row, and books its other rows', async () => {
  await spoilMonth('spoilt');
  const buckets = new RecordedBuckets();
  const record = buckets.write(bucketKey({ entity: 'spoilt' }), { at, consumed: { tpm: 5 } });

  expect(await handler({ Records: [record] })).toEqual({ batchItemFailures: [] });

  expect(told()).toMatchObject([
    { rows: [{ pk: 'default#e#spoilt', sk: 'usage#month#2026-11-01T00:00:00Z#gpt-4#spoilt#0' }], record },
  ]);
  const admin = new HeadgateAdmin({ tableName, client });
  const { rows } = await admin.usage({ entity: 'spoilt', by: 'day', from: '2026-11-22', to: '2026-11-23' });
  expect(rows.map(({ consumed }) => consumed)).toEqual([{ tpm: 5 }]);
});

it('sets aside only what stands in front of the first record that comes again', async () => {
  const buckets = new RecordedBuckets();
  const early = altered(buckets.write(bucketKey({ entity: 'early' }), { at, consumed: { tpm: 1 } }), { NewImage: undefined });
  const unlucky = buckets.write(bucketKey({ entity: 'unlucky' }), { at, consumed: { tpm: 1 } });
  const late = altered(buckets.write(bucketKey({ entity: 'late' }), { at, consumed: { tpm: 1 } }), { NewImage: undefined });
  client.middlewareStack.add(
    (next) => async (args) => {
      if (JSON.stringify(args.input).includes('#unlucky#')) throw new Error('request lost');
      return next(args);
    },
    { step: 'initialize', name: 'failing' },
  );

  const answer = await handler({ Records: [early, unlucky, late] });

  expect(answer).toEqual({ batchItemFailures: [{ itemIdentifier: sequenceNumber(unlucky) }] });
  expect(told().map(({ record }) => record.dynamodb.SequenceNumber)).toEqual([sequenceNumber(early)]);
});

it('answers a record that the queue does not take, so that it is not lost', async () => {
  const buckets = new RecordedBuckets();
  const records = [1, 2].map((tpm) =>
    altered(buckets.write(bucketKey({ entity: 'unsent' }), { at, consumed: { tpm } }), { NewImage: undefined }),
  );
  queue.refuses = 2;

  expect(await handler({ Records: records })).toEqual({ batchItemFailures: [{ itemIdentifier: sequenceNumber(records[0]!) }] });
  expect(queue.bodies).toEqual([]);

  expect(await handler({ Records: records })).toEqual({ batchItemFailures: [] });
  expect(queue.bodies).toHaveLength(2);
});
