import { randomUUID } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { BedrockRuntimeClient, CountTokensCommand } from '@aws-sdk/client-bedrock-runtime';
import { GoogleGenAI } from '@google/genai';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { OpenAI } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { type System, startSystem } from '../../local/system.js';
import { testClient, testEndpoint } from '../support/dynamodb.js';

const tableName = `free-calls-${randomUUID()}`;
const database = testClient();
const admin = new HeadgateAdmin({ tableName, client: database });
let system: System;

beforeAll(async () => {
  system = await startSystem({ port: 0, dynamoEndpoint: testEndpoint(), tableName, namespace: 'default' });
});

afterAll(() => system.stop());

const messages = [{ role: 'user' as const, content: 'Hello' }];

/** What a provider does for nothing, by its official client; the answer proves that it was asked. */
const FREE: readonly {
  readonly what: string;
  readonly provider: string;
  readonly model: string;
  readonly ask: (url: string, key: string) => Promise<unknown>;
  /** What its client reads out of a denial in the provider's own shape. */
  readonly denied: object;
}[] = [
  {
    what: 'the list of OpenAI’s models',
    provider: 'openai',
    model: 'gpt-4o-mini',
    ask: async (url, apiKey) => (await new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }).models.list()).data.length > 0,
    denied: { name: 'Error', code: 'RateLimitExceeded', status: 429 },
  },
  {
    what: 'Anthropic’s count of tokens',
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    ask: async (url, apiKey) => {
      const client = new Anthropic({ baseURL: url, apiKey, maxRetries: 0 });
      return (await client.messages.countTokens({ model: 'claude-sonnet-4-5', messages })).input_tokens > 0;
    },
    denied: { status: 429, type: 'rate_limit_error' },
  },
  {
    what: 'Gemini’s count of tokens',
    provider: 'gemini',
    model: 'gemini-2.5-flash',
    ask: async (url, apiKey) => {
      const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url } });
      return Number((await client.models.countTokens({ model: 'gemini-2.5-flash', contents: 'Hello' })).totalTokens) > 0;
    },
    denied: { status: 429, message: expect.stringContaining('"status":"RESOURCE_EXHAUSTED"') },
  },
  {
    what: 'Bedrock’s count of tokens',
    provider: 'bedrock',
    model: 'amazon.nova-pro-v1:0',
    ask: async (url, token) => {
      const client = new BedrockRuntimeClient({
        endpoint: url,
        region: 'eu-west-1',
        token: { token },
        authSchemePreference: ['httpBearerAuth'],
        maxAttempts: 1,
        requestHandler: new NodeHttpHandler(),
      });
      const converse = { messages: [{ role: 'user' as const, content: [{ text: 'Hello' }] }] };
      const counting = new CountTokensCommand({ modelId: 'amazon.nova-pro-v1:0', input: { converse } });
      return Number((await client.send(counting)).inputTokens) > 0;
    },
    denied: { name: 'ThrottlingException', $metadata: { httpStatusCode: 429 } },
  },
];

it.each(FREE)(
  '$what is asked through the gateway with the official client, draws on the provider’s requests, costs no tokens, and is denied in its own shape',
  async ({ provider, model, ask, denied }) => {
    const entity = `caller-${randomUUID()}`;
    const limits = [Limit.perHour('rph', 2), Limit.perDay('tpd', 1_000)];
    await admin.setLimits({ entity, resource: provider }, limits);
    await admin.setLimits({ entity, resource: model }, limits);
    const { secret } = await admin.createKey({ entity });
    const url = `${system.url}/llm/${provider}`;

    expect(await ask(url, secret)).toBe(true);

    const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, client: database });
    expect(await limiter.available({ entity, resource: provider })).toEqual({ rph: 1, tpd: 1_000 });
    expect(await limiter.available({ entity, resource: model })).toEqual({ rph: 2, tpd: 1_000 });
    await ask(url, secret);
    await expect(ask(url, secret)).rejects.toMatchObject(denied);
  },
);
