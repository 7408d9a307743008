import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { HandMadeUpstream } from '../lambda/hand-made-upstream.js';
import { memory } from '../support/stores.js';
import { ASKED, bytesOf, CHAT_PATH, MODEL, ODD } from './sent-answers.js';

let upstream: HandMadeUpstream;
let send: typeof fetch;

beforeAll(async () => {
  upstream = await HandMadeUpstream.start();
  const bed = await memory.fresh();
  await bed.admin().setLimits({ entity: 'key-123', resource: MODEL }, [Limit.perHour('tph', 1_000_000_000)]);
  send = limitedFetch({ limiter: bed.limiter(), entity: 'key-123', clock: bed.clock });
});

afterAll(() => upstream.stop());

const urlOf = (path: string) => `${upstream.url}/${path}`;

/** The body with which a call arrives at the provider. */
async function arrived(path: string, init: RequestInit): Promise<Buffer> {
  const answer = await send(urlOf(path), { method: 'POST', headers: { 'content-type': 'application/json' }, ...init });
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('chatcmpl-1')]);
  return upstream.last.body;
}

const GEMINI = `v1beta/models/${MODEL}`;

describe('the body of a request through limitedFetch', () => {
  it.each([
    { when: 'it is answered in one piece', path: CHAT_PATH, body: ` {"model":"${MODEL}", ${ODD} }\n` },
    { when: 'it asks for usage itself', path: CHAT_PATH, body: `{"model":"${MODEL}",${ODD},"stream":true , ${ASKED}}` },
    { when: 'its model stands twice', path: CHAT_PATH, body: `{"model":"gpt-3","model":"${MODEL}",${ODD}}` },
    { when: 'it begins with a byte order mark', path: CHAT_PATH, body: `\uFEFF{"model":"${MODEL}",${ODD}}` },
    { when: 'it is of the Responses API', path: 'v1/responses', body: `{"model":"${MODEL}","stream":true,"input":"a",${ODD}}` },
    { when: 'it asks for vectors', path: 'v1/embeddings', body: `{"input":["a","b"],"model":"${MODEL}",${ODD}}` },
    { when: 'it is Anthropic’s', path: 'v1/messages', body: `{"max_tokens":9,"model":"${MODEL}","stream":true,${ODD}}` },
    { when: 'it is Gemini’s', path: `${GEMINI}:generateContent`, body: `{"contents":[{"parts":[{"text":"a"}]}],${ODD}}` },
    { when: 'it is Gemini’s and streams', path: `${GEMINI}:streamGenerateContent?alt=sse`, body: `{"contents":[],${ODD}}` },
    { when: 'it is no JSON', path: CHAT_PATH, body: `{"model":"${MODEL}",` },
    { when: 'it names no model', path: CHAT_PATH, body: `{${ODD},"stream":true}` },
    { when: 'its path costs no tokens', path: 'v1/moderations', body: `{"model":"${MODEL}","input":"a",${ODD}}` },
  ])('arrives as it was when $when', async ({ path, body }) => {
    expect((await arrived(path, { body })).toString()).toBe(body);
    expect(upstream.last.url).toBe(`/${path}`);
  });

  it.each([
    {
      when: 'there are no options',
      body: `{"model":"${MODEL}", ${ODD},"stream":true}`,
      as: `{${ASKED},"model":"${MODEL}", ${ODD},"stream":true}`,
    },
    {
      when: 'there are other options',
      body: `{ "model":"${MODEL}","stream":true,"stream_options" : { "include_obfuscation" :false }, ${ODD} }`,
      as: `{ "model":"${MODEL}","stream":true,"stream_options" : {"include_usage":true, "include_obfuscation" :false }, ${ODD} }`,
    },
    {
      when: 'usage is declined',
      body: `{"model":"${MODEL}","stream":true,${ODD},"stream_options":{"include_usage": false}}`,
      as: `{"model":"${MODEL}","stream":true,${ODD},"stream_options":{"include_usage": true}}`,
    },
    {
      when: 'it begins with a byte order mark',
      body: `\uFEFF{"model":"${MODEL}","stream":true}`,
      as: `\uFEFF{${ASKED},"model":"${MODEL}","stream":true}`,
    },
  ])('arrives as it was, but for the usage asked for, when $when', async ({ body, as }) => {
    expect((await arrived(CHAT_PATH, { body })).toString()).toBe(as);
  });

  it('arrives as it was, but for the usage asked for, for any object in any spelling', async () => {
    const value = fc.json({ maxDepth: 2, stringUnit: 'grapheme' });
    const spaces = fc.string({ unit: fc.constantFrom(' ', '\n', '\t', '\r'), maxLength: 3 });
    const number = fc.constantFrom('1.0', '-0', '1E+2', '12345678901234567890', '0.1000000000000000055511151231257827', '1e999');
    const name = fc.stringMatching(/^x[a-z]{0,5}$/);
    const member = fc
      .tuple(spaces, name, spaces, fc.oneof(value, number), spaces)
      .map(([a, key, b, text, c]) => `${a}"${key}"${b}:${text}${c}`);
    const streams = fc.boolean();
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 4 }), spaces, streams, async (members, space, stream) => {
        const inside = [`"model":"${MODEL}"`, `"stream":${space}${stream}`, ...members].join(',');
        const received = await arrived(CHAT_PATH, { body: `${space}{${inside}}${space}` });
        expect(received.toString()).toBe(`${space}{${stream ? `${ASKED},` : ''}${inside}}${space}`);
      }),
      { numRuns: 50 },
    );
  });

  const TEXT = `{"model":"${MODEL}","stream":true,${ODD}}`;
  const AS = `{${ASKED},"model":"${MODEL}","stream":true,${ODD}}`;

  it.each([
    { form: 'a text', body: () => TEXT },
    { form: 'bytes', body: () => bytesOf(TEXT) },
    { form: 'a buffer', body: () => Buffer.from(TEXT) },
    { form: 'a part of an array buffer', body: () => bytesOf(`xx${TEXT}yy`).subarray(2, -2) },
    { form: 'an array buffer', body: () => bytesOf(TEXT).slice().buffer },
    { form: 'a blob', body: () => new Blob([TEXT.slice(0, 9), TEXT.slice(9)]) },
    { form: 'a stream', body: () => ReadableStream.from([...bytesOf(TEXT)].map((byte) => Uint8Array.of(byte))) },
  ])('arrives whole, with its true length, when it is $form', async ({ body }) => {
    const init = { body: body(), duplex: 'half' } as RequestInit;
    expect((await arrived(CHAT_PATH, init)).toString()).toBe(AS);
    expect(upstream.last.headers['content-length']).toBe(String(Buffer.byteLength(AS)));
  });

  it('arrives whole, with its true length, when it is that of a Request', async () => {
    const request = new Request(urlOf(CHAT_PATH), {
      method: 'POST',
      body: TEXT,
      headers: { 'content-length': '1', 'x-request-id': 'r' },
    });
    await (await send(request)).arrayBuffer();
    const { body, headers } = upstream.last;
    expect(body.toString()).toBe(AS);
    expect(headers).toMatchObject({ 'content-length': String(Buffer.byteLength(AS)), 'x-request-id': 'r' });
  });

  it('is that of a Request where no other is given', async () => {
    const request = new Request(urlOf(CHAT_PATH), { method: 'POST', body: TEXT });
    const other = { method: undefined, redirect: undefined, body: null, headers: { 'x-a': 'b' } };
    await (await send(request, other as unknown as RequestInit)).arrayBuffer();
    expect(upstream.last.body.toString()).toBe(AS);
    expect([upstream.last.headers['x-a'], upstream.last.headers['content-type']]).toEqual(['b', undefined]);
  });

  it('is what it was at the call, whatever becomes of its bytes', async () => {
    const body = Buffer.from(TEXT);
    const answer = send(urlOf(CHAT_PATH), { method: 'POST', body });
    body.fill(0x20);
    await (await answer).arrayBuffer();
    expect(upstream.last.body.toString()).toBe(AS);
  });

  it('that is not UTF-8 arrives as it was', async () => {
    const body = Uint8Array.of(...bytesOf('{"model":"gpt-4","user":"'), 0xff, 0xc3, ...bytesOf('"}'));
    expect(await arrived(CHAT_PATH, { body })).toEqual(Buffer.from(body));
  });

  it.each([
    { form: 'a text', body: () => TEXT, type: /^text\/plain;charset=UTF-8$/ },
    { form: 'a blob with a type', body: () => new Blob([TEXT], { type: 'application/json' }), type: /^application\/json$/ },
    { form: 'parameters', body: () => new URLSearchParams('a=b'), type: /^application\/x-www-form-urlencoded;charset=UTF-8$/ },
    { form: 'a form', body: formOf, type: /^multipart\/form-data; boundary=(\S+)$/ },
  ])('is of the type that a bare fetch says when it is $form and no header says it', async ({ body, type }) => {
    await (await send(urlOf(CHAT_PATH), { method: 'POST', body: body() })).arrayBuffer();
    const [, boundary = ''] = type.exec(upstream.last.headers['content-type'] ?? 'none') ?? expect.fail('of another type');
    expect(upstream.last.body.toString()).toContain(boundary);
  });
});

function formOf(): FormData {
  const form = new FormData();
  form.set('a', 'b');
  return form;
}
