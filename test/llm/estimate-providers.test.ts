import { describe, expect, it } from 'vitest';
import { byCharacters, byTokens, fixed } from '../../lib/llm/estimate.js';
import type { ProviderApi } from '../../lib/llm/provider-api.js';
import { apiOfPath } from '../../lib/llm/provider-apis.js';

/** What a body amounts to: of most a message of 8 characters, 2 tokens. */
function contentOf(path: string, body: object) {
  const api = apiOfPath(path) as ProviderApi;
  const prepared = api.prepare(new TextEncoder().encode(JSON.stringify(body)), path);
  if (!prepared.ok) throw new Error(prepared.message);
  return prepared.content;
}
const estimate = (path: string, body: object) => byCharacters()(contentOf(path, body));

const CHAT = '/v1/chat/completions';
const RESPONSES = '/v1/responses';
const MESSAGES = '/v1/messages';
const GEMINI = '/v1beta/models/gemini-2.5-flash:generateContent';

const user = (content: unknown) => ({ role: 'user', content });
const base64 = 'A'.repeat(40_000);
/** 57 characters of JSON. */
const schema = { type: 'object', properties: { city: { type: 'string' } } };

describe('an estimate of a call to OpenAI', () => {
  it.each([
    { when: 'a system prompt', body: { messages: [{ role: 'system', content: '12345678' }, user('12345678')] }, input: 4 },
    { when: 'an image by its address', body: { messages: [user([{ type: 'image_url', image_url: { url: 'u' } }])] }, input: 765 },
    {
      when: 'an image by its bytes',
      body: { messages: [user([{ type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } }])] },
      input: 765,
    },
    {
      when: 'a sound',
      body: { messages: [user([{ type: 'input_audio', input_audio: { data: base64, format: 'wav' } }])] },
      input: 765,
    },
    { when: 'a file', body: { messages: [user([{ type: 'file', file: { file_data: base64 } }])] }, input: 765 },
    {
      when: 'a tool, as 122 characters of JSON',
      body: { messages: [], tools: [{ type: 'function', function: { name: 'weather', parameters: schema } }] },
      input: 31,
    },
    {
      when: 'a function, as tools were called before, as 91 characters',
      body: { messages: [], functions: [{ name: 'weather', parameters: schema }] },
      input: 23,
    },
    {
      when: 'what a tool was called with, and what it gave back',
      body: {
        messages: [
          { role: 'assistant', tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{}' } }] },
          { role: 'tool', tool_call_id: 'call_1', content: '1234567' },
        ],
      },
      input: 4,
    },
  ])('of chat counts $when', ({ body, input }) => {
    expect(estimate(CHAT, { model: 'gpt-4o', ...body }).inputTokens).toBe(input);
  });

  it.each([
    { when: 'instructions', body: { input: '12345678', instructions: '12345678' }, input: 4 },
    {
      when: 'an image',
      body: { input: [user([{ type: 'input_image', image_url: `data:image/png;base64,${base64}` }])] },
      input: 765,
    },
    { when: 'a file', body: { input: [user([{ type: 'input_file', file_data: base64 }])] }, input: 765 },
    {
      when: 'a tool, as 109 characters of JSON',
      body: { input: '', tools: [{ type: 'function', name: 'weather', parameters: schema }] },
      input: 28,
    },
    {
      when: 'what a tool gave back, an image too',
      body: {
        input: [
          { type: 'function_call_output', call_id: 'c1', output: '12345678' },
          { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_image', image_url: base64 }] },
          { type: 'computer_call_output', call_id: 'c3', output: { type: 'computer_screenshot', image_url: base64 } },
        ],
      },
      input: 2 + 2 * 765,
    },
  ])('of the Responses API counts $when', ({ body, input }) => {
    expect(estimate(RESPONSES, { model: 'gpt-4o', ...body }).inputTokens).toBe(input);
  });
});

describe('an estimate of a call to Anthropic', () => {
  const call = (body: object) => estimate(MESSAGES, { model: 'claude-sonnet-4-5', max_tokens: 50, messages: [], ...body });

  it.each([
    { when: 'a system prompt', body: { system: '12345678' }, input: 2 },
    {
      when: 'system blocks, without their cache marks',
      body: { system: [{ type: 'text', text: '12345678', cache_control: { type: 'ephemeral' } }] },
      input: 2,
    },
    {
      when: 'an image',
      body: {
        messages: [
          user([
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: base64 } },
            { type: 'text', text: '1234' },
          ]),
        ],
      },
      input: 766,
    },
    {
      when: 'a PDF',
      body: { messages: [user([{ type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: base64 } }])] },
      input: 765,
    },
    {
      when: 'a document of plain text, by its length',
      body: {
        messages: [user([{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: '1234'.repeat(5_000) } }])],
      },
      input: 5_000,
    },
    {
      when: 'a document of blocks, by theirs',
      body: {
        messages: [user([{ type: 'document', source: { type: 'content', content: [{ type: 'text', text: '12345678' }] } }])],
      },
      input: 2,
    },
    { when: 'a tool, as 93 characters of JSON', body: { tools: [{ name: 'weather', input_schema: schema }] }, input: 24 },
    {
      when: 'what a tool was called with, and what it gave back, an image too',
      body: {
        messages: [
          { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Köln!' } }] },
          user([
            {
              type: 'tool_result',
              tool_use_id: 'toolu_1',
              content: [
                { type: 'text', text: '12345678' },
                { type: 'image', source: { type: 'base64', media_type: 'image/png', data: base64 } },
              ],
            },
          ]),
        ],
      },
      input: 765 + 5,
    },
    {
      when: 'thoughts, without the signature over them',
      body: {
        messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: '12345678', signature: base64 }] }],
      },
      input: 2,
    },
  ])('counts $when', ({ body, input }) => {
    expect(call(body)).toEqual({ inputTokens: input, outputTokens: 50, totalTokens: input + 50 });
  });
});

