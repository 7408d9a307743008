import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, expect, it } from 'vitest';
import { Deadline } from '../../lib/admission/deadline.js';
import { Limit, rateOf } from '../../lib/core/limit.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import type { BucketWrite } from '../../lib/store/store.js';
import { createTestTable, testClient } from '../support/dynamodb.js';

const { windowFs } = rateOf(Limit.perMinute('rpm', 10));
const write = (entity: string): BucketWrite => ({
  key: { namespace: 'default', resource: 'gpt-4', entity, shard: 0 },
  limits: [{ name: 'rpm', windowFs, branch: { kind: 'idle', fullAtFs: 1n, belowFs: 1n }, consumed: 1n }],
  requests: 1,
  denials: 0,
  ttl: { seconds: 4_000_000_000, ifAbsent: true },
});

const clients: DynamoDBClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});
const opened = <T extends DynamoDBClient>(client: T): T => {
  clients.push(client);
  return client;
};

it('bucket writes go through middleware that was added to the client after the first of them, and not through what was removed', async () => {
  const client = testClient();
  const store = new DynamoStore({ client, tableName: await createTestTable() });
  const seen: string[] = [];
  const noting = (name: string) => {
    client.middlewareStack.add(
      (next) => (args) => {
        seen.push(`${name} ${(args.input as { readonly Key: { readonly pk: { readonly S: string } } }).Key.pk.S}`);
        return next(args);
      },
      { step: 'initialize', name },
    );
  };
  await store.write(write('a'));
  noting('one');
  await store.write(write('b'));
  noting('two');
  await Promise.all([store.write(write('c')), store.write(write('d'))]);
  client.middlewareStack.remove('one');
  await store.write(write('e'));
  client.middlewareStack.remove('two');
  await store.write(write('f'));

  const of = (entity: string) => `default#b#gpt-4#${entity}#0`;
  expect(seen.toSorted()).toEqual([
    `one ${of('b')}`,
    `one ${of('c')}`,
    `one ${of('d')}`,
    `two ${of('c')}`,
    `two ${of('d')}`,
    `two ${of('e')}`,
  ]);
});

/** A client whose requests never come back, and which says which of them were ended. */
function silentClient() {
  const [asked, ended]: [string[], string[]] = [[], []];
  const handle = (request: { readonly body: string }, { abortSignal }: { readonly abortSignal?: AbortSignal } = {}) => {
    const entity = /gpt-4#(\w+)#0/.exec(request.body)?.[1] ?? '';
    asked.push(entity);
    return new Promise<never>((_, reject) => {
      if (abortSignal === undefined) return;
      abortSignal.onabort = () => {
        ended.push(entity);
        reject(new Error('the socket was destroyed'));
      };
    });
  };
  const client = opened(
    new DynamoDBClient({
      region: 'eu-west-1',
      endpoint: 'http://127.0.0.1:1',
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
      requestHandler: { handle } as never,
    }),
  );
  return { client, asked, ended };
}

it('each bucket write is ended by its own deadline, and its request with it', async () => {
  const { client, asked, ended } = silentClient();
  const store = new DynamoStore({ client, tableName: 'headgate' });
  const [short, long] = [new Deadline(50), new Deadline(30_000)];
  const first = store.write(write('first'), { signal: short.signal });
  const second = store.write(write('second'), { signal: long.signal }).catch(() => 'never');

  await expect(first).rejects.toMatchObject({ name: 'StoreFailure', ambiguous: true });

  expect([asked.toSorted(), ended]).toEqual([['first', 'second'], ['first']]);
  expect(long.passed).toBe(false);
  long.done();
  void second;
});

it('a bucket write is ended although the client still looks for its credentials', async () => {
  const client = opened(
    new DynamoDBClient({ region: 'eu-west-1', endpoint: 'http://127.0.0.1:1', credentials: () => new Promise(() => {}) }),
  );
  const store = new DynamoStore({ client, tableName: 'headgate' });
  const deadline = new Deadline(50);
  await expect(store.write(write('a'), { signal: deadline.signal })).rejects.toMatchObject({ name: 'StoreFailure' });
});
