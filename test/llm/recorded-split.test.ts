import { expect, it } from 'vitest';
import { anthropicApi } from '../../lib/llm/anthropic.js';
import { geminiApi } from '../../lib/llm/gemini.js';
import { AnswerMeter, type Meter, StreamMeter } from '../../lib/llm/metered-stream.js';
import { openAiApi } from '../../lib/llm/openai.js';
import type { ProviderApi } from '../../lib/llm/provider-api.js';
import type { Usage } from '../../lib/llm/usage.js';
import { type Counts, type RecordedEvent, usageOf } from './recorded.js';
import { ANTHROPIC_ANSWERS, ANTHROPIC_STREAMS } from './recorded-anthropic.js';
import { GEMINI_ANSWERS, GEMINI_STREAMS } from './recorded-gemini.js';
import { CHAT_ANSWERS, CHAT_STREAMS, EMBEDDINGS_ANSWERS, RESPONSES_ANSWERS, RESPONSES_STREAMS } from './recorded-openai.js';

const of = <T extends { readonly name: string }>(api: ProviderApi, recorded: readonly T[]) =>
  recorded.map((one) => ({ ...one, api, name: `${api.name}: ${one.name}` }));

const OPENAI_ANSWERS = [...CHAT_ANSWERS, ...EMBEDDINGS_ANSWERS, ...RESPONSES_ANSWERS];
const OPENAI_STREAMS = [...CHAT_STREAMS, ...RESPONSES_STREAMS];

const ANSWERS = [...of(openAiApi, OPENAI_ANSWERS), ...of(anthropicApi, ANTHROPIC_ANSWERS), ...of(geminiApi, GEMINI_ANSWERS)];
const STREAMS = [...of(openAiApi, OPENAI_STREAMS), ...of(anthropicApi, ANTHROPIC_STREAMS), ...of(geminiApi, GEMINI_STREAMS)];

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The bytes of a text, each as a character: of broken text none is lost. */
const asRead = (text: string): string => Buffer.from(text).toString('latin1');

/** What a meter passes on of these chunks, and the usage that it tells at their end. */
function read(meter: Meter, chunks: readonly Uint8Array[]) {
  const passed = chunks.map((chunk) => meter.passOn(chunk));
  passed.push(meter.passOnRest());
  return { bytes: Buffer.concat(passed).toString('latin1'), usage: meter.usage };
}

/** In whole, byte by byte, and in two at every byte. */
function* cuts(bytes: Uint8Array): Iterable<readonly Uint8Array[]> {
  yield [bytes];
  yield Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
  for (let cut = 0; cut <= bytes.length; cut += 1) yield [bytes.subarray(0, cut), bytes.subarray(cut)];
}

/** All that is read of the bytes, over all cuts: one reading, where the cuts make no difference. */
function readings(bytes: Uint8Array, meter: () => Meter) {
  const found = new Map<string, ReturnType<typeof read>>();
  for (const chunks of cuts(bytes)) {
    const one = read(meter(), chunks);
    found.set(JSON.stringify(one), one);
  }
  return [...found.values()];
}

it.each(ANSWERS)('reads the usage of $name, however it is cut', ({ api, text, counts }) => {
  const bytes = bytesOf(text);
  expect(readings(bytes, () => new AnswerMeter((answer) => api.usageOf(answer, new Headers())))).toEqual([
    { bytes: asRead(text), usage: usageOf(counts) },
  ]);
});

const streamMeter =
  (api: ProviderApi, { dropUsageChunk }: { readonly dropUsageChunk: boolean }) =>
  () =>
    new StreamMeter(api.usageReader(), { dropUsageChunk });

const textOf = (events: readonly RecordedEvent[]): string => events.map(({ text }) => text).join('');

it.each(STREAMS)('reads the usage of the stream of $name, however it is cut', ({ api, events }) => {
  const text = textOf(events);
  const usage = usageOf(events.at(-1)?.counts);
  expect(readings(bytesOf(text), streamMeter(api, { dropUsageChunk: false }))).toEqual([{ bytes: asRead(text), usage }]);
});

it.each(of(openAiApi, OPENAI_STREAMS))(
  'leaves nothing out of the stream of $name but chunks of usage alone, however it is cut',
  ({ api, events }) => {
    const kept = events.filter(({ text }) => !(text.includes('"choices":[]') && text.includes('"usage":{')));
    const usage = usageOf(events.at(-1)?.counts);
    const found = readings(bytesOf(textOf(events)), streamMeter(api, { dropUsageChunk: true }));
    expect(found).toEqual([{ bytes: asRead(textOf(kept)), usage }]);
  },
);

it.each(ANSWERS)('finds no usage in $name when it breaks off at any byte', ({ api, text }) => {
  const bytes = bytesOf(text.trimEnd());
  for (let end = 0; end < bytes.length; end += 1)
    if (read(new AnswerMeter((answer) => api.usageOf(answer, new Headers())), [bytes.subarray(0, end)]).usage)
      expect.fail(`found one in ${end} bytes`);
});

it.each(STREAMS)('tells what was used by then when the stream of $name breaks off at any byte', ({ api, events }) => {
  const bytes = bytesOf(textOf(events));
  const told = Array.from({ length: bytes.length + 1 }, (_, end) => {
    return read(streamMeter(api, { dropUsageChunk: false })(), [bytes.subarray(0, end)]).usage;
  });
  const wanted: (Usage | undefined)[] = [];
  let counts: Counts;
  for (const { text, counts: after } of events) {
    // An event counts as soon as its data is there, also without the blank line that ends it.
    const [data, whole] = [bytesOf(text.trimEnd()).length, bytesOf(text).length];
    for (let end = 0; end < whole; end += 1) wanted.push(usageOf(end < data ? counts : after));
    counts = after;
  }
  wanted.push(usageOf(counts));
  expect(told).toEqual(wanted);
});
