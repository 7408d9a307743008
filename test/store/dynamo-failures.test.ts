import { type DynamoDBClient, DynamoDBServiceException, TransactionCanceledException } from '@aws-sdk/client-dynamodb';
import { beforeAll, expect, it } from 'vitest';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { StoreFailure } from '../../lib/store/store.js';
import { countCalls, createTestTable, testClient } from '../support/dynamodb.js';

const key = { namespace: 'default', resource: 'gpt-4', entity: 'key-123', shard: 0 };
const write = { key, limits: [], requests: 1, denials: 0, ttl: { seconds: 4_000_000_000, ifAbsent: true } };

let tableName: string;

beforeAll(async () => {
  tableName = await createTestTable();
});

/** A client whose every attempt is sent and answered by this error. */
function failing(error: Error): DynamoDBClient {
  const client = testClient({ maxAttempts: 3 });
  const fail = (next: (args: never) => Promise<unknown>) => async (args: never) => {
    await next(args);
    throw error;
  };
  client.middlewareStack.add(fail as never, { step: 'deserialize', priority: 'low', name: 'fail' });
  return client;
}

function answered(name: string, httpStatusCode: number): DynamoDBServiceException {
  const $fault = httpStatusCode < 500 ? 'client' : 'server';
  return new DynamoDBServiceException({ name, message: 'as the service says', $fault, $metadata: { httpStatusCode } });
}

it.each([
  { error: answered('ProvisionedThroughputExceededException', 400), ambiguous: false, retryable: true, throttled: true },
  { error: answered('RequestLimitExceeded', 400), ambiguous: false, retryable: true, throttled: true },
  { error: answered('ThrottlingException', 400), ambiguous: false, retryable: true, throttled: true },
  { error: answered('InternalServerError', 500), ambiguous: true, retryable: true, throttled: false },
  { error: answered('ServiceUnavailable', 503), ambiguous: true, retryable: true, throttled: false },
  { error: answered('ValidationException', 400), ambiguous: false, retryable: false, throttled: false },
  { error: answered('AccessDeniedException', 400), ambiguous: false, retryable: false, throttled: false },
  {
    error: Object.assign(new Error('socket hang up'), { name: 'ConnectionReset', code: 'ECONNRESET' }),
    ambiguous: true,
    retryable: true,
    throttled: false,
  },
])(
  'reports $error.name as ambiguous: $ambiguous, retryable: $retryable, throttled: $throttled',
  async ({ error, ...expected }) => {
    const failure = await new DynamoStore({ client: failing(error), tableName }).write(write).catch((thrown: unknown) => thrown);

    expect(failure).toBeInstanceOf(StoreFailure);
    expect(failure).toMatchObject({ ...expected, cause: error });
  },
);

it.each([
  { call: 'write', send: (store: DynamoStore) => store.write(write), attempts: 1 },
  { call: 'transact', send: (store: DynamoStore) => store.transact([{ kind: 'bucket', write }]), attempts: 1 },
  { call: 'read', send: (store: DynamoStore) => store.read(key), attempts: 3 },
])('sends a $call $attempts times where the client tries three times', async ({ send, attempts }) => {
  const client = failing(answered('InternalServerError', 500));
  const calls = countCalls(client);

  await expect(send(new DynamoStore({ client, tableName }))).rejects.toThrow(StoreFailure);

  expect(calls.total).toBe(attempts);
});

it('lets the client learn from a refused write that its clock is wrong', async () => {
  const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
  const skewed = Object.assign(answered('InvalidSignatureException', 400), {
    $response: { statusCode: 400, headers: { date: inAnHour } },
  });
  const client = failing(skewed);

  await expect(new DynamoStore({ client, tableName }).write(write)).rejects.toThrow(StoreFailure);

  expect(client.config.systemClockOffset).toBeGreaterThan(3_590_000);
});

it('calls a write ambiguous whose signal aborted: it may have happened', async () => {
  const signal = AbortSignal.abort(new Error('no time left'));

  await expect(new DynamoStore({ client: testClient(), tableName }).write(write, { signal })).rejects.toMatchObject({
    name: 'StoreFailure',
    ambiguous: true,
  });
});

it('calls a transaction that met another one not written, and worth another try', async () => {
  const reasons = [{ Code: 'None' }, { Code: 'TransactionConflict' }];
  const cancelled = new TransactionCanceledException({ message: '', $metadata: {}, CancellationReasons: reasons });

  await expect(
    new DynamoStore({ client: failing(cancelled), tableName }).transact([{ kind: 'bucket', write }]),
  ).rejects.toMatchObject({ name: 'StoreFailure', ambiguous: false, retryable: true, cause: cancelled });
});

interface Batch {
  readonly RequestItems: Record<string, { readonly Keys: readonly unknown[] }>;
}

/** A client that answers `processed` keys of a batch at a time and leaves the others unprocessed. */
function processing(processed: number): DynamoDBClient {
  const client = testClient();
  const leave =
    (next: (args: { readonly input: Batch }) => Promise<{ readonly output: object }>) =>
    async (args: { readonly input: Batch }) => {
      const keys = args.input.RequestItems[tableName]?.Keys ?? [];
      const left = keys.slice(processed);
      const UnprocessedKeys = left.length > 0 ? { [tableName]: { Keys: left } } : {};
      if (processed === 0) return { response: {}, output: { $metadata: {}, UnprocessedKeys } };
      const result = await next({ ...args, input: { RequestItems: { [tableName]: { Keys: keys.slice(0, processed) } } } });
      return { ...result, output: { ...result.output, UnprocessedKeys } };
    };
  client.middlewareStack.add(leave as never, { step: 'initialize', name: 'leaveUnprocessed' });
  return client;
}

it('asks again for the keys that a batch left unprocessed', async () => {
  const pk = 'default#e#unprocessed';
  const items = ['a', 'b', 'c', 'd', 'e'].map((sk) => ({ pk, sk, value: sk }));
  await new DynamoStore({ client: testClient(), tableName }).transact(items.map((item) => ({ kind: 'put', item })));

  const found = await new DynamoStore({ client: processing(2), tableName }).getItems([...items, { pk, sk: 'none' }]);

  expect(found).toEqual([...items, undefined]);
});

it('gives up on keys that stay unprocessed, and says how many there are', async () => {
  const keys = ['a', 'b', 'c'].map((sk) => ({ pk: 'default#e#stuck', sk }));

  await expect(new DynamoStore({ client: processing(0), tableName }).getItems(keys)).rejects.toMatchObject({
    name: 'StoreFailure',
    message: 'DynamoDB left 3 keys unprocessed 8 times',
    retryable: true,
  });
});
