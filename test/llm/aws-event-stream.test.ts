import { describe, expect, it } from 'vitest';
import { AwsEventStreamSplitter } from '../../lib/llm/aws-event-stream.js';
import { startUpstream } from '../../local/upstream/simulated-upstream.js';

/** The bytes of a Converse stream, and the payloads in it, in order. */
async function converseStream() {
  const upstream = await startUpstream();
  try {
    upstream.behaviour.usage = { promptTokens: 10, completionTokens: 2 };
    const body = JSON.stringify({ messages: [{ role: 'user', content: [{ text: 'Grüße' }] }] });
    const answer = await fetch(`${upstream.url}/model/m/converse-stream`, { method: 'POST', body });
    return new Uint8Array(await answer.arrayBuffer());
  } finally {
    await upstream.stop();
  }
}

const PAYLOADS = [
  '{"role":"assistant"}',
  '{"contentBlockIndex":0,"delta":{"text":"The"}}',
  '{"contentBlockIndex":0,"delta":{"text":" key"}}',
  '{"contentBlockIndex":0}',
  '{"stopReason":"end_turn"}',
  '{"usage":{"inputTokens":10,"outputTokens":2,"totalTokens":12},"metrics":{"latencyMs":1}}',
];

const split = (...chunks: Uint8Array[]): string[] => {
  const splitter = new AwsEventStreamSplitter();
  return chunks.flatMap((chunk) => splitter.push(chunk));
};

describe('an AWS event stream', () => {
  it('has the same messages wherever it is cut in two, and byte by byte', async () => {
    const bytes = await converseStream();
    for (let cut = 0; cut <= bytes.length; cut += 1)
      expect(split(bytes.subarray(0, cut), bytes.subarray(cut)), `cut at ${cut}`).toEqual(PAYLOADS);
    expect(split(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(PAYLOADS);
  });

  it('tells a message with its last byte, and none before', async () => {
    const bytes = await converseStream();
    const firstLength = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    expect(split(bytes.subarray(0, firstLength - 1))).toEqual([]);
    expect(split(bytes.subarray(0, firstLength))).toEqual(PAYLOADS.slice(0, 1));
  });

  it.each([
    ['a message shorter than its own frame', [0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['headers longer than the message', [0, 0, 0, 32, 0, 0, 0, 99, 0, 0, 0, 0]],
    ['a message longer than any', [255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['a text', [...Buffer.from('{"message":"no stream"}')]],
  ])('that has %s is read no further, and keeps nothing', async (_what, odd) => {
    const bytes = await converseStream();
    expect(split(Uint8Array.from(odd), bytes)).toEqual([]);
  });
});
