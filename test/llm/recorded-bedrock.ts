import { message } from '../../local/upstream/bedrock.js';
import type { Counts } from './recorded.js';

/** One message as it is on the wire, and the usage of a stream that breaks off right after it. */
export interface RecordedMessage {
  readonly bytes: Uint8Array;
  readonly counts: Counts;
}

export interface RecordedMessages {
  readonly name: string;
  readonly messages: readonly RecordedMessage[];
}

const converse = (
  name: string,
  rows: readonly (readonly [type: string, payload: object, counts: Counts])[],
): RecordedMessages => ({
  name,
  messages: rows.map(([type, payload, counts]) => ({ bytes: Buffer.from(message(type, payload).bytes), counts })),
});

/** A model's own events, which Bedrock wraps in base64, with a padding that hides how long they are. */
const invocation = (name: string, rows: readonly (readonly [event: object, counts: Counts])[]): RecordedMessages =>
  converse(
    name,
    rows.map(([event, counts]) => [
      'chunk',
      { bytes: Buffer.from(JSON.stringify(event)).toString('base64'), p: 'abcdefghijkl' },
      counts,
    ]),
  );

const metrics = (inputTokenCount: number, outputTokenCount: number, more: object = {}) => ({
  'amazon-bedrock-invocationMetrics': {
    inputTokenCount,
    outputTokenCount,
    invocationLatency: 1551,
    firstByteLatency: 488,
    ...more,
  },
});

/** Streams in the shapes that AWS and the models' makers document. */
export const BEDROCK_STREAMS: readonly RecordedMessages[] = [
  converse('a ConverseStream that read from the cache and wrote to it', [
    ['messageStart', { p: 'abcd', role: 'assistant' }, undefined],
    ['contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'Grüße' }, p: 'abcdefgh' }, undefined],
    ['contentBlockDelta', { contentBlockIndex: 0, delta: { text: ' 世界 🌍 {"usage":{"inputTokens":1}}' }, p: 'ab' }, undefined],
    ['contentBlockStop', { contentBlockIndex: 0, p: 'abc' }, undefined],
    ['messageStop', { p: 'abcdef', stopReason: 'end_turn' }, undefined],
    [
      'metadata',
      {
        metrics: { latencyMs: 1551 },
        p: 'abcde',
        usage: {
          cacheDetails: [
            { inputTokens: 30, ttl: '1h' },
            { inputTokens: 70, ttl: '5m' },
          ],
          cacheReadInputTokens: 1000,
          cacheReadInputTokenCount: 1000,
          cacheWriteInputTokens: 100,
          cacheWriteInputTokenCount: 100,
          inputTokens: 12,
          outputTokens: 30,
          totalTokens: 1142,
        },
      },
      [1112, 1000, 30, 1142, 100, 30],
    ],
  ]),
  converse('a ConverseStream of a tool', [
    ['messageStart', { role: 'assistant' }, undefined],
    ['contentBlockStart', { contentBlockIndex: 0, start: { toolUse: { name: 'look', toolUseId: 'tooluse_1' } } }, undefined],
    ['contentBlockDelta', { contentBlockIndex: 0, delta: { toolUse: { input: '{"at":"gate"}' } } }, undefined],
    ['messageStop', { stopReason: 'tool_use' }, undefined],
    [
      'metadata',
      { metrics: { latencyMs: 9 }, usage: { inputTokens: 380, outputTokens: 54, totalTokens: 434 } },
      [380, 0, 54, 434],
    ],
  ]),
  invocation('an Anthropic model’s invocation', [
    [
      {
        type: 'message_start',
        message: {
          id: 'msg_bdrk_01',
          type: 'message',
          role: 'assistant',
          model: 'claude-sonnet-4-5-20250929',
          content: [],
          usage: { input_tokens: 25, cache_creation_input_tokens: 0, cache_read_input_tokens: 5, output_tokens: 1 },
        },
      },
      [30, 5, 1, 31],
    ],
    [{ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }, [30, 5, 1, 31]],
    [
      // 15 characters, of which four make a token until the real count is told.
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Gates swing 世界 ' } },
      [30, 5, 4, 34],
    ],
    [{ type: 'content_block_stop', index: 0 }, [30, 5, 4, 34]],
    [{ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 10 } }, [30, 5, 10, 40]],
    [{ type: 'message_delta', delta: {}, usage: { output_tokens: 15 } }, [30, 5, 15, 45]],
    [
      { type: 'message_stop', ...metrics(25, 15, { cacheReadInputTokenCount: 5, cacheWriteInputTokenCount: 0 }) },
      [30, 5, 15, 45],
    ],
  ]),
  invocation('Nova’s invocation', [
    [{ messageStart: { role: 'assistant' } }, undefined],
    [{ contentBlockDelta: { delta: { text: 'A gate.' }, contentBlockIndex: 0 } }, undefined],
    [{ messageStop: { stopReason: 'end_turn' } }, undefined],
    [
      {
        metadata: { usage: { inputTokens: 8, outputTokens: 4, cacheReadInputTokenCount: 2 }, metrics: {}, trace: {} },
        ...metrics(8, 4, { cacheReadInputTokenCount: 2 }),
      },
      [10, 2, 4, 14],
    ],
  ]),
  invocation('Llama’s invocation', [
    [{ generation: ' A', prompt_token_count: 21, generation_token_count: 1, stop_reason: null }, undefined],
    [{ generation: ' gate', prompt_token_count: null, generation_token_count: 2, stop_reason: null }, undefined],
    [
      { generation: '', prompt_token_count: null, generation_token_count: 3, stop_reason: 'stop', ...metrics(21, 3) },
      [21, 0, 3, 24],
    ],
  ]),
  invocation('an invocation that tells no usage', [
    [{ text: 'A gate.', is_finished: false }, undefined],
    [{ is_finished: true, finish_reason: 'COMPLETE' }, undefined],
  ]),
];
