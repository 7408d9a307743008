import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText, wrapLanguageModel } from 'ai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitedModel } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { memory, type TestBed } from '../support/stores.js';

let upstream: SimulatedUpstream;
let bed: TestBed;

beforeAll(async () => {
  upstream = await startUpstream();
  bed = await memory.fresh();
});

afterAll(() => upstream.stop());

describe.each([
  {
    provider: '@ai-sdk/openai',
    modelId: 'gpt-4o-mini',
    plain: () => createOpenAI({ baseURL: `${upstream.url}/v1`, apiKey: 'k' })('gpt-4o-mini'),
  },
  {
    provider: '@ai-sdk/anthropic',
    modelId: 'claude-sonnet-4-5',
    plain: () => createAnthropic({ baseURL: `${upstream.url}/v1`, apiKey: 'k' })('claude-sonnet-4-5'),
  },
])('the AI SDK with $provider, through limitedModel', ({ provider, modelId, plain }) => {
  async function limited(entity: string, limits: readonly Limit[]) {
    await bed.admin().setLimits({ entity, resource: modelId }, limits);
    const model = wrapLanguageModel({ model: plain(), middleware: limitedModel({ limiter: bed.limiter(), entity }) });
    return { model, left: () => bed.limiter().available({ entity, resource: modelId }) };
  }

  it('settles what the model told, in one piece and as a stream', async () => {
    const { model, left } = await limited(`${provider}-1`, [
      Limit.perHour('rph', 10),
      Limit.perHour('tph', 100_000),
      Limit.concurrent('inflight', 1, { leaseMs: 600_000 }),
    ]);
    const { usage } = await generateText({ model, prompt: 'How do gates work?', maxRetries: 0 });
    const streamed = streamText({ model, prompt: 'And who opens them?', maxRetries: 0 });
    await streamed.consumeStream();
    const told = (usage.totalTokens ?? Number.NaN) + ((await streamed.totalUsage).totalTokens ?? Number.NaN);
    expect(told).toBeGreaterThan(20);
    expect(await left()).toEqual({ rph: 8, tph: 100_000 - told, inflight: 1 });
  });

  it('rejects a call that is denied, and sends nothing', async () => {
    const { model } = await limited(`${provider}-2`, [Limit.perHour('rph', 1)]);
    await generateText({ model, prompt: 'One', maxRetries: 0 });
    const answers = upstream.answers;
    await expect(generateText({ model, prompt: 'Two', maxRetries: 0 })).rejects.toBeInstanceOf(RateLimitExceeded);
    expect(upstream.answers).toBe(answers);
  });

  it('gives the tokens of a failed call back', async () => {
    const { model, left } = await limited(`${provider}-3`, [Limit.perHour('rph', 10), Limit.perHour('tph', 5_000)]);
    Object.assign(upstream.behaviour, { failWith: 500, failTimes: 1 });
    await expect(generateText({ model, prompt: 'One', maxRetries: 0 })).rejects.toThrow();
    expect(await left()).toEqual({ rph: 9, tph: 5_000 });
  });
});

/** A model of the AI SDK 5, or one that tells no usage: the types of version 6 know neither. */
const modelOf = (usage: unknown) =>
  ({
    specificationVersion: 'v2',
    provider: 'own',
    modelId: 'own-1',
    supportedUrls: {},
    doGenerate: async () => ({ content: [{ type: 'text', text: 'Hi' }], finishReason: 'stop', usage, warnings: [] }),
    doStream: async () => ({
      stream: ReadableStream.from([
        { type: 'stream-start', warnings: [] },
        { type: 'finish', finishReason: 'stop', usage },
      ]),
    }),
  }) as const;

it.each([
  {
    model: 'of the AI SDK 5',
    usage: { inputTokens: 30, outputTokens: 12, totalTokens: 42, cachedInputTokens: 10 },
    left: 958,
    spent: 20 * 2 + 10 * 1 + 12 * 10,
  },
  {
    model: 'that tells what it wrote to the cache',
    usage: {
      inputTokens: { total: 40, noCache: 6, cacheRead: 10, cacheWrite: 24 },
      outputTokens: { total: 2 },
      raw: {
        input_tokens: 6,
        cache_read_input_tokens: 10,
        cache_creation_input_tokens: 24,
        cache_creation: { ephemeral_1h_input_tokens: 20 },
        output_tokens: 2,
      },
    },
    left: 958,
    spent: 6 * 2 + 10 * 1 + 4 * 3 + 20 * 5 + 2 * 10,
  },
  {
    model: 'that tells no numbers',
    usage: { inputTokens: undefined, outputTokens: undefined },
    left: 900,
    spent: 2 * 2 + 98 * 10,
  },
  { model: 'that tells no usage', usage: undefined, left: 900, spent: 2 * 2 + 98 * 10 },
])('a model $model is settled by what it told, in one piece and as a stream', async ({ model: entity, usage, left, spent }) => {
  const slots = Limit.concurrent('inflight', 1, { leaseMs: 600_000 });
  const limits = [Limit.perHour('tph', 1_000), Limit.perHour('usdph', 5_000, { counts: 'microUsd' }), slots];
  const prices = { 'own-1': { input: 2, cachedInput: 1, cacheWrite: 3, cacheWrite1h: 5, output: 10 } };
  const middleware = limitedModel({ limiter: bed.limiter(), entity, prices });
  const model = modelOf(usage);
  // Eight characters are two tokens.
  const params = { prompt: [{ role: 'user', content: [{ type: 'text', text: 'Hello?!!' }] }], maxOutputTokens: 98 };
  const generate = () => middleware.wrapGenerate({ params, model, doGenerate: model.doGenerate as never });
  const stream = async () => {
    const { stream: parts } = await middleware.wrapStream({ params, model, doStream: model.doStream });
    for await (const part of parts) expect(part).toBeDefined();
  };
  for (const call of [generate, stream]) {
    await bed.admin().setLimits({ entity, resource: 'own-1' }, limits);
    await bed.admin().reset({ entity, resource: 'own-1' });
    await call();
    expect(await bed.limiter().available({ entity, resource: 'own-1' })).toEqual({
      tph: left,
      usdph: 5_000 - spent,
      inflight: 1,
    });
  }
});
