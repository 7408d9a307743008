import fc from 'fast-check';
import OpenAI from 'openai';
import { expect, it } from 'vitest';
import { AnswerMeter, metered, StreamMeter } from '../../lib/llm/metered-stream.js';
import { openAiApi } from '../../lib/llm/openai.js';
import type { Usage } from '../../lib/llm/usage.js';
import {
  AZURE_FILTER_EVENT,
  CHAT_CONTENT_EVENTS,
  CHAT_STREAM,
  CHAT_USAGE_EVENT,
  DONE_EVENT,
  RESPONSES_STREAM,
} from './recorded-answers.js';

const utf8 = new TextEncoder();
const CHAT_USAGE = { inputTokens: 19, cachedInputTokens: 4, outputTokens: 10, totalTokens: 29 };
const WITHOUT_USAGE = [...CHAT_CONTENT_EVENTS, DONE_EVENT].join('');

/** A body that gives these chunks, then ends, or breaks with `error`. */
function upstreamOf(chunks: readonly Uint8Array[], error?: Error): ReadableStream<Uint8Array> {
  const left = [...chunks];
  return new ReadableStream({
    pull(controller) {
      const chunk = left.shift();
      if (chunk) controller.enqueue(chunk);
      else if (error) controller.error(error);
      else controller.close();
    },
  });
}

/** A stream on its way, and the usage that its end tells. */
function meterOpenAi(upstream: ReadableStream<Uint8Array>, options: { readonly dropUsageChunk: boolean }) {
  let tell: (usage: Usage | undefined) => void = () => {};
  const usage = new Promise<Usage | undefined>((resolve) => {
    tell = resolve;
  });
  const body = metered(upstream, new StreamMeter(openAiApi.usageReader(), options), async (told) => tell(told));
  return { body, usage };
}

async function readAll(body: ReadableStream<Uint8Array>): Promise<{ chunks: string[]; text: string; error: unknown }> {
  const chunks: Uint8Array[] = [];
  let error: unknown;
  try {
    for await (const chunk of body) chunks.push(chunk);
  } catch (thrown) {
    error = thrown;
  }
  return {
    chunks: chunks.map((chunk) => Buffer.from(chunk).toString('latin1')),
    text: Buffer.concat(chunks).toString('utf8'),
    error,
  };
}

async function meter(chunks: readonly Uint8Array[], dropUsageChunk: boolean, error?: Error) {
  const stream = meterOpenAi(upstreamOf(chunks, error), { dropUsageChunk });
  const read = await readAll(stream.body);
  return { ...read, usage: await stream.usage };
}

it.each([
  { when: 'chat chunks', text: CHAT_STREAM, usage: CHAT_USAGE },
  {
    when: 'Responses API events',
    text: RESPONSES_STREAM,
    usage: { inputTokens: 37, cachedInputTokens: 0, outputTokens: 11, totalTokens: 48 },
  },
  { when: 'content without usage', text: WITHOUT_USAGE, usage: undefined },
  { when: 'events in CRLF', text: CHAT_STREAM.replaceAll('\n', '\r\n'), usage: CHAT_USAGE },
  { when: 'no event stream at all', text: '{"error":{"message":"overloaded"}}', usage: undefined },
  { when: 'nothing', text: '', usage: undefined },
])('passes every byte on and tells the usage, cut at any byte, when upstream sends $when', async ({ text, usage }) => {
  const bytes = utf8.encode(text);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const metered = await meter([bytes.subarray(0, cut), bytes.subarray(cut)], false);
    expect(metered).toMatchObject({ text, usage, error: undefined });
  }
});

it('passes chunks on as they came, in order, when nothing is dropped', async () => {
  const chunks = ['data: {"cho', 'ices":[]', '}\n', '\ndata: [DONE]\n\n'];
  expect(
    (
      await meter(
        chunks.map((chunk) => utf8.encode(chunk)),
        false,
      )
    ).chunks,
  ).toEqual(chunks);
});

