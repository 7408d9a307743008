import { expect, it } from 'vitest';
import { bedrockApi } from '../../lib/llm/bedrock.js';
import { meterOf } from '../../lib/llm/metered-stream.js';
import type { Usage } from '../../lib/llm/usage.js';
import { type Counts, usageOf } from './recorded.js';
import { BEDROCK_STREAMS, type RecordedMessage } from './recorded-bedrock.js';

const answer = new Response(null, { headers: { 'content-type': 'application/vnd.amazon.eventstream' } });

/** What passes of these chunks, and the usage that is told at their end. */
function read(chunks: readonly Uint8Array[]) {
  const meter = meterOf(bedrockApi, { addedUsage: false }, answer);
  const passed = chunks.map((chunk) => meter.passOn(chunk));
  passed.push(meter.passOnRest());
  return { bytes: Buffer.concat(passed).toString('hex'), usage: meter.usage };
}

const bytesOf = (messages: readonly RecordedMessage[]): Uint8Array => Buffer.concat(messages.map(({ bytes }) => bytes));

it.each(BEDROCK_STREAMS)('passes $name on unchanged and reads its usage, cut at any byte, and byte by byte', ({ messages }) => {
  const bytes = bytesOf(messages);
  const whole = { bytes: Buffer.from(bytes).toString('hex'), usage: usageOf(messages.at(-1)?.counts) };
  for (let cut = 0; cut <= bytes.length; cut += 1)
    expect(read([bytes.subarray(0, cut), bytes.subarray(cut)]), `cut at ${cut}`).toEqual(whole);
  expect(read(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
});

it.each(BEDROCK_STREAMS)('tells what was used by then when $name breaks off at any byte', ({ messages }) => {
  const bytes = bytesOf(messages);
  const wanted: (Usage | undefined)[] = [];
  let counts: Counts;
  for (const message of messages) {
    // A message counts with its last byte.
    for (let end = 0; end < message.bytes.length; end += 1) wanted.push(usageOf(counts));
    counts = message.counts;
  }
  wanted.push(usageOf(counts));
  expect(Array.from({ length: bytes.length + 1 }, (_, end) => read([bytes.subarray(0, end)]).usage)).toEqual(wanted);
});
