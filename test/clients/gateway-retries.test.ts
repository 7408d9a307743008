import { randomUUID } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { OpenAI } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { type System, startSystem } from '../../local/system.js';
import { testClient, testEndpoint } from '../support/dynamodb.js';

const tableName = `gateway-retries-${randomUUID()}`;
const database = testClient();
const admin = new HeadgateAdmin({ tableName, client: database });
let system: System;

beforeAll(async () => {
  system = await startSystem({ port: 0, dynamoEndpoint: testEndpoint(), tableName, namespace: 'default' });
});

afterAll(() => system.stop());

const messages = [{ role: 'user' as const, content: 'Hello' }];

/** A call by an official client that tries three times, and the tokens that it is told in the end. */
const CALLS: readonly {
  readonly provider: string;
  readonly model: string;
  readonly call: (url: string, key: string) => Promise<number | undefined>;
}[] = [
  {
    provider: 'openai',
    model: 'gpt-4o-mini',
    call: async (url, apiKey) => {
      const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 2 });
      return (await client.chat.completions.create({ model: 'gpt-4o-mini', messages })).usage?.total_tokens;
    },
  },
  {
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    call: async (url, apiKey) => {
      const client = new Anthropic({ baseURL: url, apiKey, maxRetries: 2 });
      const { usage } = await client.messages.create({ model: 'claude-sonnet-4-5', max_tokens: 100, messages });
      return usage.input_tokens + usage.output_tokens;
    },
  },
];

it.each(CALLS)(
  'a call to $provider that its client makes three times through the gateway costs its tokens once, and three requests',
  async ({ provider, model, call }) => {
    const entity = `caller-${randomUUID()}`;
    await admin.setLimits({ entity, resource: provider }, [Limit.perDay('rpd', 10)]);
    await admin.setLimits({ entity, resource: model }, [
      Limit.perDay('rpd', 10),
      Limit.perDay('tpd', 1_000),
      Limit.concurrent('calls', 1, { leaseMs: 60_000 }),
    ]);
    const { secret } = await admin.createKey({ entity });
    Object.assign(system.upstream.behaviour, { failWith: 503, failTimes: 2, failHeaders: { 'retry-after-ms': '1' } });

    const told = (await call(`${system.url}/llm/${provider}`, secret)) ?? Number.NaN;

    const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, client: database });
    expect(told).toBeGreaterThan(5);
    expect(await limiter.available({ entity, resource: model })).toEqual({ rpd: 7, tpd: 1_000 - told, calls: 1 });
    expect(await limiter.available({ entity, resource: provider })).toEqual({ rpd: 7 });
  },
);
