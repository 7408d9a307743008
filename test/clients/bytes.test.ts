import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { brotliCompressSync, constants, createGzip, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { HandMadeUpstream } from '../lambda/hand-made-upstream.js';
import { memory } from '../support/stores.js';
import { AcknowledgedBody, dueAtOnce } from './acknowledged-body.js';
import {
  asking,
  bytesOf,
  CHAT_PATH,
  digest,
  HAND_MADE,
  isUsageAlone,
  joined,
  MODEL,
  RECORDED,
  SENT_CHAT_STREAMS,
  STREAM_TYPE,
} from './sent-answers.js';

let upstream: HandMadeUpstream;
let send: typeof fetch;
/** In front of an upstream in this process, for chunks as no network cuts them. */
let sendTo: (upstream: typeof fetch) => typeof fetch;

beforeAll(async () => {
  upstream = await HandMadeUpstream.start();
  const bed = await memory.fresh();
  await bed.admin().setLimits({ entity: 'key-123', resource: MODEL }, [Limit.perHour('tph', 1_000_000_000)]);
  sendTo = (other) => limitedFetch({ limiter: bed.limiter(), entity: 'key-123', clock: bed.clock, upstream: other });
  send = sendTo(fetch);
});

afterAll(() => upstream.stop());

const STREAMS = { stream: true };
const STREAMS_WITH_USAGE = { stream: true, stream_options: { include_usage: true } };
/** The default takes most of a second for all of them. */
const FAST = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const headers = { 'content-type': 'application/json', authorization: 'Bearer k' };

const post = (through: typeof fetch, path: string, body: string) =>
  through(`${upstream.url}/${path}`, { method: 'POST', headers, body });

/** All bytes of an answer, each chunk acknowledged as soon as it is here. */
async function received({ body: stream }: Response, body?: AcknowledgedBody): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream ?? []) {
    chunks.push(chunk);
    body?.acknowledge(chunk.length);
  }
  return joined(chunks);
}

/** The bytes of a call whose answer is sent as its reader acknowledges it. */
async function through(body: AcknowledgedBody, { path, type }: { readonly path: string; readonly type: string }, asked: string) {
  upstream.answer = async (response) => {
    response.writeHead(200, { 'content-type': type });
    response.flushHeaders();
    await body.sendTo(response);
    response.end();
  };
  return received(await post(send, path, asked), body);
}