describe('an estimate of a call to Gemini', () => {
  it.each([
    { when: 'a system instruction', body: { systemInstruction: { parts: [{ text: '12345678' }] } }, input: 2 },
    { when: 'one in snake case', body: { system_instruction: { parts: [{ text: '12345678' }] } }, input: 2 },
    {
      when: 'an image by its bytes',
      body: { contents: [{ role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: base64 } }, { text: '1234' }] }] },
      input: 766,
    },
    {
      when: 'a film by its address',
      body: { contents: [{ role: 'user', parts: [{ file_data: { mime_type: 'video/mp4', file_uri: 'gs://films/1' } }] }] },
      input: 765,
    },
    {
      when: 'tools, as 118 characters of JSON',
      body: { tools: [{ functionDeclarations: [{ name: 'weather', parameters: schema }] }] },
      input: 30,
    },
    {
      when: 'what a tool was called with, and what it gave back',
      body: {
        contents: [
          { role: 'model', parts: [{ functionCall: { name: 'weather', args: { city: 'Köln!' } }, thoughtSignature: base64 }] },
          { role: 'user', parts: [{ functionResponse: { name: 'weather', response: { is: 'rain' } } }] },
        ],
      },
      input: 6,
    },
  ])('counts $when', ({ body, input }) => {
    expect(estimate(GEMINI, { contents: [], ...body }).inputTokens).toBe(input);
  });

  it.each([
    { when: 'the maximum is set', generationConfig: { maxOutputTokens: 50 }, output: 50 },
    { when: 'there are three candidates', generationConfig: { maxOutputTokens: 50, candidateCount: 3 }, output: 150 },
    { when: 'nothing is set', generationConfig: {}, output: 200 },
  ])('counts the output right when $when', ({ generationConfig, output }) => {
    expect(estimate(GEMINI, { contents: [], generationConfig }).outputTokens).toBe(output);
  });
});

describe('each estimator', () => {
  const content = contentOf(CHAT, {
    model: 'gpt-4o',
    messages: [user('one two three'), user([{ type: 'image_url', image_url: { url: 'u' } }])],
    tools: [{ name: 'x' }],
    max_tokens: 70,
    max_completion_tokens: 90,
  });
  const words = (text: string) => text.split(' ').length;

  it.each([
    // 13 characters and 14 of JSON.
    { name: 'by characters', estimator: byCharacters(), input: 765 + 7, output: 90 },
    { name: 'by a counter of words', estimator: byTokens(words), input: 765 + 3 + 4, output: 90 },
    { name: 'fixed', estimator: fixed({ inputTokens: 1_000, outputTokens: 20 }), input: 1_000, output: 90 },
  ])('$name is its input and the most output that the caller allows', ({ estimator, input, output }) => {
    expect(estimator(content)).toEqual({ inputTokens: input, outputTokens: output, totalTokens: input + output });
  });

  it('that is fixed says its own output where the caller allows none', () => {
    const silent = contentOf(CHAT, { model: 'gpt-4o', messages: [user('one')] });
    expect(fixed({ inputTokens: 1_000, outputTokens: 20 })(silent)).toEqual({
      inputTokens: 1_000,
      outputTokens: 20,
      totalTokens: 1_020,
    });
  });

  it('counts how many messages have a role, parts have none', () => {
    expect(content.messages).toBe(2);
  });
});
