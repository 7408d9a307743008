import { randomUUID } from 'node:crypto';
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  ThrottlingException,
} from '@aws-sdk/client-bedrock-runtime';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { type System, startSystem } from '../../local/system.js';
import { testClient, testEndpoint } from '../support/dynamodb.js';
import { BEDROCK_CALLS, converse, MODEL } from './bedrock-calls.js';

const tableName = `bedrock-${randomUUID()}`;
const database = testClient();
const admin = new HeadgateAdmin({ tableName, client: database });
let system: System;

/** A token in a hundred days: what refills meanwhile does not blur the count. */
const slow = (name: string, capacity: number, counts: 'requests' | 'tokens' | 'inputTokens' | 'outputTokens') =>
  Limit.custom({ name, capacity, refillAmount: 1, refillPeriodMs: 8_640_000_000, counts });

beforeAll(async () => {
  system = await startSystem({ port: 0, dynamoEndpoint: testEndpoint(), tableName, namespace: 'default' });
  await admin.setLimits({ resource: 'bedrock' }, [slow('rpc', 10_000, 'requests')]);
});

afterAll(() => system.stop());

/** A new caller with these limits on the model, and its client: the key of a caller goes where Bedrock's own API keys go. */
async function caller(limits: readonly Limit[]) {
  const entity = `caller-${randomUUID()}`;
  await admin.setLimits({ entity, resource: MODEL }, limits);
  const { secret } = await admin.createKey({ entity });
  const client = new BedrockRuntimeClient({
    endpoint: `${system.url}/llm/bedrock`,
    region: 'us-east-1',
    token: { token: secret },
    authSchemePreference: ['httpBearerAuth'],
    maxAttempts: 1,
    // By default it speaks HTTP/2, which the local API does not.
    requestHandler: new NodeHttpHandler(),
  });
  const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, client: database });
  return { client, left: () => limiter.available({ entity, resource: MODEL }) };
}

const everyLimit = [
  slow('calls', 100, 'requests'),
  slow('all', 10_000, 'tokens'),
  slow('in', 10_000, 'inputTokens'),
  slow('out', 10_000, 'outputTokens'),
  Limit.concurrent('inflight', 1, { leaseMs: 600_000 }),
];

describe.each(BEDROCK_CALLS)('$name of the AWS SDK through the gateway', ({ call }) => {
  it('settles what the client was told, to the token', async () => {
    const { client, left } = await caller(everyLimit);

    const first = await call(client, 'How do gates work?');
    const second = await call(client, 'And who opens them in the morning, when nobody is up?');

    const [input, output] = [first[0] + second[0], first[1] + second[1]];
    expect(input).toBeGreaterThan(10);
    expect(await left()).toEqual({
      calls: 98,
      all: 10_000 - input - output,
      in: 10_000 - input,
      out: 10_000 - output,
      inflight: 1,
    });
  });

  it('raises the SDK’s own ThrottlingException when it is denied, with the wait', async () => {
    const { client } = await caller([Limit.perHour('rph', 1)]);
    await call(client, 'One');

    const denied = await call(client, 'Two').catch((error: unknown) => error);

    expect(denied).toBeInstanceOf(ThrottlingException);
    const { $response } = denied as ThrottlingException;
    // An hour, but for the time since the first call.
    expect(Number($response?.headers['retry-after'])).toBeGreaterThan(3_500);
    expect(Number($response?.headers['retry-after'])).toBeLessThanOrEqual(3_600);
  });
});

describe('Bedrock behind the gateway', () => {
  it('is asked with the caller’s bytes, and its error is the client’s own', async () => {
    const { client, left } = await caller(everyLimit);
    const denied = await client
      .send(new ConverseCommand({ ...converse('Hi'), inferenceConfig: { maxTokens: -1 } }))
      .catch((error) => error);
    expect(denied).toMatchObject({
      name: 'ValidationException',
      message: 'Expected maxTokens to be an integer of at least 1, got -1',
    });
    expect(await left()).toEqual({ calls: 99, all: 10_000, in: 10_000, out: 10_000, inflight: 1 });
  });

  it('is read on when its client leaves in the middle of a stream, and settled by its real usage', async () => {
    const { client, left } = await caller(everyLimit);
    const before = system.upstream.producedTokens;
    const { stream } = await client.send(new ConverseStreamCommand(converse('Leave early')));
    for await (const _ of stream!) break;
    await expect.poll(async () => (await left()).inflight).toBe(1);
    expect(await left()).toMatchObject({ calls: 99, all: 10_000 - (system.upstream.producedTokens - before) });
  });
});