it.each([
  { ends: 'LF', end: '\n' },
  { ends: 'CRLF', end: '\r\n' },
  { ends: 'CR', end: '\r' },
])('drops exactly the usage chunk, cut at any byte, when lines end in $ends', async ({ end }) => {
  const bytes = utf8.encode(CHAT_STREAM.replaceAll('\n', end));
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const metered = await meter([bytes.subarray(0, cut), bytes.subarray(cut)], true);
    expect(metered).toMatchObject({ text: WITHOUT_USAGE.replaceAll('\n', end), usage: CHAT_USAGE, error: undefined });
  }
});

it('passes on all but the usage chunk, for any cuts', async () => {
  const bytes = utf8.encode(AZURE_FILTER_EVENT + CHAT_STREAM);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 40 }), async (cuts) => {
      const ends = [...cuts.sort((a, b) => a - b), bytes.length];
      const chunks = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
      expect(await meter(chunks, true)).toMatchObject({ text: AZURE_FILTER_EVENT + WITHOUT_USAGE, usage: CHAT_USAGE });
      expect(await meter(chunks, false)).toMatchObject({ text: AZURE_FILTER_EVENT + CHAT_STREAM, usage: CHAT_USAGE });
    }),
    { numRuns: 200 },
  );
});

it.each([
  {
    when: 'it has choices beside a usage',
    event: 'data: {"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n',
  },
  { when: 'it has no choices and a null usage', event: 'data: {"choices":[],"usage":null}\n\n' },
  { when: 'it has no choices and no usage', event: AZURE_FILTER_EVENT },
  {
    when: 'it is a Responses API event',
    event: 'data: {"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}}\n\n',
  },
  { when: 'it is not JSON', event: 'data: "usage" {\n\n' },
  { when: 'it is a comment', event: ': ping "usage"\n\n' },
  { when: 'it is the end mark', event: DONE_EVENT },
])('keeps a chunk although usage chunks are dropped when $when', async ({ event }) => {
  expect((await meter([utf8.encode(event)], true)).text).toBe(event);
});

it('hands on no empty chunk while an event is unfinished or dropped', async () => {
  const chunks = ['data: [DO', 'NE]\n', '\n', CHAT_USAGE_EVENT, '', ': end\n\n'].map((chunk) => utf8.encode(chunk));
  expect((await meter(chunks, true)).chunks).toEqual(['data: [DONE]\n\n', ': end\n\n']);
});

it('drops a usage chunk at the end of the stream that has no blank line', async () => {
  const bytes = utf8.encode(CHAT_USAGE_EVENT.trimEnd());
  expect(await meter([bytes], true)).toMatchObject({ text: '', usage: CHAT_USAGE });
});

it('tells the last usage when every chunk carries one so far', async () => {
  const chunk = (output: number) =>
    utf8.encode(
      `data: {"choices":[{}],"usage":{"prompt_tokens":3,"completion_tokens":${output},"total_tokens":${3 + output}}}\n\n`,
    );
  expect(
    (await meter([chunk(1), chunk(2), chunk(5), utf8.encode('data: {"choices":[{}],"usage":null}\n\n')], true)).usage,
  ).toEqual({
    inputTokens: 3,
    cachedInputTokens: 0,
    outputTokens: 5,
    totalTokens: 8,
  });
});

it.each([
  { when: 'before any usage', sent: CHAT_CONTENT_EVENTS.join(''), dropped: CHAT_CONTENT_EVENTS.join(''), usage: undefined },
  { when: 'after the usage', sent: CHAT_STREAM, dropped: WITHOUT_USAGE, usage: CHAT_USAGE },
  { when: 'inside an event', sent: `${DONE_EVENT}data: {"cho`, dropped: `${DONE_EVENT}data: {"cho`, usage: undefined },
  { when: 'inside the end of the usage chunk', sent: CHAT_USAGE_EVENT.trimEnd(), dropped: '', usage: CHAT_USAGE },
  { when: 'at once', sent: '', dropped: '', usage: undefined },
])('hands on what came, fails with the upstream error, and still tells the usage, when upstream breaks $when', async (row) => {
  const error = new Error('socket hang up');
  const chunks = row.sent === '' ? [] : [utf8.encode(row.sent)];
  expect(await meter(chunks, false, error)).toMatchObject({ text: row.sent, error, usage: row.usage });
  expect(await meter(chunks, true, error)).toMatchObject({ text: row.dropped, error, usage: row.usage });
});

