import { randomUUID } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { BedrockRuntimeClient, ConverseCommand } from '@aws-sdk/client-bedrock-runtime';
import { GoogleGenAI } from '@google/genai';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { OpenAI } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEMO } from '../../local/demo.js';
import { type System, startSystem } from '../../local/system.js';
import { testEndpoint } from '../support/dynamodb.js';

const { key, model, others } = DEMO;
const messages = [{ role: 'user' as const, content: 'Hello' }];
let system: System;

beforeAll(async () => {
  const tableName = `demo-${randomUUID()}`;
  system = await startSystem({ port: 0, dynamoEndpoint: testEndpoint(), tableName, namespace: 'default' });
});

afterAll(() => system.stop());

/** What a model says, by its provider's official client. */
const SAID: readonly { readonly provider: string; readonly ask: (url: string) => Promise<string | null | undefined> }[] = [
  {
    provider: 'openai',
    ask: async (url) => {
      const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key });
      return (await client.chat.completions.create({ model, messages })).choices[0]?.message.content;
    },
  },
  {
    provider: 'anthropic',
    ask: async (url) => {
      const client = new Anthropic({ baseURL: url, apiKey: key });
      const { content } = await client.messages.create({ model: others.anthropic, max_tokens: 100, messages });
      return content[0]?.type === 'text' ? content[0].text : undefined;
    },
  },
  {
    provider: 'gemini',
    ask: async (url) => {
      const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } });
      return (await client.models.generateContent({ model: others.gemini, contents: 'Hello' })).text;
    },
  },
  {
    provider: 'bedrock',
    ask: async (url) => {
      const token = { token: key };
      const signsNothing = { token, authSchemePreference: ['httpBearerAuth'], requestHandler: new NodeHttpHandler() };
      const client = new BedrockRuntimeClient({ endpoint: url, region: 'eu-west-1', ...signsNothing });
      const said = [{ role: 'user' as const, content: [{ text: 'Hello' }] }];
      const { output } = await client.send(new ConverseCommand({ modelId: others.bedrock, messages: said }));
      return output?.message?.content?.[0]?.text;
    },
  },
];

it.each(SAID)('the demo’s key is let through to $provider with its official client', async ({ provider, ask }) => {
  expect(await ask(`${system.url}/llm/${provider}`)).toMatch(/^The key was cut/);
});