describe('the bytes of an answer through limitedFetch', () => {
  it.each([...RECORDED, ...HAND_MADE])('are those sent, each chunk before the next is sent, of $name', async (sent) => {
    const bytes = await through(dueAtOnce(sent.pieces), sent, asking(STREAMS_WITH_USAGE));
    expect(digest(bytes)).toBe(digest(joined(sent.pieces)));
  });

  it.each(HAND_MADE)('are those sent though nobody asked for usage, of $name', async (sent) => {
    const bytes = await through(
      new AcknowledgedBody(sent.pieces.map((piece) => ({ bytes: piece, due: 0 }))),
      sent,
      asking(STREAMS),
    );
    expect(digest(bytes)).toBe(digest(joined(sent.pieces)));
  });

  it.each(SENT_CHAT_STREAMS)(
    'are those sent but for a usage nobody asked for, each event before the next, of $name',
    async (sent) => {
      const pieces = sent.pieces.map((bytes) => ({ bytes, due: isUsageAlone(bytes) ? 0 : bytes.length }));
      const bytes = await through(new AcknowledgedBody(pieces), sent, asking(STREAMS));
      expect(digest(bytes)).toBe(digest(joined(sent.pieces.filter((event) => !isUsageAlone(event)))));
    },
  );

  it.each(HAND_MADE)('come in the chunks in which they were sent, but for empty ones, of $name', async ({ pieces, type }) => {
    const empty = new Uint8Array();
    const local = sendTo(
      async () =>
        new Response(ReadableStream.from([empty, ...pieces.flatMap((piece) => [piece, empty])]), {
          headers: { 'content-type': type },
        }),
    );
    const chunks: string[] = [];
    for await (const chunk of (await post(local, CHAT_PATH, asking(STREAMS_WITH_USAGE))).body ?? []) chunks.push(digest(chunk));
    expect(chunks).toEqual(pieces.map(digest));
  });

  it('are those sent, but for chunks of usage alone, for any events in any chunks', async () => {
    const end = fc.constantFrom('\n', '\r\n', '\r');
    const content = fc.oneof(
      fc.constantFrom('{"choices":[],"usage":null}', '{"choices":[{}],"usage":{}}', '[DONE]', ''),
      fc.string({ unit: fc.constantFrom('a', ' ', ':', '"usage"', 'ü', '🌍', '{', '}', '\uFEFF') }),
    );
    const kept = fc.tuple(fc.constantFrom('data: ', 'data:', ': ', 'event: x', 'id'), content).map((parts) => parts.join(''));
    const usage = fc.constant('data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}');
    const event = fc.tuple(fc.oneof({ weight: 3, arbitrary: kept }, { weight: 1, arbitrary: usage }), fc.boolean());
    const property = fc.asyncProperty(
      end,
      fc.array(event),
      fc.array(fc.nat(2_000)),
      fc.boolean(),
      async (lineEnd, events, cuts, asks) => {
        const isKept = (line: string) => asks || !line.startsWith('data: {"choices":[],"usage":{');
        const texts = events.map(([line, pings]) => ({
          isKept: isKept(line),
          text: `${pings ? `: ping${lineEnd}` : ''}${line}${lineEnd}${lineEnd}`,
        }));
        const bytes = bytesOf(texts.map(({ text }) => text).join(''));
        const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const chunks = ends.map((chunkEnd, index) => bytes.subarray(ends[index - 1] ?? 0, chunkEnd));
        const local = sendTo(async () => new Response(ReadableStream.from(chunks), { headers: { 'content-type': STREAM_TYPE } }));
        const answer = await post(local, CHAT_PATH, asking(asks ? STREAMS_WITH_USAGE : STREAMS));
        const wanted = texts.filter((one) => one.isKept).map(({ text }) => text);
        expect(Buffer.from(await received(answer)).toString()).toBe(wanted.join(''));
      },
    );
    await fc.assert(property, { numRuns: 200 });
  });
});

