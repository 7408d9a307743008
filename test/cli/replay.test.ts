import { DescribeTableCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { DynamoDBRecord } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { program } from '../../cli/program.js';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { bookUsage } from '../../lib/usage/book-usage.js';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { DynamoUsageRows } from '../../lib/usage/dynamo-usage-rows.js';
import type { UnbookedRecord } from '../../lib/usage/unbooked-record.js';
import { createStreamedTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { SqsStub } from '../support/sqs-stub.js';
import { bucketKey, RecordedBuckets, sequenceNumber } from '../usage/recorded-buckets.js';
import { onlyShardOf, streamRecords } from '../usage/table-stream.js';

const at = '2026-11-22T13:00:00Z';
const client = testClient();
const queue = new SqsStub();
let url: string;
let tableName: string;

beforeAll(async () => {
  [url, tableName] = await Promise.all([queue.start(), createStreamedTable()]);
});
afterAll(() => queue.stop());
afterEach(() => queue.clear());

/** The command in this process. */
const replay = async (...flags: readonly string[]) => {
  let [code, stdout] = [-1, ''];
  const terminal = {
    style: 'plain' as const,
    out: (text: string) => {
      stdout += text;
    },
    error: (text: string) => {
      throw new Error(text);
    },
    exit: (ended: number) => {
      code = ended;
    },
  };
  const where = ['--table', tableName, '--endpoint', testEndpoint(), '--json'];
  await program(terminal).parseAsync(['node', 'headgate', ...where, 'replay', '--queue', url, ...flags]);
  return { code, answer: JSON.parse(stdout) };
};
const book = async (records: readonly DynamoDBRecord[]) =>
  bookUsage(new DynamoUsageRows(client, tableName), readBucketChanges(records).buckets);
const setAside = (record: DynamoDBRecord, over: Partial<UnbookedRecord> = {}) =>
  queue.put(JSON.stringify({ kind: 'headgate.unbooked', version: 1, reason: 'damaged', record, ...over }));

async function usedBy(entity: string) {
  const { rows } = await new HeadgateAdmin({ tableName, client }).usage({
    entity,
    by: 'month',
    from: '2026-11-01',
    to: '2026-12-01',
  });
  return rows.map(({ consumed, requests }) => ({ ...consumed, requests }));
}

describe('a record that was set aside', () => {
  it('is counted once, though its rows have counted later ones, and however often it is replayed', async () => {
    const buckets = new RecordedBuckets();
    const records = [1, 10, 100].map((tpm) =>
      buckets.write(bucketKey({ entity: 'aside' }), { at, consumed: { tpm }, requests: 1 }),
    );
    await book([records[0]!, records[2]!]);
    setAside(records[1]!);
    setAside(records[1]!);

    expect(await replay('--dry-run')).toMatchObject({ code: 0, answer: { messages: 2, records: 2, counted: 18 } });
    expect(await usedBy('aside')).toEqual([{ tpm: 101, requests: 2 }]);
    expect(queue.visible).toBe(2);

    expect(await replay()).toMatchObject({
      code: 0,
      answer: { messages: 2, records: 2, counted: 9, replayedBefore: 9, moved: 0, left: [] },
    });
    expect(await usedBy('aside')).toEqual([{ tpm: 111, requests: 3 }]);
    expect(queue.bodies).toEqual([]);

    setAside(records[1]!);
    expect(await replay()).toMatchObject({ answer: { counted: 0, replayedBefore: 9 } });
    expect(await usedBy('aside')).toEqual([{ tpm: 111, requests: 3 }]);
  });

  it('is not counted once more by a delivery that comes after its replay', async () => {
    const buckets = new RecordedBuckets();
    const record = buckets.write(bucketKey({ entity: 'again' }), { at, consumed: { tpm: 5 }, requests: 1 });
    setAside(record);
    expect(await replay()).toMatchObject({ answer: { counted: 9 } });

    expect(await book([record])).toEqual([]);

    expect(await usedBy('again')).toEqual([{ tpm: 5, requests: 1 }]);
  });

  it('is counted only in the row that had refused it, once the row is repaired, and stays in the queue until then', async () => {
    const row = { pk: 'default#e#refused', sk: 'usage#month#2026-11-01T00:00:00Z#gpt-4#refused#0' };
    const key = { pk: { S: row.pk }, sk: { S: row.sk } };
    await client.send(new PutItemCommand({ TableName: tableName, Item: { ...key, c_tpm: { S: 'many' } } }));
    const buckets = new RecordedBuckets();
    const record = buckets.write(bucketKey({ entity: 'refused' }), { at, consumed: { tpm: 5 }, requests: 1 });
    expect((await book([record])).map((failure) => failure.row)).toEqual([row]);
    setAside(record, { rows: [row] });

    const refused = await replay();
    expect(refused).toMatchObject({ code: 1, answer: { counted: 0 } });
    expect(refused.answer.left).toEqual([
      { message: `${sequenceNumber(record)} default#b#gpt-4#refused#0`, reason: expect.stringMatching(/./) },
    ]);
    expect(queue.visible).toBe(1);

    await client.send(
      new PutItemCommand({ TableName: tableName, Item: { ...key, resource: { S: 'gpt-4' }, c_tpm: { N: '70' }, n: { N: '2' } } }),
    );
    expect(await replay()).toMatchObject({ code: 0, answer: { counted: 1 } });
    expect(await usedBy('refused')).toEqual([{ tpm: 75, requests: 3 }]);
  });

  it('stays in the queue when it still cannot be read, is of another table, or is no record', async () => {
    const buckets = new RecordedBuckets();
    const record = buckets.write(bucketKey({ entity: 'damaged' }), { at, consumed: { tpm: 5 } });
    setAside({ ...record, dynamodb: { ...record.dynamodb, NewImage: undefined } } as unknown as DynamoDBRecord);
    setAside({ ...record, eventSourceARN: 'arn:aws:dynamodb:eu-west-1:1:table/elsewhere/stream/2026' });
    queue.put('hello');

    const { code, answer } = await replay();

    expect(code).toBe(1);
    expect(answer.left.map(({ reason }: { reason: string }) => reason)).toEqual([
      'Expected NewImage, got none',
      'it is a record of the table elsewhere',
      'it is neither a record nor a position in a stream',
    ]);
    expect(queue.visible).toBe(3);
  });
});

describe('what Lambda gave up', () => {
  /** Three acquires of the entity as the table's stream tells them, and the message of an on-failure destination about the first `count`. */
  async function givenUp(entity: string, count = 3) {
    const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, client });
    for (let call = 0; call < 3; call++) {
      await limiter.acquire({ entity, resource: 'gpt-4', limits: [Limit.perMinute('tpm', 100)], consume: { tpm: 7 } });
    }
    await limiter.close();
    const all = await streamRecords(client, tableName);
    const records = all.filter((record) => record.dynamodb?.Keys?.pk?.S === `default#b#gpt-4#${entity}#0`);
    expect(records).toHaveLength(3);
    const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
    const shardId = await onlyShardOf(Table!.LatestStreamArn!);
    const message = JSON.stringify({
      requestContext: { condition: 'RetryAttemptsExhausted' },
      DDBStreamBatchInfo: {
        shardId,
        startSequenceNumber: sequenceNumber(records[0]!),
        endSequenceNumber: sequenceNumber(records[count - 1]!),
        batchSize: count,
        streamArn: Table!.LatestStreamArn,
      },
    });
    return { records, message };
  }

  async function used(entity: string) {
    const { rows } = await new HeadgateAdmin({ tableName, client }).usage({
      entity,
      by: 'month',
      from: '2020-01-01',
      to: '2100-01-01',
    });
    return rows.map(({ consumed, requests }) => ({ ...consumed, requests }));
  }

  it('is read from the stream and counted once', async () => {
    const { message } = await givenUp('given-up');
    queue.put(message);
    queue.put(message);

    expect(await replay()).toMatchObject({ code: 0, answer: { messages: 2, records: 6, counted: 27, replayedBefore: 27 } });
    expect(await used('given-up')).toEqual([{ tpm: 21, requests: 3 }]);
    expect(queue.bodies).toEqual([]);
  });

  it('is left alone in rows that have moved on, unless told that nothing of it was counted', async () => {
    const { records, message } = await givenUp('moved-on', 2);
    await book(records.slice(2));
    queue.put(message);

    const { code, answer } = await replay();
    expect({ code, counted: answer.counted, moved: answer.moved }).toEqual({ code: 1, counted: 0, moved: 18 });
    expect(await used('moved-on')).toEqual([{ tpm: 7, requests: 1 }]);
    expect(queue.visible).toBe(1);

    expect(await replay('--count-moved')).toMatchObject({ code: 0, answer: { counted: 18, moved: 0 } });
    expect(await used('moved-on')).toEqual([{ tpm: 21, requests: 3 }]);
    expect(await replay('--count-moved')).toMatchObject({ code: 0, answer: { messages: 0 } });
  });
});
