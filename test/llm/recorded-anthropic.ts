import type Anthropic from '@anthropic-ai/sdk';
import { asTyped, inOneLine, type RecordedAnswer, type RecordedStream } from './recorded.js';

const message = {
  id: 'msg_013Zva2CMHLNnXjN',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5-20250929',
  stop_reason: 'end_turn',
  stop_sequence: null,
} as const;

type Usage = Partial<Anthropic.Usage> & Pick<Anthropic.Usage, 'input_tokens' | 'output_tokens'>;

const plain: Usage = {
  input_tokens: 2095,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
  output_tokens: 503,
  service_tier: 'standard',
};
const cached: Usage = {
  input_tokens: 19,
  cache_creation_input_tokens: 648,
  cache_read_input_tokens: 1800,
  cache_creation: { ephemeral_5m_input_tokens: 456, ephemeral_1h_input_tokens: 192 },
  output_tokens: 503,
  service_tier: 'priority',
};
const thinking: Usage = {
  input_tokens: 472,
  cache_creation_input_tokens: null,
  cache_read_input_tokens: null,
  output_tokens: 1290,
  output_tokens_details: { thinking_tokens: 1204 },
};
const searching: Usage = {
  input_tokens: 105,
  cache_creation_input_tokens: 7345,
  cache_read_input_tokens: 7123,
  output_tokens: 931,
  server_tool_use: { web_search_requests: 2, web_fetch_requests: 0 },
};
/** The old context was summed up on the way, by a sampling of its own, which is billed and not in the counts above it. */
const compacting = {
  input_tokens: 23000,
  output_tokens: 1000,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  iterations: [
    {
      type: 'compaction',
      input_tokens: 170000,
      output_tokens: 3500,
      cache_creation_input_tokens: 2000,
      cache_read_input_tokens: 8000,
      cache_creation: null,
    },
    {
      type: 'message',
      input_tokens: 23000,
      output_tokens: 1000,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      cache_creation: null,
      model: null,
    },
  ],
} satisfies Partial<Anthropic.Beta.Messages.BetaUsage>;

const search = { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'gates "usage"' } };
const found = {
  type: 'web_search_tool_result',
  tool_use_id: 'srvtoolu_1',
  content: [{ type: 'web_search_result', url: 'https://example.com', title: 'Tore', encrypted_content: 'EqgfC', page_age: null }],
};

export const ANTHROPIC_ANSWERS: readonly RecordedAnswer[] = [
  inOneLine('a message', { ...message, content: [{ type: 'text', text: 'Grüße 🌍' }], usage: plain }, [2095, 0, 503, 2598]),
  inOneLine(
    'a message that reads from the cache and writes to it',
    { ...message, content: [{ type: 'text', text: 'Hi.' }], usage: cached },
    [2467, 1800, 503, 2970, 648, 192],
  ),
  inOneLine(
    'a message that thought and uses a tool',
    {
      ...message,
      stop_reason: 'tool_use',
      content: [
        { type: 'thinking', thinking: 'Which gate?', signature: 'EqQBCgIYAhIM' },
        { type: 'redacted_thinking', data: 'EmwKAhgBEgy3' },
        { type: 'tool_use', id: 'toolu_1', name: 'open_gate', input: { gate: 'süd' } },
      ],
      usage: thinking,
    },
    [472, 0, 1290, 1762],
  ),
  inOneLine(
    'a message that searched the web',
    { ...message, content: [search, found, { type: 'text', text: 'So.', citations: [] }], usage: searching },
    [14573, 7123, 931, 15504, 7345],
  ),
  inOneLine(
    'a message whose context was compacted on the way',
    {
      ...message,
      content: [
        { type: 'compaction', content: 'So far …' },
        { type: 'text', text: 'And?' },
      ],
      usage: compacting,
    },
    [203000, 8000, 4500, 207500, 2000],
  ),
  inOneLine(
    'a refused message',
    { ...message, stop_reason: 'refusal', content: [], usage: { input_tokens: 564, output_tokens: 1 } },
    [564, 0, 1, 565],
  ),
];

const start = (usage: object) => ({
  type: 'message_start',
  message: { ...message, content: [], stop_reason: null, usage },
});
const block = (content_block: object, index = 0) => ({ type: 'content_block_start', index, content_block });
const delta = (of: object, index = 0) => ({ type: 'content_block_delta', index, delta: of });
const stop = (index = 0) => ({ type: 'content_block_stop', index });
const end = (
  usage: Partial<Anthropic.MessageDeltaUsage> | typeof compacting,
  stop_reason: Anthropic.StopReason = 'end_turn',
) => ({
  type: 'message_delta',
  delta: { stop_reason, stop_sequence: null },
  usage,
});
const ping = { type: 'ping' };
const done = { type: 'message_stop' };

