import fc from 'fast-check';
import { expect, it } from 'vitest';
import { byCharacters, type OutputOptions, type TokenEstimate } from '../../lib/llm/estimate.js';
import { isJsonObject } from '../../lib/llm/json-object.js';
import { contentOfOpenAi } from '../../lib/llm/openai.js';
import type { OpenAiEndpoint } from '../../lib/llm/openai-endpoint.js';

const user = (content: unknown) => ({ role: 'user', content });
type AskedOptions = OutputOptions & { endpoint?: OpenAiEndpoint };
function estimateOpenAi(request: unknown, { endpoint, ...options }: AskedOptions = {}): TokenEstimate {
  return byCharacters(options)(contentOfOpenAi(isJsonObject(request) ? request : {}, endpoint));
}

const LARGEST = 9_007_199_254_740_991;

it.each([
  { when: 'eight characters', request: { messages: [user('12345678')] }, input: 2, output: 200 },
  { when: 'nine characters, rounded up', request: { messages: [user('123456789')] }, input: 3, output: 200 },
  {
    when: 'messages of 5 and 5 characters, rounded up once',
    request: { messages: [user('12345'), user('12345')] },
    input: 3,
    output: 200,
  },
  { when: 'no text', request: { messages: [] }, input: 0, output: 200 },
  {
    when: 'text parts',
    request: {
      messages: [
        user([
          { type: 'text', text: '1234' },
          { type: 'text', text: '5678' },
        ]),
      ],
    },
    input: 2,
    output: 200,
  },
  {
    when: 'an image, whatever its size',
    request: {
      messages: [
        user([
          { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(9_000)}`, detail: 'low' } },
          { type: 'text', text: '1234' },
        ]),
      ],
    },
    input: 766,
    output: 200,
  },
  {
    when: 'two Responses API images',
    request: {
      input: [
        user([
          { type: 'input_image', image_url: 'https://example.com/a.png' },
          { type: 'input_image', file_id: 'f' },
        ]),
      ],
    },
    input: 1530,
    output: 200,
  },
  {
    when: 'audio',
    request: { messages: [user([{ type: 'input_audio', input_audio: { data: 'A'.repeat(9_000), format: 'wav' } }])] },
    input: 765,
    output: 200,
  },
  {
    when: 'a file',
    request: { messages: [user([{ type: 'file', file: { file_data: 'A'.repeat(9_000) } }])] },
    input: 765,
    output: 200,
  },
  {
    when: 'tool calls and their results',
    request: {
      messages: [
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_123', type: 'function', function: { name: 'add2', arguments: '{"a":1}1' } }],
        },
        { role: 'tool', tool_call_id: 'call_123', content: '3456' },
      ],
    },
    input: 4,
    output: 200,
  },
  { when: 'a string input and instructions', request: { input: '1234', instructions: '12345678' }, input: 3, output: 200 },
  {
    when: 'input items',
    request: {
      input: [user([{ type: 'input_text', text: '1234' }]), { type: 'function_call_output', call_id: 'c1', output: '5678' }],
    },
    input: 2,
    output: 200,
  },
  {
    when: 'tools, as their 41 characters of JSON',
    request: { messages: [], tools: [{ name: 'add', strict: true, max: null }] },
    input: 11,
    output: 200,
  },
  { when: 'an older prompt', request: { prompt: '1234', max_tokens: 16 }, input: 1, output: 16 },
  { when: 'several prompts', request: { prompt: ['1234', '5678'] }, input: 2, output: 200 },
  { when: 'token ids, one each', request: { prompt: [1212, 318, 257] }, input: 3, output: 200 },
  { when: 'emoji of two code units each', request: { messages: [user('🌍🌍')] }, input: 1, output: 200 },
])('counts the input right when it is $when', ({ request, input, output }) => {
  expect(estimateOpenAi(request)).toEqual({ inputTokens: input, outputTokens: output, totalTokens: input + output });
});

it.each([
  { when: 'max_tokens is set', request: { max_tokens: 50 }, output: 50 },
  { when: 'max_completion_tokens is the larger', request: { max_tokens: 50, max_completion_tokens: 70 }, output: 70 },
  { when: 'max_tokens is the larger', request: { max_tokens: 90, max_completion_tokens: 70 }, output: 90 },
  { when: 'max_output_tokens is set', request: { max_output_tokens: 30 }, output: 30 },
  { when: 'nothing is set', request: {}, output: 200 },
  { when: 'the maximum is null', request: { max_tokens: null }, output: 200 },
  { when: 'the maximum is zero', request: { max_tokens: 0 }, output: 0 },
  { when: 'the maximum is negative', request: { max_tokens: -5 }, output: 200 },
  { when: 'the maximum is a string', request: { max_tokens: '50' }, output: 200 },
  { when: 'the maximum is fractional', request: { max_tokens: 10.2 }, output: 11 },
  { when: 'there are three choices', request: { max_tokens: 50, n: 3 }, output: 150 },
  { when: 'there are three choices of the default', request: { n: 3 }, output: 600 },
  { when: 'n is zero', request: { max_tokens: 50, n: 0 }, output: 50 },
  { when: 'n is not a number', request: { max_tokens: 50, n: 'many' }, output: 50 },
  { when: 'the maximum is beyond 2^53', request: { max_tokens: 1e300 }, output: LARGEST },
  { when: 'the maximum parsed to infinity', request: JSON.parse('{"max_tokens":1e400,"n":2}') as unknown, output: LARGEST },
  {
    when: 'n parsed to infinity and the maximum is zero',
    request: JSON.parse('{"max_tokens":0,"n":1e400}') as unknown,
    output: 0,
  },
])('counts the output right when $when', ({ request, output }) => {
  expect(estimateOpenAi(request).outputTokens).toBe(output);
});

it.each([
  { options: { defaultOutputTokens: 1_000 }, request: {}, output: 1_000 },
  { options: { defaultOutputTokens: 1_000 }, request: { max_tokens: 5 }, output: 5 },
  { options: { defaultOutputTokens: 0 }, request: {}, output: 0 },
  { options: { endpoint: 'chat' }, request: {}, output: 200 },
  { options: { endpoint: 'responses' }, request: { max_output_tokens: 7 }, output: 7 },
  { options: { endpoint: 'embeddings' }, request: { input: '1234' }, output: 0 },
  { options: { endpoint: 'embeddings', defaultOutputTokens: 9 }, request: { input: '1234', max_tokens: 5, n: 4 }, output: 0 },
] as const)('expects $output output tokens with $options for $request', ({ options, request, output }) => {
  expect(estimateOpenAi(request, options).outputTokens).toBe(output);
});

it.each([
  { when: 'texts', input: ['1234', '12345'], tokens: 3 },
  { when: 'token ids', input: [1, 2, 3, 4, 5], tokens: 5 },
  {
    when: 'lists of token ids',
    input: [
      [1, 2],
      [3, 4, 5],
    ],
    tokens: 5,
  },
])('counts embeddings of $when', ({ input, tokens }) => {
  expect(estimateOpenAi({ input }, { endpoint: 'embeddings' })).toEqual({
    inputTokens: tokens,
    outputTokens: 0,
    totalTokens: tokens,
  });
});

it('keeps the total a safe integer when its parts do not fit together', () => {
  expect(estimateOpenAi({ messages: [user('1234')], max_tokens: LARGEST })).toEqual({
    inputTokens: 1,
    outputTokens: LARGEST,
    totalTokens: LARGEST,
  });
});

it.each([
  { request: null, input: 0 },
  { request: undefined, input: 0 },
  { request: 'text', input: 0 },
  { request: 7, input: 0 },
  { request: [{ messages: '1234' }], input: 0 },
  { request: { messages: '1234' }, input: 1 },
  { request: { messages: { a: null, b: '1234' } }, input: 1 },
  { request: { messages: null, tools: null, n: {} }, input: 0 },
  { request: { messages: [null, true, [['1234']]], tools: 7 }, input: 1 },
])('counts $input input tokens in the odd body $request', ({ request, input }) => {
  expect(estimateOpenAi(request)).toEqual({ inputTokens: input, outputTokens: 200, totalTokens: input + 200 });
});

it('counts the same tools as JSON.stringify does, for any JSON without escapes', () => {
  const value = fc.array(fc.jsonValue({ stringUnit: fc.constantFrom('a', 'é') }));
  fc.assert(
    fc.property(value, (tools) => {
      expect(estimateOpenAi({ tools }).inputTokens).toBe(Math.ceil(JSON.stringify(tools).length / 4));
    }),
    { numRuns: 1_000 },
  );
});

it('never throws and gives safe integers, for any value', () => {
  const members = fc.record(
    {
      messages: fc.anything(),
      input: fc.anything(),
      tools: fc.anything(),
      prompt: fc.anything(),
      max_tokens: fc.anything(),
      n: fc.anything(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.anything(), members), (request) => {
      for (const count of Object.values(estimateOpenAi(request))) expect(Number.isSafeInteger(count) && count >= 0).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

it('counts text that is nested 500,000 deep without overflowing the stack', () => {
  const nested: unknown = JSON.parse(`${'['.repeat(500_000)}"12345678"${']'.repeat(500_000)}`);
  expect(estimateOpenAi({ messages: nested }).inputTokens).toBe(2);
  expect(estimateOpenAi({ tools: nested }).inputTokens).toBe(250_003);
});
