import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ServerSentEvent, ServerSentEventSplitter } from '../../lib/llm/server-sent-events.js';
import { CHAT_STREAM, RESPONSES_STREAM } from './recorded-answers.js';

const utf8 = new TextEncoder();
const textOf = (bytes: Uint8Array) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
const asText = (events: readonly ServerSentEvent[]) => events.map(({ bytes, data }) => [textOf(bytes), data]);

function split(chunks: readonly Uint8Array[]): ServerSentEvent[] {
  const splitter = new ServerSentEventSplitter();
  const events = chunks.flatMap((chunk) => splitter.push(chunk));
  const last = splitter.flush();
  return last ? [...events, last] : events;
}

const splitText = (text: string) => asText(split([utf8.encode(text)]));

it.each([
  {
    when: 'lines end in LF',
    text: 'data: a\n\ndata: b\n\n',
    events: [
      ['data: a\n\n', 'a'],
      ['data: b\n\n', 'b'],
    ],
  },
  {
    when: 'lines end in CRLF',
    text: 'data: a\r\n\r\ndata: b\r\n\r\n',
    events: [
      ['data: a\r\n\r\n', 'a'],
      ['data: b\r\n\r\n', 'b'],
    ],
  },
  {
    when: 'lines end in CR',
    text: 'data: a\r\rdata: b\r\r',
    events: [
      ['data: a\r\r', 'a'],
      ['data: b\r\r', 'b'],
    ],
  },
  {
    when: 'line ends are mixed',
    text: 'data: a\n\r\ndata: b\r\n\ndata: c\n\rdata: d',
    events: [
      ['data: a\n\r\n', 'a'],
      ['data: b\r\n\n', 'b'],
      ['data: c\n\r', 'c'],
      ['data: d', 'd'],
    ],
  },
  {
    when: 'a line feed follows two lone carriage returns',
    text: 'data: a\r\r\ndata: b\n\n',
    events: [
      ['data: a\r\r', 'a'],
      ['\ndata: b\n\n', 'b'],
    ],
  },
  {
    when: 'a line feed follows lines in CR alone',
    text: 'data: a\r\rdata: b\n\r\n',
    events: [
      ['data: a\r\r', 'a'],
      ['data: b\n\r\n', 'b'],
    ],
  },
  { when: 'data has several lines', text: 'data: a\ndata\ndata:  b\n\n', events: [['data: a\ndata\ndata:  b\n\n', 'a\n\n b']] },
  { when: 'there is no space after the colon', text: 'data:a\n\n', events: [['data:a\n\n', 'a']] },
  { when: 'data is empty', text: 'data:\n\n', events: [['data:\n\n', '']] },
  {
    when: 'other fields and comments surround it',
    text: ': ping\nevent: x\nid: 1\ndata: a\nretry: 5\n\n',
    events: [[': ping\nevent: x\nid: 1\ndata: a\nretry: 5\n\n', 'a']],
  },
  {
    when: 'a field only begins like data',
    text: 'datax: a\ndata : b\n data: c\n\n',
    events: [['datax: a\ndata : b\n data: c\n\n', undefined]],
  },
  {
    when: 'a block is a comment alone',
    text: ': OPENROUTER PROCESSING\n\ndata: a\n\n',
    events: [
      [': OPENROUTER PROCESSING\n\n', undefined],
      ['data: a\n\n', 'a'],
    ],
  },
  {
    when: 'blank lines are repeated',
    text: '\n\ndata: a\n\n\n',
    events: [
      ['\n', undefined],
      ['\n', undefined],
      ['data: a\n\n', 'a'],
      ['\n', undefined],
    ],
  },
  {
    when: 'it begins with a byte order mark',
    text: '\uFEFFdata: a\n\n\uFEFFdata: b\n\n',
    events: [
      ['\uFEFFdata: a\n\n', 'a'],
      ['\uFEFFdata: b\n\n', undefined],
    ],
  },
  {
    when: 'the last event has no blank line',
    text: 'data: a\n\ndata: b\n',
    events: [
      ['data: a\n\n', 'a'],
      ['data: b\n', 'b'],
    ],
  },
  { when: 'the last event has no line end', text: 'data: ü', events: [['data: ü', 'ü']] },
  { when: 'the stream is empty', text: '', events: [] },
])('finds the events and their exact bytes when $when', ({ text, events }) => {
  expect(splitText(text)).toEqual(events);
});

