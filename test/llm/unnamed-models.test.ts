import { expect, it } from 'vitest';
import { apiOfPath } from '../../lib/llm/provider-apis.js';

const utf8 = new TextEncoder();
const prepared = (path: string, body: object) => apiOfPath(path)?.prepare(utf8.encode(JSON.stringify(body)), path);

const VERTEX = '/v1beta1/projects/p/locations/europe-west4';

it.each([
  { path: '/v1beta/models/gemini-2.5-flash:generateContent', model: 'gemini-2.5-flash' },
  { path: '/v1beta/tunedModels/sentences-u4w7:generateContent', model: 'sentences-u4w7' },
  { path: '/v1beta/tunedModels/sentences-u4w7:streamGenerateContent', model: 'sentences-u4w7' },
  { path: `${VERTEX}/publishers/google/models/gemini-2.5-pro:streamGenerateContent`, model: 'gemini-2.5-pro' },
  { path: `${VERTEX}/endpoints/4711:generateContent`, model: '4711' },
  { path: `${VERTEX}/endpoints/4711:streamGenerateContent`, model: '4711' },
])('a call of Gemini to $path costs tokens of $model', ({ path, model }) => {
  const call = prepared(path, { contents: [] });
  expect(call).toMatchObject({ ok: true, model });
  const other = call?.ok ? call.toModel('a b').path : '';
  expect(other).toBe(path.replace(model, 'a%20b'));
});

it('an endpoint of Vertex that predicts what is no text costs no tokens', () => {
  expect(apiOfPath(`${VERTEX}/endpoints/4711:predict`)).toBeUndefined();
});

const RESPONSES = '/v1/responses';
it.each([
  { when: 'it names a stored prompt', path: RESPONSES, body: { prompt: { id: 'pmpt_1', version: '2' } }, model: 'pmpt_1' },
  { when: 'it names both', path: RESPONSES, body: { prompt: { id: 'pmpt_1' }, model: 'gpt-5' }, model: 'gpt-5' },
])('a response is limited as $model when $when', ({ path, body, model }) => {
  const call = prepared(path, body);
  expect(call).toMatchObject({ ok: true, model, body: utf8.encode(JSON.stringify(body)) });
  const sent: unknown = call?.ok && JSON.parse(new TextDecoder().decode(call.toModel('gpt-5-mini').body));
  expect(sent).toEqual({ ...body, model: 'gpt-5-mini' });
});

it.each([
  { when: 'its prompt is a text', path: '/v1/completions', body: { prompt: 'Once' } },
  { when: 'its prompt has no id', path: RESPONSES, body: { prompt: { version: '2' } } },
  { when: 'it is a chat', path: '/v1/chat/completions', body: { prompt: { id: 'pmpt_1' } } },
])('a call without a model names none when $when', ({ path, body }) => {
  expect(prepared(path, body)).toMatchObject({ ok: false, reason: 'model-missing' });
});

it('a chat of a server of one model, which needs no name, is limited as what its client is told', () => {
  const body = utf8.encode('{"messages":[]}');
  const call = apiOfPath('/v1/chat/completions')?.prepare(body, '/v1/chat/completions', 'local');
  expect(call).toMatchObject({ ok: true, model: 'local', body });
});