describe('an answer through limitedFetch', () => {
  const ANSWERS = [
    { status: 200, text: 'Fine', type: 'application/json; charset=utf-8', body: '{"usage":null}\n' },
    { status: 201, text: 'Made', type: STREAM_TYPE, body: 'data: [DONE]\n\n' },
    { status: 204, text: 'Silent', type: 'application/json', body: '' },
    {
      status: 400,
      text: 'Wrong',
      type: 'application/json',
      body: '{ "error": {"message":"wrong \\u00fc", "type":"invalid_request_error"} }',
    },
    { status: 429, text: 'Slow', type: 'application/json', body: '{"error":{"code":"rate_limit_exceeded"}}' },
    { status: 500, text: 'Broken', type: 'text/html', body: '<h1>Gateway ü</h1>' },
    { status: 529, text: 'Overloaded', type: STREAM_TYPE, body: 'event: error\ndata: {"type":"error"}\n\n' },
  ];

  /** What a caller sees of an answer. */
  const seen = async (answer: Response) => ({
    status: answer.status,
    statusText: answer.statusText,
    ok: answer.ok,
    url: answer.url,
    redirected: answer.redirected,
    type: answer.type,
    headers: [...answer.headers].filter(([name]) => name !== 'date'),
    text: digest(await received(answer)),
  });

  it.each(ANSWERS)('has status, status text, headers and body of a bare one at $status', async ({ status, text, type, body }) => {
    upstream.answer = (response) => {
      response.writeHead(status, text, {
        'content-type': type,
        'x-request-id': 'req_1',
        'set-cookie': ['a=1', 'b=2; Path=/'],
        'x-ratelimit-remaining-tokens': '149984',
        'retry-after': '7',
      });
      response.end(body);
    };
    const bare = await seen(await post(fetch, CHAT_PATH, asking(STREAMS_WITH_USAGE)));
    expect(bare).toMatchObject({ status, statusText: text, text: digest(bytesOf(body)) });
    expect(await seen(await post(send, CHAT_PATH, asking(STREAMS_WITH_USAGE)))).toEqual(bare);
  });

  it('has the status text of a bare one where that is no ASCII', async () => {
    upstream.answer = (response) => response.socket?.end('HTTP/1.1 200 Sch\u00f6n\r\ncontent-length: 2\r\n\r\n{}', 'latin1');
    const bare = await seen(await post(fetch, CHAT_PATH, asking(STREAMS_WITH_USAGE)));
    expect(await seen(await post(send, CHAT_PATH, asking(STREAMS_WITH_USAGE)))).toEqual(bare);
  });

  it.each([302, 307, 308])('is that from where a %d leads, and says so', async (status) => {
    upstream.answer = (response) => {
      const isThere = response.req.url === '/there';
      response.writeHead(isThere ? 200 : status, { 'content-type': 'application/json', location: '/there' });
      response.end(isThere ? JSON.stringify({ method: response.req.method }) : '');
    };
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: asking(STREAMS_WITH_USAGE) };
    const bare = await seen(await fetch(`${upstream.url}/${CHAT_PATH}`, init));
    expect(bare).toMatchObject({ status: 200, url: `${upstream.url}/there`, redirected: true, type: 'basic' });
    expect(await seen(await send(`${upstream.url}/${CHAT_PATH}`, init))).toEqual(bare);
  });

  it.each([
    { encoding: 'gzip', compressed: gzipSync },
    { encoding: 'br', compressed: (bytes: Uint8Array) => brotliCompressSync(bytes, FAST) },
  ])('that was sent in $encoding has the bytes and headers of a bare one', async ({ encoding, compressed }) => {
    for (const { name, pieces, type, path } of RECORDED) {
      upstream.answer = (response) => {
        response.writeHead(200, { 'content-type': type, 'content-encoding': encoding });
        response.end(compressed(joined(pieces)));
      };
      const bare = await seen(await post(fetch, path, asking(STREAMS_WITH_USAGE)));
      expect([name, bare.text]).toEqual([name, digest(joined(pieces))]);
      expect([name, await seen(await post(send, path, asking(STREAMS_WITH_USAGE)))]).toEqual([name, bare]);
    }
  });

  it.each(SENT_CHAT_STREAMS)(
    'that is compressed as it comes hands every flushed event on before the next, of $name',
    async ({ pieces }) => {
      const body = dueAtOnce(pieces);
      upstream.answer = async (response: ServerResponse) => {
        response.writeHead(200, { 'content-type': STREAM_TYPE, 'content-encoding': 'gzip' });
        const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH });
        gzip.pipe(response);
        await body.sendTo(gzip);
        gzip.end();
        await once(response, 'finish');
      };
      const bytes = await received(await post(send, CHAT_PATH, asking(STREAMS_WITH_USAGE)), body);
      expect(digest(bytes)).toBe(digest(joined(pieces)));
    },
  );

  it('whose usage is left out says no length, for it is shorter than the provider said', async () => {
    const [word, usage] = ['data: {"choices":[{}]}\n\n', 'data: {"choices":[],"usage":{"total_tokens":1}}\n\n'];
    upstream.answer = (response) => {
      response.writeHead(200, { 'content-type': STREAM_TYPE, 'content-length': word.length + usage.length });
      response.end(word + usage);
    };
    const answer = await post(send, CHAT_PATH, asking(STREAMS));
    expect([answer.headers.get('content-length'), await answer.text()]).toEqual([null, word]);
  });

  it.each([
    { written: 'in capitals', headers: { 'content-type': 'Text/Event-Stream' } },
    { written: 'as a text', headers: { 'content-type': 'text/plain; charset=utf-8' } },
    { written: 'nowhere', headers: {} },
  ])('is read as an event stream when its type is written $written', async ({ headers }) => {
    upstream.answer = (response) => {
      response.writeHead(200, headers);
      response.end('data: {"choices":[],"usage":{"total_tokens":1}}\n\ndata: [DONE]\n\n');
    };
    expect(await (await post(send, CHAT_PATH, asking(STREAMS))).text()).toBe('data: [DONE]\n\n');
  });
});