it.each([{ dropUsageChunk: false }, { dropUsageChunk: true }])(
  'hands a finished event on before upstream sends more ($dropUsageChunk)',
  async (options) => {
    let send: (chunk: Uint8Array) => void = () => {};
    const upstream = new ReadableStream<Uint8Array>({
      start(controller) {
        send = (chunk) => controller.enqueue(chunk);
      },
    });
    const reader = meterOpenAi(upstream, options).body.getReader();
    for (const event of CHAT_CONTENT_EVENTS) {
      send(utf8.encode(event));
      expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe(event);
    }
  },
);

it('reads nothing ahead of its reader', async () => {
  let pulled = 0;
  const upstream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        pulled += 1;
        controller.enqueue(utf8.encode(DONE_EVENT));
      },
    },
    { highWaterMark: 0 },
  );
  const reader = meterOpenAi(upstream, { dropUsageChunk: true }).body.getReader();
  await new Promise((resolve) => setImmediate(resolve));
  expect(pulled).toBe(0);
  await reader.read();
  expect(pulled).toBe(1);
});

it.each([
  { when: 'before the first read', reads: 0, usage: undefined },
  { when: 'after the usage was read', reads: 1, usage: CHAT_USAGE },
])('cancels upstream with the reason and tells the usage when the caller leaves $when', async ({ reads, usage }) => {
  const reasons: unknown[] = [];
  const upstream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(utf8.encode(CHAT_STREAM)),
    cancel: (reason) => void reasons.push(reason),
  });
  const stream = meterOpenAi(upstream, { dropUsageChunk: true });
  const reader = stream.body.getReader();
  for (let read = 0; read < reads; read += 1) await reader.read();
  await reader.cancel('client left');
  expect(reasons).toEqual(['client left']);
  expect(await stream.usage).toEqual(usage);
});

it('ends the read that is under way and tells no usage when the caller leaves during it', async () => {
  const stream = meterOpenAi(new ReadableStream<Uint8Array>(), { dropUsageChunk: true });
  const reader = stream.body.getReader();
  const read = reader.read();
  await reader.cancel();
  expect(await read).toEqual({ done: true, value: undefined });
  expect(await stream.usage).toBeUndefined();
});

it('gives the OpenAI client every choice and no usage chunk', async () => {
  const bytes = utf8.encode(CHAT_STREAM);
  const chunks = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) => bytes.subarray(index * 7, index * 7 + 7));
  const stream = meterOpenAi(upstreamOf(chunks), { dropUsageChunk: true });
  const answer = new Response(stream.body, { headers: { 'content-type': 'text/event-stream' } });
  const client = new OpenAI({ apiKey: 'none', fetch: async () => answer });
  const answered = await client.chat.completions.create({ model: 'gpt-4o-mini', messages: [], stream: true });
  let content = '';
  for await (const chunk of answered) {
    expect(chunk.choices).toHaveLength(1);
    content += chunk.choices[0]?.delta.content ?? '';
  }
  expect(content).toBe('Grüße 世界 🌍');
  expect(await stream.usage).toEqual(CHAT_USAGE);
});

it('an answer in one piece is read up to 64 megabytes; of a larger one no usage is told, and its bytes go on', () => {
  const megabyte = utf8.encode(' '.repeat(1_024 * 1_024));
  const told = [63, 64].map((megabytes) => {
    const meter = new AnswerMeter((answer) => openAiApi.usageOf(answer, new Headers()));
    for (let index = 0; index < megabytes; index += 1) expect(meter.passOn(megabyte)).toBe(megabyte);
    const last = utf8.encode('{"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}');
    expect(meter.passOn(last)).toBe(last);
    meter.passOnRest();
    return meter.usage?.totalTokens;
  });
  expect(told).toEqual([5, undefined]);
});
