import { createHash } from 'node:crypto';
import type { RecordedAnswer, RecordedStream } from '../llm/recorded.js';
import { ANTHROPIC_ANSWERS, ANTHROPIC_STREAMS } from '../llm/recorded-anthropic.js';
import { GEMINI_ANSWERS, GEMINI_STREAMS } from '../llm/recorded-gemini.js';
import { CHAT_ANSWERS, CHAT_STREAMS, EMBEDDINGS_ANSWERS, RESPONSES_ANSWERS, RESPONSES_STREAMS } from '../llm/recorded-openai.js';

/** What a provider sends to a call, piece by piece. */
export interface SentAnswer {
  readonly name: string;
  readonly path: string;
  readonly type: string;
  readonly pieces: readonly Uint8Array[];
}

export const MODEL = 'gpt-4';
export const CHAT_PATH = 'v1/chat/completions';
const JSON_TYPE = 'application/json';
export const STREAM_TYPE = 'text/event-stream; charset=utf-8';
const GEMINI_PATH = `v1beta/models/${MODEL}`;

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const joined = (pieces: readonly Uint8Array[]): Uint8Array => Buffer.concat(pieces);

/** Its length and its SHA-256: what differs is told in a line. */
export const digest = (bytes: Uint8Array): string =>
  `${bytes.length} bytes, SHA-256 ${createHash('sha256').update(bytes).digest('hex')}`;

/** Whether an event tells the usage and nothing else: it is left out where the caller did not ask for it. */
export const isUsageAlone = (event: Uint8Array): boolean => /"choices":\[\],"usage":\{/.test(Buffer.from(event).toString());

/** A request body that each API takes for a call of the model. */
export const asking = (more: object = {}): string =>
  JSON.stringify({ model: MODEL, max_tokens: 9, messages: [{ role: 'user', content: 'Hello?!!' }], ...more });

/** What a chat completion's stream is asked for its usage by. */
export const ASKED = '"stream_options":{"include_usage":true}';
/** Members of a request as people and old libraries write JSON: spaces, escapes, numbers that no double holds, names that stand twice. */
export const ODD =
  '"messages" : [ {"role":"user","content":"Gr\\u00fc\\u00dfe \\ud83c\\udf0d 世界 \\/"} ],\r\n\t"seed":12345678901234567890, "temperature":1.0,"top_p":1E0, "x":1e400,"seed" : 0.10,  "\\u0078":null';

const inPieces = (path: string, answers: readonly RecordedAnswer[]): readonly SentAnswer[] =>
  answers.map(({ name, text }) => {
    const bytes = bytesOf(text);
    return { name, path, type: JSON_TYPE, pieces: [bytes.subarray(0, 100), bytes.subarray(100, 101), bytes.subarray(101)] };
  });

const eventByEvent = (path: string, streams: readonly RecordedStream[]): readonly SentAnswer[] =>
  streams.map(({ name, events }) => {
    return { name: `the stream of ${name}`, path, type: STREAM_TYPE, pieces: events.map(({ text }) => bytesOf(text)) };
  });

export const SENT_CHAT_STREAMS = eventByEvent(CHAT_PATH, CHAT_STREAMS);

/** Every shape of answer that is known to be sent. */
export const RECORDED: readonly SentAnswer[] = [
  ...inPieces(CHAT_PATH, CHAT_ANSWERS),
  ...SENT_CHAT_STREAMS,
  ...inPieces('v1/embeddings', EMBEDDINGS_ANSWERS),
  ...inPieces('v1/responses', RESPONSES_ANSWERS),
  ...eventByEvent('v1/responses', RESPONSES_STREAMS),
  ...inPieces('v1/messages', ANTHROPIC_ANSWERS),
  ...eventByEvent('v1/messages', ANTHROPIC_STREAMS),
  ...inPieces(`${GEMINI_PATH}:generateContent`, GEMINI_ANSWERS),
  ...eventByEvent(`${GEMINI_PATH}:streamGenerateContent?alt=sse`, GEMINI_STREAMS),
];

const WORD = 'data: {"choices":[{"index":0,"delta":{"content":"Grüße 世界 🌍"},"finish_reason":null}]}\n\n';
const NULL_USAGE = 'data: {"choices":[],"usage":null}\n\n';
const LAST_WORD =
  'data: {"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n';
const DONE = 'data: [DONE]\n\n';

/** Every byte there is, over and over, in an order of its own. */
const garbage = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 167 + (index >> 8) * 31) % 256);

const oneByOne = (text: string): readonly Uint8Array[] => [...bytesOf(text)].map((byte) => Uint8Array.of(byte));
const ofChat = (name: string, pieces: readonly (string | Uint8Array)[], type = STREAM_TYPE): SentAnswer => ({
  name,
  path: CHAT_PATH,
  type,
  pieces: pieces.map((piece) => (typeof piece === 'string' ? bytesOf(piece) : piece)),
});

/** Answers that no provider sends quite so, none with a chunk of usage alone: not a byte may be missing of them. */
export const HAND_MADE: readonly SentAnswer[] = [
  ofChat(
    'events in CRLF',
    [WORD, WORD, DONE].map((event) => event.replaceAll('\n', '\r\n')),
  ),
  ofChat(
    'events in CR',
    [WORD, WORD, DONE].map((event) => event.replaceAll('\n', '\r')),
  ),
  ofChat('events with comments and fields of all kinds', [
    ': ping\n\n',
    `id: 7\nevent: x\nretry: 5\n${WORD}`,
    ':\n',
    'foo\n\n',
    DONE,
  ]),
  ofChat('events after a byte order mark, and one inside', [`\uFEFF${WORD}`, `\uFEFF${WORD}`, DONE]),
  ofChat('events of which the last has no blank line', [WORD, DONE.trimEnd()]),
  ofChat('events with blank lines between them', ['\n\n\n', WORD, '\r\n\r\n', DONE, '\n']),
  ofChat('characters of which each byte comes on its own', oneByOne(WORD)),
  ofChat('a usage that is null', [WORD, NULL_USAGE, DONE]),
  ofChat('a usage beside a choice', [WORD, LAST_WORD, DONE]),
  ofChat('an event of a megabyte', [`data: {"choices":[{"delta":{"content":"${'🌍'.repeat(262_144)}"}}]}`, '\n\n', DONE]),
  ofChat('garbage that is called an event stream', [garbage.subarray(0, 33_333), garbage.subarray(33_333)]),
  ofChat('garbage that is called JSON', [garbage.subarray(0, 5), garbage.subarray(5)], JSON_TYPE),
  ofChat('garbage of no type', [garbage], 'application/octet-stream'),
  ofChat(
    'two megabytes of JSON',
    Array.from({ length: 32 }, (_, index) => `${index === 0 ? '{"choices":[],"user":"' : ''}${'a"\\u00fc\\n '.repeat(6_554)}`),
    JSON_TYPE,
  ),
  ofChat('nothing', []),
  ofChat('nothing, as JSON', [], JSON_TYPE),
];
