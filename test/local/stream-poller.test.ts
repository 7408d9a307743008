import {
  DeleteItemCommand,
  DescribeTableCommand,
  PutItemCommand,
  UpdateItemCommand,
  UpdateTableCommand,
} from '@aws-sdk/client-dynamodb';
import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
} from '@aws-sdk/client-dynamodb-streams';
import type { DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import type { Handler } from '../../local/lambda-runtime.js';
import { StreamPoller } from '../../local/stream-poller.js';
import { createStreamedTable, testClient, testEndpoint } from '../support/dynamodb.js';

const client = testClient();
const WITHIN = { timeout: 15_000, interval: 20 };

let tableName: string;
let streamArn: string;
let poller: StreamPoller | undefined;

beforeEach(async () => {
  tableName = await createStreamedTable(client);
  const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
  streamArn = Table?.LatestStreamArn ?? '';
});

afterEach(async () => {
  await poller?.stop();
  poller = undefined;
  vi.restoreAllMocks();
});

type Answer = DynamoDBBatchResponse | undefined;

/** Starts a poller; the batches that its handler gets, and what it answers them. */
function polling(answer: (records: readonly DynamoDBRecord[], batch: number) => Answer | Promise<Answer> = () => undefined) {
  const batches: DynamoDBRecord[][] = [];
  const handler = async ({ Records }: DynamoDBStreamEvent) => {
    batches.push(Records);
    return answer(Records, batches.length);
  };
  poller = new StreamPoller({ endpoint: testEndpoint(), streamArn, handler: handler as unknown as Handler });
  poller.start();
  return batches;
}

/** One more write of a bucket: its `n` becomes `value`. */
async function write(bucket: string, value: number): Promise<void> {
  await client.send(
    new UpdateItemCommand({
      TableName: tableName,
      Key: { pk: { S: bucket }, sk: { S: 'b' } },
      UpdateExpression: 'SET n = :n',
      ExpressionAttributeValues: { ':n': { N: String(value) } },
    }),
  );
}

const bucketOf = ({ dynamodb }: DynamoDBRecord) => dynamodb?.Keys?.pk?.S ?? '';
const countOf = ({ dynamodb }: DynamoDBRecord) => Number(dynamodb?.NewImage?.n?.N);
const positionOf = ({ dynamodb }: DynamoDBRecord) => dynamodb?.SequenceNumber ?? '';
const failing = (...records: readonly (DynamoDBRecord | undefined)[]): DynamoDBBatchResponse => ({
  batchItemFailures: records.map((record) => ({ itemIdentifier: record === undefined ? '' : positionOf(record) })),
});

/** Returns when the poller has looked for shards five times more. */
async function fiveLooks(sent: MockInstance<DynamoDBStreamsClient['send']>): Promise<void> {
  const looks = () => sent.mock.calls.filter(([command]) => command instanceof DescribeStreamCommand).length;
  const then = looks();
  await vi.waitFor(() => expect(looks()).toBeGreaterThanOrEqual(then + 5), WITHIN);
}

describe('the batches of a table’s stream', () => {
  it('hold every change of every bucket once, in order for each, whenever it was written', async () => {
    const buckets = ['ns#b#gpt#a#0', 'ns#b#gpt#b#0', 'ns#b#gpt#c#0'];
    const wanted = Array.from({ length: 30 }, (_, value) => value);
    const early = wanted.slice(0, 15);
    for (const value of early) await Promise.all(buckets.map((bucket) => write(bucket, value)));
    const batches = polling();
    for (const value of wanted.slice(15)) await Promise.all(buckets.map((bucket) => write(bucket, value)));
    // What comes before the mark in its shard has been delivered with it.
    await write('ns#b#gpt#mark#0', 1);
    await vi.waitFor(() => expect(batches.flat().map(bucketOf)).toContain('ns#b#gpt#mark#0'), WITHIN);
    for (const bucket of buckets) {
      const delivered = batches.flat().filter((record) => bucketOf(record) === bucket);
      expect(delivered.map(countOf)).toEqual(wanted);
      expect(delivered.map(({ eventName }) => eventName)).toEqual(['INSERT', ...wanted.slice(1).map(() => 'MODIFY')]);
    }
    expect(batches.flat()).toHaveLength(91);
  });

  it('hold no item but buckets, and no removal of one', async () => {
    const TableName = tableName;
    await client.send(new PutItemCommand({ TableName, Item: { pk: { S: 'ns#e#acme' }, sk: { S: 'meta' } } }));
    await client.send(new PutItemCommand({ TableName, Item: { pk: { S: 'ns#e#acme' }, sk: { S: 'usage#day#x' } } }));
    await write('ns#b#gpt#a#0', 1);
    await client.send(new DeleteItemCommand({ TableName, Key: { pk: { S: 'ns#b#gpt#a#0' }, sk: { S: 'b' } } }));
    await write('ns#b#gpt#mark#0', 2);
    const batches = polling();
    await vi.waitFor(() => expect(batches.flat().map(bucketOf)).toContain('ns#b#gpt#mark#0'), WITHIN);
    expect(batches.flat().map(({ eventName, dynamodb }) => [eventName, dynamodb?.Keys?.sk?.S])).toEqual([
      ['INSERT', 'b'],
      ['INSERT', 'b'],
    ]);
  });

  it('have the shape that Lambda gives them: attribute values, epoch seconds, the stream’s ARN', async () => {
    const sinceSeconds = Math.floor(Date.now() / 1_000);
    await write('ns#b#gpt#a#0', 1);
    await write('ns#b#gpt#a#0', 2);
    const batches = polling();
    await vi.waitFor(() => expect(batches.flat()).toHaveLength(2), WITHIN);
    const [inserted, modified] = batches.flat();
    const key = { pk: { S: 'ns#b#gpt#a#0' }, sk: { S: 'b' } };
    expect(inserted).toMatchObject({
      eventID: expect.stringMatching(/./),
      eventName: 'INSERT',
      eventSource: 'aws:dynamodb',
      eventSourceARN: streamArn,
      dynamodb: { Keys: key, NewImage: { ...key, n: { N: '1' } }, StreamViewType: 'NEW_AND_OLD_IMAGES' },
    });
    expect(inserted?.dynamodb).not.toHaveProperty('OldImage');
    expect(modified?.dynamodb).toMatchObject({ OldImage: { ...key, n: { N: '1' } }, NewImage: { ...key, n: { N: '2' } } });
    expect(positionOf(modified!) > positionOf(inserted!)).toBe(true);
    const atSeconds = inserted?.dynamodb?.ApproximateCreationDateTime;
    expect(Number.isInteger(atSeconds)).toBe(true);
    // DynamoDB cuts the time off at the minute.
    expect(atSeconds).toBeGreaterThanOrEqual(sinceSeconds - 60);
    expect(atSeconds).toBeLessThanOrEqual(Date.now() / 1_000);
    expect(JSON.parse(JSON.stringify(inserted))).toEqual(inserted);
  });

  it('are delivered once from a shard that was closed with changes at its end', async () => {
    for (const value of [0, 1, 2]) await write('ns#b#gpt#a#0', value);
    await client.send(new UpdateTableCommand({ TableName: tableName, StreamSpecification: { StreamEnabled: false } }));
    const sent = vi.spyOn(DynamoDBStreamsClient.prototype, 'send');
    const batches = polling();
    await vi.waitFor(() => expect(batches.flat().map(countOf)).toEqual([0, 1, 2]), WITHIN);
    await fiveLooks(sent);
    expect(batches.flat().map(countOf)).toEqual([0, 1, 2]);
  });
});

describe('a batch that fails', () => {
  beforeEach(async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    for (const value of [0, 1, 2, 3, 4]) await write('ns#b#gpt#a#0', value);
  });

  it.each([
    { when: 'one record is named', named: [2], again: [2, 3, 4] },
    { when: 'several are named, the lowest last', named: [4, 1], again: [1, 2, 3, 4] },
    { when: 'the first is named', named: [0], again: [0, 1, 2, 3, 4] },
    { when: 'a record that is not in it is named', named: [99], again: [0, 1, 2, 3, 4] },
  ])('is delivered again from its lowest failed record when $when', async ({ named, again }) => {
    const batches = polling((records, batch) => (batch === 1 ? failing(...named.map((index) => records[index])) : failing()));
    await vi.waitFor(() => expect(batches).toHaveLength(2), WITHIN);
    await write('ns#b#gpt#a#0', 5);
    await vi.waitFor(() => expect(batches).toHaveLength(3), WITHIN);
    expect(batches.map((records) => records.map(countOf))).toEqual([[0, 1, 2, 3, 4], again, [5]]);
  });

  it('is delivered again as a whole when the handler throws, as often as it does', async () => {
    const batches = polling((_, batch) => {
      if (batch <= 2) throw new Error('no answer from the table');
      return undefined;
    });
    await vi.waitFor(() => expect(batches).toHaveLength(3), WITHIN);
    expect(batches.map((records) => records.map(countOf))).toEqual([
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3, 4],
    ]);
    expect(console.error).toHaveBeenCalledTimes(2);
  });

  it('is over when the handler answers nothing, or an object without failures', async () => {
    const batches = polling((_, batch) => (batch === 1 ? undefined : ({} as DynamoDBBatchResponse)));
    await vi.waitFor(() => expect(batches).toHaveLength(1), WITHIN);
    await write('ns#b#gpt#a#0', 5);
    await vi.waitFor(() => expect(batches).toHaveLength(2), WITHIN);
    await write('ns#b#gpt#a#0', 6);
    await vi.waitFor(() => expect(batches).toHaveLength(3), WITHIN);
    expect(batches.flat().map(countOf)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});

describe('several shards', () => {
  /** A stream of two shards that were there before, and a child of the first: DynamoDB Local has but one at a time. */
  function threeShards(): MockInstance<DynamoDBStreamsClient['send']> {
    const record = (shard: string) => ({
      eventName: 'INSERT',
      dynamodb: { Keys: { pk: { S: shard }, sk: { S: 'b' } }, SequenceNumber: `${shard}-1` },
    });
    return vi.spyOn(DynamoDBStreamsClient.prototype, 'send').mockImplementation(async (command: unknown) => {
      if (command instanceof DescribeStreamCommand)
        return {
          StreamDescription: {
            Shards: [{ ShardId: 'child', ParentShardId: 'parent' }, { ShardId: 'parent' }, { ShardId: 'other' }],
          },
        };
      if (command instanceof GetShardIteratorCommand) return { ShardIterator: command.input.ShardId };
      if (command instanceof GetRecordsCommand) return { Records: [record(command.input.ShardIterator ?? '')] };
      throw new Error('not a call of the poller');
    });
  }

  it('are read in the order of their ancestry, each once', async () => {
    const sent = threeShards();
    const batches = polling();
    await vi.waitFor(() => expect(batches).toHaveLength(3), WITHIN);
    await fiveLooks(sent);
    const order = batches.flat().map(bucketOf);
    expect(order.toSorted()).toEqual(['child', 'other', 'parent']);
    expect(order.indexOf('parent')).toBeLessThan(order.indexOf('child'));
  });

  it('do not hold each other up: only the children of a shard that fails wait for it', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    threeShards();
    let broken = true;
    const batches = polling((records) => (broken && bucketOf(records[0]!) === 'parent' ? failing(records[0]) : undefined));
    const delivered = () => batches.flat().map(bucketOf);
    await vi.waitFor(() => expect(delivered().filter((shard) => shard === 'parent').length).toBeGreaterThanOrEqual(2), WITHIN);
    expect(delivered().filter((shard) => shard === 'other')).toHaveLength(1);
    expect(delivered()).not.toContain('child');
    broken = false;
    await vi.waitFor(() => expect(delivered()).toContain('child'), WITHIN);
    expect(delivered().at(-2)).toBe('parent');
  });
});

it('stops only when the batch in flight has been answered, and delivers nothing after', async () => {
  let answer: (value: undefined) => void = () => {};
  const batches = polling(() => new Promise<undefined>((resolve) => (answer = resolve)));
  await write('ns#b#gpt#a#0', 1);
  await vi.waitFor(() => expect(batches).toHaveLength(1), WITHIN);
  await write('ns#b#gpt#a#0', 2);
  let stopped = false;
  const stopping = poller?.stop().then(() => {
    stopped = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(stopped).toBe(false);
  answer(undefined);
  await stopping;
  expect(batches.flat().map(countOf)).toEqual([1]);
});