/** Until its `message_delta` a message has made what came of it, four characters a token, and no less than its start says. */
export const ANTHROPIC_STREAMS: readonly RecordedStream[] = [
  asTyped('a message', [
    [start({ input_tokens: 25, output_tokens: 1 }), [25, 0, 1, 26]],
    [block({ type: 'text', text: '' }), [25, 0, 1, 26]],
    [ping, [25, 0, 1, 26]],
    [delta({ type: 'text_delta', text: 'Hello, wide' }), [25, 0, 3, 28]],
    [delta({ type: 'text_delta', text: ' 世界!' }), [25, 0, 4, 29]],
    [stop(), [25, 0, 4, 29]],
    [end({ output_tokens: 15 }), [25, 0, 15, 40]],
    [done, [25, 0, 15, 40]],
  ]),
  asTyped('a message that thought and uses a tool, after much was cached', [
    [
      start({
        input_tokens: 4,
        cache_creation_input_tokens: 312,
        cache_read_input_tokens: 9000,
        cache_creation: { ephemeral_5m_input_tokens: 312, ephemeral_1h_input_tokens: 0 },
        output_tokens: 2,
        service_tier: 'standard',
      }),
      [9316, 9000, 2, 9318, 312],
    ],
    [block({ type: 'thinking', thinking: '', signature: '' }), [9316, 9000, 2, 9318, 312]],
    [delta({ type: 'thinking_delta', thinking: 'Which gate, then' }), [9316, 9000, 4, 9320, 312]],
    [delta({ type: 'signature_delta', signature: 'EqQBCgIYAhIMAhIMAhIMAhIMAhIM' }), [9316, 9000, 4, 9320, 312]],
    [stop(), [9316, 9000, 4, 9320, 312]],
    [block({ type: 'tool_use', id: 'toolu_1', name: 'open_gate', input: {} }, 1), [9316, 9000, 4, 9320, 312]],
    [delta({ type: 'input_json_delta', partial_json: '' }, 1), [9316, 9000, 4, 9320, 312]],
    [delta({ type: 'input_json_delta', partial_json: '{"gate": "north"' }, 1), [9316, 9000, 8, 9324, 312]],
    [delta({ type: 'input_json_delta', partial_json: '}' }, 1), [9316, 9000, 9, 9325, 312]],
    [stop(1), [9316, 9000, 9, 9325, 312]],
    [
      end(
        {
          input_tokens: 4,
          cache_creation_input_tokens: 312,
          cache_read_input_tokens: 9000,
          output_tokens: 89,
          output_tokens_details: { thinking_tokens: 30 },
        },
        'tool_use',
      ),
      [9316, 9000, 89, 9405, 312],
    ],
    [done, [9316, 9000, 89, 9405, 312]],
  ]),
  asTyped('a message that searched the web, and read what it found as input', [
    [
      start({ input_tokens: 2679, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 3 }),
      [2679, 0, 3, 2682],
    ],
    [block(search), [2679, 0, 3, 2682]],
    [delta({ type: 'input_json_delta', partial_json: '{"query": "gates \\"usage\\""}' }), [2679, 0, 7, 2686]],
    [stop(), [2679, 0, 7, 2686]],
    [block(found, 1), [2679, 0, 7, 2686]],
    [stop(1), [2679, 0, 7, 2686]],
    [delta({ type: 'text_delta', text: 'Gates.' }, 2), [2679, 0, 9, 2688]],
    [
      delta({ type: 'citations_delta', citation: { type: 'web_search_result_location', cited_text: 'Tore' } }, 2),
      [2679, 0, 9, 2688],
    ],
    [
      end({
        input_tokens: 10682,
        cache_creation_input_tokens: null,
        cache_read_input_tokens: null,
        output_tokens: 510,
        server_tool_use: { web_search_requests: 1, web_fetch_requests: 0 },
      }),
      [10682, 0, 510, 11192],
    ],
    [done, [10682, 0, 510, 11192]],
  ]),
  asTyped('a message that says twice how it stands', [
    [start({ input_tokens: 50, output_tokens: 1 }), [50, 0, 1, 51]],
    [end({ output_tokens: 10 }), [50, 0, 10, 60]],
    [end({ output_tokens: 22 }), [50, 0, 22, 72]],
    [done, [50, 0, 22, 72]],
  ]),
  asTyped('a message whose context was compacted on the way', [
    [start({ input_tokens: 23000, output_tokens: 1, iterations: null }), [23000, 0, 1, 23001]],
    [delta({ type: 'text_delta', text: 'And?' }), [23000, 0, 1, 23001]],
    [end(compacting), [203000, 8000, 4500, 207500, 2000]],
    [done, [203000, 8000, 4500, 207500, 2000]],
  ]),
  asTyped('a message that ends in an error', [
    [start({ input_tokens: 12, output_tokens: 1 }), [12, 0, 1, 13]],
    [delta({ type: 'text_delta', text: 'Half of an answer' }), [12, 0, 5, 17]],
    [{ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, [12, 0, 5, 17]],
  ]),
  asTyped('a message that never began', [
    [ping, undefined],
    [{ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, undefined],
  ]),
];