it.each([
  { name: 'a chat stream', text: CHAT_STREAM },
  { name: 'a Responses API stream in CRLF', text: RESPONSES_STREAM.replaceAll('\n', '\r\n') },
  { name: 'a stream in CR with a byte order mark', text: `\uFEFF${CHAT_STREAM.replaceAll('\n', '\r')}` },
])('gives the same events of $name wherever it is cut in two', ({ text }) => {
  const bytes = utf8.encode(text);
  const whole = asText(split([bytes]));
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    expect(asText(split([bytes.subarray(0, cut), bytes.subarray(cut)]))).toEqual(whole);
  }
});

/** What a reader of whole streams makes of it: lines first, then blocks (WHATWG HTML, 9.2.6), the unfinished one included. */
function dataOfWhole(text: string): string[] {
  const found: string[] = [];
  let block: string[] = [];
  for (const line of [...text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/), '']) {
    if (line === '' && block.length > 0) found.push(block.join('\n'));
    if (line === '') block = [];
    else if (/^data(:|$)/.test(line)) block.push(line.replace(/^data:? ?/, ''));
  }
  return found;
}

it('agrees with a reader of the whole stream, and loses no byte, for any text and any cuts', () => {
  const piece = fc.constantFrom(
    'data: a',
    'data:',
    'data',
    ':c',
    'id: 1',
    'é',
    '🌍',
    '\uFEFF',
    '\r',
    '\n',
    '\r\n',
    '\r\r',
    '\n\n',
    '\r\n\r\n',
  );
  const stream = fc.array(piece, { maxLength: 24 }).map((pieces) => utf8.encode(pieces.join('')));
  fc.assert(
    fc.property(stream, fc.array(fc.nat(120), { maxLength: 12 }), (bytes, cuts) => {
      const ends = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      const events = split(ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)));
      expect(asText(events)).toEqual(asText(split([bytes])));
      expect(events.map((event) => textOf(event.bytes)).join('')).toBe(textOf(bytes));
      expect(events.map((event) => event.data).filter((data) => data !== undefined)).toEqual(dataOfWhole(textOf(bytes)));
    }),
    { numRuns: 5_000 },
  );
});

it.each([
  { ends: 'LF', event: 'data: a\n\n' },
  { ends: 'CRLF', event: 'data: a\r\n\r\n' },
  { ends: 'CR', event: 'data: a\r\r' },
])('hands an event out with the last byte of its blank line when lines end in $ends', ({ event }) => {
  const splitter = new ServerSentEventSplitter();
  const bytes = utf8.encode(event);
  for (let repeated = 0; repeated < 3; repeated += 1) {
    expect(splitter.push(bytes.subarray(0, -1))).toEqual([]);
    expect(asText(splitter.push(bytes.subarray(-1)))).toEqual([[event, 'a']]);
  }
  expect(splitter.flush()).toBeUndefined();
});

it('decodes bytes that are not UTF-8 as replacement characters and passes them on unchanged', () => {
  const bytes = Uint8Array.of(...utf8.encode('data: '), 0xff, 0xc3, 0x0a, 0x0a);
  expect(split([bytes])).toEqual([{ bytes, data: '\uFFFD\uFFFD' }]);
});

it('copies an event of 4 MB that comes in pieces of 16 bytes once, not once a piece', () => {
  const bytes = utf8.encode(`data: ${'x'.repeat(4_000_000)}\n\n`);
  const chunks = Array.from({ length: Math.ceil(bytes.length / 16) }, (_, index) => bytes.subarray(index * 16, index * 16 + 16));
  expect(split(chunks).map((event) => event.bytes.length)).toEqual([4_000_008]);
});

describe('an event without an end', () => {
  const MEGABYTE = 1_024 * 1_024;

  it('is handed out as it comes beyond 16 megabytes, unread, and the event after it is read', () => {
    const splitter = new ServerSentEventSplitter();
    const chunk = new TextEncoder().encode('x'.repeat(MEGABYTE));
    const events = [new TextEncoder().encode('data: '), ...Array.from({ length: 20 }, () => chunk)].flatMap((each) =>
      splitter.push(each),
    );
    expect(events.map(({ bytes, data }) => [bytes.length, data])).toEqual([
      [16 * MEGABYTE + 6, undefined],
      ...Array.from({ length: 4 }, () => [MEGABYTE, undefined]),
    ]);
    const after = splitter.push(new TextEncoder().encode('the end\n\ndata: next\n\n'));
    expect(after.map(({ data }) => data)).toEqual([undefined, 'next']);
    expect(splitter.flush()).toBeUndefined();
  });
});
