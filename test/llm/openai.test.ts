import { expect, it } from 'vitest';
import { prepareOpenAi } from '../../lib/llm/openai.js';
import { endpointOfPath } from '../../lib/llm/openai-endpoint.js';

const CHAT = '/v1/chat/completions';
const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);

function prepare(text: string, path = CHAT) {
  const prepared = prepareOpenAi(encode(text), path);
  if (!prepared.ok) throw new Error(prepared.message);
  return prepared;
}

it.each([
  { when: 'nothing streams', path: CHAT, text: '{ "model": "gpt-4o", "messages": [] }' },
  { when: 'stream is false', path: CHAT, text: '{"model":"gpt-4o","stream":false}' },
  { when: 'stream is no boolean', path: CHAT, text: '{"model":"gpt-4o","stream":"true"}' },
  {
    when: 'usage is asked for already',
    path: CHAT,
    text: '{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true}}',
  },
  {
    when: 'it is a Responses API stream',
    path: '/v1/responses',
    text: '{"model":"gpt-4o","stream":true,"input":"hi"}',
  },
  { when: 'it is another endpoint', path: '/v1/audio/speech', text: '{"model":"tts-1","stream":true}' },
])('forwards the very array it was given when $when', ({ path, text }) => {
  const body = encode(text);
  const prepared = prepareOpenAi(body, path);
  expect(prepared).toMatchObject({ ok: true, addedUsage: false });
  expect(prepared.ok && prepared.body).toBe(body);
});

it.each([
  {
    when: 'there are no options',
    text: '{"model":"m","stream":true}',
    body: '{"stream_options":{"include_usage":true},"model":"m","stream":true}',
  },
  {
    when: 'there are other options',
    text: '{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}',
    body: '{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
  },
  {
    when: 'usage is declined',
    text: '{"model":"m","stream":true,"stream_options":{"include_usage":false,"a":1}}',
    body: '{"model":"m","stream":true,"stream_options":{"include_usage":true,"a":1}}',
  },
  {
    when: 'the options are null',
    text: '{"model":"m","stream_options":null,"stream":true}',
    body: '{"model":"m","stream_options":{"include_usage":true},"stream":true}',
  },
  {
    when: 'the options are no object',
    text: '{"model":"m","stream_options":[],"stream":true}',
    body: '{"model":"m","stream_options":{"include_usage":true},"stream":true}',
  },
  {
    when: 'the options are empty',
    text: '{"model":"m","stream_options":{ },"stream":true}',
    body: '{"model":"m","stream_options":{"include_usage":true },"stream":true}',
  },
  {
    when: 'a number has more digits than a double',
    text: '{ "model" : "m",\n "seed": 12345678901234567890, "t": 1.0, "stream": true }',
    body: '{"stream_options":{"include_usage":true}, "model" : "m",\n "seed": 12345678901234567890, "t": 1.0, "stream": true }',
  },
  {
    when: 'the name stands inside a text',
    text: '{"model":"m","user":"\\"stream_options\\":{}","stream":true}',
    body: '{"stream_options":{"include_usage":true},"model":"m","user":"\\"stream_options\\":{}","stream":true}',
  },
])('asks for usage and leaves the rest as it was when $when', ({ text, body }) => {
  const prepared = prepare(text);
  expect(decode(prepared.body)).toBe(body);
  expect(prepared).toMatchObject({ addedUsage: true, model: 'm' });
});

it.each([
  { path: '/v1/chat/completions', endpoint: 'chat', addedUsage: true },
  { path: 'chat/completions', endpoint: 'chat', addedUsage: true },
  { path: '/v1//Chat/Completions/?api-version=1', endpoint: 'chat', addedUsage: true },
  { path: '/v1/completions', endpoint: 'chat', addedUsage: true },
  { path: '/v1/chat/completions/chatcmpl-1', endpoint: undefined, addedUsage: false },
  { path: '/v1/responses', endpoint: 'responses', addedUsage: false },
  { path: '/v1/embeddings', endpoint: 'embeddings', addedUsage: false },
  { path: '', endpoint: undefined, addedUsage: false },
])('takes $path for the endpoint $endpoint', ({ path, endpoint, addedUsage }) => {
  expect(endpointOfPath(path)).toBe(endpoint);
  expect(prepare('{"model":"m","stream":true}', path).addedUsage).toBe(addedUsage);
});

it.each([
  { when: 'it is empty', text: '', reason: 'not-json', message: 'Expected the body to be JSON in UTF-8' },
  { when: 'it is cut off', text: '{"model":"m"', reason: 'not-json', message: 'Expected the body to be JSON in UTF-8' },
  { when: 'it is a form', text: 'model=m', reason: 'not-json', message: 'Expected the body to be JSON in UTF-8' },
  {
    when: 'it is an array',
    text: '[{"model":"m"}]',
    reason: 'not-an-object',
    message: 'Expected the body to be a JSON object, got an array',
  },
  { when: 'it is null', text: 'null', reason: 'not-an-object', message: 'Expected the body to be a JSON object, got null' },
  {
    when: 'it is a string',
    text: '"m"',
    reason: 'not-an-object',
    message: 'Expected the body to be a JSON object, got a string',
  },
  {
    when: 'it has no model',
    text: '{"messages":[]}',
    reason: 'model-missing',
    message: 'Expected the field model, which is missing',
  },
  {
    when: 'its model is null',
    text: '{"model":null}',
    reason: 'model-invalid',
    message: 'Expected the field model to be a non-empty string, got null',
  },
  {
    when: 'its model is a number',
    text: '{"model":4}',
    reason: 'model-invalid',
    message: 'Expected the field model to be a non-empty string, got a number',
  },
  {
    when: 'its model is empty',
    text: '{"model":""}',
    reason: 'model-invalid',
    message: 'Expected the field model to be a non-empty string, got an empty one',
  },
  {
    when: 'its model is inherited only',
    text: '{"__proto__":{"model":"m"}}',
    reason: 'model-missing',
    message: 'Expected the field model, which is missing',
  },
])('refuses a body and says why when $when', ({ text, reason, message }) => {
  expect(prepareOpenAi(encode(text), CHAT)).toEqual({ ok: false, reason, message });
});

it('refuses bytes that are not UTF-8', () => {
  const bytes = Uint8Array.of(...encode('{"model":"'), 0xff, ...encode('"}'));
  expect(prepareOpenAi(bytes, CHAT)).toMatchObject({ ok: false, reason: 'not-json' });
});

it('reads a body behind a byte order mark, and forwards the mark when nothing is added', () => {
  const body = encode('\uFEFF{"model":"m"}');
  expect(prepareOpenAi(body, CHAT)).toMatchObject({ ok: true, model: 'm', body });
});

it('asks for usage in a body nested 500,000 deep without overflowing the stack', () => {
  const deep = `${'['.repeat(500_000)}${']'.repeat(500_000)}`;
  const prepared = prepare(`{"model":"m","stream":true,"messages":${deep}}`);
  expect(decode(prepared.body)).toBe(`{"stream_options":{"include_usage":true},"model":"m","stream":true,"messages":${deep}}`);
});
