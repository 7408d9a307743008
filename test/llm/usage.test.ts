import fc from 'fast-check';
import { expect, it } from 'vitest';
import { usageOfOpenAi } from '../../lib/llm/usage.js';
import { CHAT_ANSWER, EMBEDDINGS_ANSWER, RESPONSES_ANSWER } from './recorded-answers.js';

const chat = (usage: unknown) => ({ object: 'chat.completion', choices: [], usage });

it.each([
  { when: 'a chat completion', body: CHAT_ANSWER, usage: [2006, 1920, 300, 2306] },
  { when: 'a Responses API answer', body: RESPONSES_ANSWER, usage: [328, 64, 52, 380] },
  { when: 'a Responses API event', body: { type: 'response.completed', response: RESPONSES_ANSWER }, usage: [328, 64, 52, 380] },
  { when: 'embeddings, which have no output', body: EMBEDDINGS_ANSWER, usage: [8, 0, 0, 8] },
  {
    when: 'details are null',
    body: chat({ prompt_tokens: 5, completion_tokens: 7, total_tokens: 12, prompt_tokens_details: null }),
    usage: [5, 0, 7, 12],
  },
  { when: 'the output is not stated', body: chat({ prompt_tokens: 10, total_tokens: 30 }), usage: [10, 0, 20, 30] },
  { when: 'nothing was used', body: chat({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }), usage: [0, 0, 0, 0] },
  {
    when: 'reasoning is in the total only',
    body: chat({ prompt_tokens: 10, completion_tokens: 5, total_tokens: 115 }),
    usage: [10, 0, 5, 115],
  },
  {
    when: 'all of the input was cached',
    body: chat({ prompt_tokens: 9, completion_tokens: 1, total_tokens: 10, prompt_tokens_details: { cached_tokens: 9 } }),
    usage: [9, 9, 1, 10],
  },
  {
    when: 'a Responses API answer is nested beside a null usage',
    body: { usage: null, response: RESPONSES_ANSWER },
    usage: [328, 64, 52, 380],
  },
])('reads input, cached, output and total when it is $when', ({ body, usage }) => {
  const [inputTokens, cachedInputTokens, outputTokens, totalTokens] = usage;
  expect(usageOfOpenAi(body)).toEqual({ inputTokens, cachedInputTokens, outputTokens, totalTokens });
});

it.each([
  { when: 'the body is no object', body: 'usage' },
  { when: 'the body is null', body: null },
  { when: 'the body is an array', body: [CHAT_ANSWER] },
  { when: 'usage is missing', body: { choices: [] } },
  { when: 'usage is null, as in the chunks before the last', body: chat(null) },
  { when: 'usage is empty', body: chat({}) },
  { when: 'the total is missing', body: chat({ prompt_tokens: 5, completion_tokens: 7 }) },
  { when: 'the input is missing', body: chat({ completion_tokens: 7, total_tokens: 7 }) },
  { when: 'a count is negative', body: chat({ prompt_tokens: 5, completion_tokens: -7, total_tokens: 12 }) },
  { when: 'a count is fractional', body: chat({ prompt_tokens: 5.5, completion_tokens: 7, total_tokens: 13 }) },
  { when: 'a count is a string', body: chat({ prompt_tokens: '5', completion_tokens: 7, total_tokens: 12 }) },
  {
    when: 'a count is not finite',
    body: chat({ prompt_tokens: 5, completion_tokens: 7, total_tokens: Number.POSITIVE_INFINITY }),
  },
  { when: 'a count is above 2^53 - 1', body: chat({ prompt_tokens: 5, completion_tokens: 7, total_tokens: 2 ** 53 }) },
  {
    when: 'the cached count is negative',
    body: chat({ prompt_tokens: 5, completion_tokens: 7, total_tokens: 12, prompt_tokens_details: { cached_tokens: -1 } }),
  },
  {
    when: 'more is cached than came in',
    body: chat({ prompt_tokens: 5, completion_tokens: 7, total_tokens: 12, prompt_tokens_details: { cached_tokens: 6 } }),
  },
  { when: 'the total is below its parts', body: chat({ prompt_tokens: 5, completion_tokens: 7, total_tokens: 0 }) },
  { when: 'an answer without output has a total below its input', body: chat({ prompt_tokens: 5, total_tokens: 4 }) },
])('finds no usage when $when', ({ body }) => {
  expect(usageOfOpenAi(body)).toBeUndefined();
});

it.each([
  { told: 40, is: { cacheWriteTokens: 40 } },
  { told: 0, is: {} },
  { told: null, is: {} },
  { told: -1, is: {} },
  { told: 'many', is: {} },
  // Never more than there is other input.
  { told: 70, is: { cacheWriteTokens: 60 } },
])('reads $told tokens written to the cache as $is', ({ told, is }) => {
  const details = { cached_tokens: 40, cache_write_tokens: told };
  const counts = { inputTokens: 100, cachedInputTokens: 40, outputTokens: 7, totalTokens: 107 };
  const chatUsage = { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107, prompt_tokens_details: details };
  expect(usageOfOpenAi(chat(chatUsage as never))).toEqual({ ...counts, ...is });
  const responsesUsage = { input_tokens: 100, output_tokens: 7, total_tokens: 107, input_tokens_details: details };
  expect(usageOfOpenAi({ usage: responsesUsage })).toEqual({ ...counts, ...is });
});

it('gives only whole counts of at least 0, for any value', () => {
  const count = fc.oneof(fc.integer({ min: -2, max: 9 }), fc.double(), fc.constant(null), fc.constant('3'));
  const counts = fc.record(
    {
      prompt_tokens: count,
      completion_tokens: count,
      total_tokens: count,
      prompt_tokens_details: fc.record({ cached_tokens: count, cache_write_tokens: count }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.anything(), fc.record({ usage: fc.oneof(counts, fc.anything()) })), (body) => {
      const usage = usageOfOpenAi(body);
      for (const value of Object.values(usage ?? {})) expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
      if (usage) expect(usage.totalTokens).toBeGreaterThanOrEqual(usage.inputTokens + usage.outputTokens);
    }),
    { numRuns: 2_000 },
  );
});
