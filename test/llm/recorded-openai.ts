import type OpenAI from 'openai';
import { asData, asTyped, inLines, type RecordedAnswer, type RecordedStream } from './recorded.js';

type Completion = OpenAI.Chat.ChatCompletion;
type Chunk = OpenAI.Chat.ChatCompletionChunk;

const completion = { id: 'chatcmpl-D9', object: 'chat.completion', created: 1772000001 } as const;

const TOOLS: Completion = {
  ...completion,
  model: 'gpt-5-2025-08-07',
  choices: [
    {
      index: 0,
      message: {
        role: 'assistant',
        content: null,
        refusal: null,
        annotations: [],
        tool_calls: [
          { id: 'call_1', type: 'function', function: { name: 'open_gate', arguments: '{"gate":"north \\"usage\\""}' } },
          { id: 'call_2', type: 'function', function: { name: 'open_gate', arguments: '{"gate":"süd"}' } },
        ],
      },
      logprobs: null,
      finish_reason: 'tool_calls',
    },
  ],
  usage: {
    prompt_tokens: 1182,
    completion_tokens: 411,
    total_tokens: 1593,
    prompt_tokens_details: { cached_tokens: 1024, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 320,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  },
  service_tier: 'default',
};

const REFUSALS: Completion = {
  ...completion,
  model: 'gpt-4o-2024-08-06',
  choices: [0, 1, 2].map((index) => ({
    index,
    message: { role: 'assistant', content: null, refusal: 'I cannot open that gate.' },
    logprobs: null,
    finish_reason: 'stop',
  })),
  usage: { prompt_tokens: 21, completion_tokens: 39, total_tokens: 60 },
  system_fingerprint: 'fp_50cad350e4',
};

const SPOKEN: Completion = {
  ...completion,
  model: 'gpt-4o-audio-preview-2025-06-03',
  choices: [
    {
      index: 0,
      message: {
        role: 'assistant',
        content: null,
        refusal: null,
        audio: { id: 'audio_1', expires_at: 1772003601, data: 'UklGRiQA//8=', transcript: 'Guten Morgen! 🌍' },
      },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: {
    prompt_tokens: 1117,
    completion_tokens: 212,
    total_tokens: 1329,
    prompt_tokens_details: { audio_tokens: 1083, cached_tokens: 0 },
    completion_tokens_details: { audio_tokens: 170, reasoning_tokens: 0 },
  },
};

const PREDICTED: Completion = {
  ...completion,
  model: 'gpt-4.1-2025-04-14',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'const gate = 1;', refusal: null },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: {
    prompt_tokens: 412,
    completion_tokens: 398,
    total_tokens: 810,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { accepted_prediction_tokens: 251, rejected_prediction_tokens: 94, reasoning_tokens: 0 },
  },
};

const EMBEDDED: OpenAI.CreateEmbeddingResponse = {
  object: 'list',
  data: [
    { object: 'embedding', index: 0, embedding: [-0.006929283495992422, 0.00005336422, 1e-9] },
    { object: 'embedding', index: 1, embedding: [0.0, -0.024047505110502243, 0.5] },
  ],
  model: 'text-embedding-3-large',
  usage: { prompt_tokens: 17, total_tokens: 17 },
};

/** What every answer of the Responses API has, however it ended. */
const response = {
  id: 'resp_68af',
  object: 'response',
  created_at: 1772000002,
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  model: 'o4-mini-2025-04-16',
  parallel_tool_calls: true,
  temperature: 1,
  tool_choice: 'auto',
  tools: [],
  top_p: 1,
  output: [] as OpenAI.Responses.ResponseOutputItem[],
} as const;

const thought = { id: 'rs_1', type: 'reasoning', summary: [{ type: 'summary_text', text: 'Which gate?' }] } as const;
const called = {
  id: 'fc_1',
  type: 'function_call',
  status: 'completed',
  call_id: 'call_1',
  name: 'open_gate',
  arguments: '{"gate":"north"}',
} as const;
const ended = {
  status: 'completed',
  usage: {
    input_tokens: 2305,
    input_tokens_details: { cached_tokens: 2048, cache_write_tokens: 0 },
    output_tokens: 717,
    output_tokens_details: { reasoning_tokens: 640 },
    total_tokens: 3022,
  },
} as const;
/** It ran out of what it was allowed while it thought: nothing is to be seen of what was billed. */
const incomplete = {
  status: 'incomplete',
  incomplete_details: { reason: 'max_output_tokens' },
  usage: {
    input_tokens: 75,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: 256,
    output_tokens_details: { reasoning_tokens: 256 },
    total_tokens: 331,
  },
} as const;
const failed = { status: 'failed', error: { code: 'server_error', message: 'The model had an error.' }, usage: null } as const;

export const CHAT_ANSWERS: readonly RecordedAnswer[] = [
  inLines('a chat completion that thought and calls two tools', TOOLS, [1182, 1024, 411, 1593]),
  inLines('a chat completion of three refusals', REFUSALS, [21, 0, 39, 60]),
  inLines('a chat completion that was spoken', SPOKEN, [1117, 0, 212, 1329]),
  inLines('a chat completion of which half was predicted', PREDICTED, [412, 0, 398, 810]),
];

export const EMBEDDINGS_ANSWERS: readonly RecordedAnswer[] = [inLines('embeddings of two texts', EMBEDDED, [17, 0, 0, 17])];

export const RESPONSES_ANSWERS: readonly RecordedAnswer[] = [
  inLines(
    'a response that thought and calls a tool',
    { ...response, ...ended, output: [thought, called] },
    [2305, 2048, 717, 3022],
  ),
  inLines('a response that ran out of tokens', { ...response, ...incomplete, output: [thought] }, [75, 0, 256, 331]),
  inLines('a response that failed', { ...response, ...failed }, undefined),
];

const chunk = {
  id: 'chatcmpl-E1',
  object: 'chat.completion.chunk',
  created: 1772000003,
  model: 'o4-mini-2025-04-16',
  service_tier: 'default',
  system_fingerprint: null,
};
type Delta = Chunk['choices'][number]['delta'];
type FinishReason = Chunk['choices'][number]['finish_reason'];

const delta = (of: Delta, { index = 0, finish_reason = null as FinishReason } = {}) => ({
  ...chunk,
  choices: [{ index, delta: of, finish_reason }],
  usage: null,
  obfuscation: 'x7Qb',
});

const TOOL_USAGE: OpenAI.CompletionUsage = {
  prompt_tokens: 118,
  completion_tokens: 154,
  total_tokens: 272,
  prompt_tokens_details: { cached_tokens: 64, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 128,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
};

/** Until its last chunk a chat completion tells nothing: the estimate stays for one that breaks off. */
export const CHAT_STREAMS: readonly RecordedStream[] = [
  asData('a chat completion that thought and calls a tool', [
    [
      delta({
        role: 'assistant',
        content: null,
        tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'open_gate', arguments: '' } }],
        refusal: null,
      }),
      undefined,
    ],
    [delta({ tool_calls: [{ index: 0, function: { arguments: '{"usage":{"prompt_tokens":1,' } }] }), undefined],
    [delta({ tool_calls: [{ index: 0, function: { arguments: '"gate":"süd 🌍"}}' } }] }), undefined],
    [delta({}, { finish_reason: 'tool_calls' }), undefined],
    [{ ...chunk, choices: [], usage: TOOL_USAGE, obfuscation: 'k' }, [118, 64, 154, 272]],
    ['[DONE]', [118, 64, 154, 272]],
  ]),
  asData('a chat completion of two choices, one of them a refusal', [
    [delta({ role: 'assistant', content: '', refusal: null }), undefined],
    [delta({ role: 'assistant', content: '', refusal: null }, { index: 1 }), undefined],
    [delta({ content: 'Gern.' }), undefined],
    [delta({ refusal: 'I cannot.' }, { index: 1 }), undefined],
    [delta({}, { finish_reason: 'stop' }), undefined],
    [delta({}, { index: 1, finish_reason: 'stop' }), undefined],
    [{ ...chunk, choices: [], usage: { prompt_tokens: 9, completion_tokens: 7, total_tokens: 16 } }, [9, 0, 7, 16]],
    ['[DONE]', [9, 0, 7, 16]],
  ]),
  asData('a chat completion whose usage nobody asked for', [
    [{ ...chunk, choices: [{ index: 0, delta: { role: 'assistant', content: 'Hi' }, finish_reason: null }] }, undefined],
    [{ ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'length' }] }, undefined],
    ['[DONE]', undefined],
  ]),
  asData('a chat completion that ends in an error', [
    [delta({ role: 'assistant', content: 'Hel', refusal: null }), undefined],
    [{ error: { message: 'The server had an error', type: 'server_error', param: null, code: null } }, undefined],
  ]),
  asData('a chat completion that tells its usage with its last word, as others than OpenAI do', [
    [{ ...chunk, choices: [{ index: 0, delta: { role: 'assistant', content: 'Hi' }, finish_reason: null }] }, undefined],
    [
      {
        ...chunk,
        choices: [{ index: 0, delta: { content: '' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 14, completion_tokens: 30, total_tokens: 144 },
      },
      [14, 0, 30, 144],
    ],
    ['[DONE]', [14, 0, 30, 144]],
  ]),
];

const begun = { ...response, status: 'in_progress', usage: null };
const created = { type: 'response.created', sequence_number: 0, response: begun };
const inProgress = { type: 'response.in_progress', sequence_number: 1, response: begun };
const word = {
  type: 'response.output_text.delta',
  sequence_number: 5,
  item_id: 'msg_1',
  output_index: 1,
  delta: '世界 "usage":{}',
};

export const RESPONSES_STREAMS: readonly RecordedStream[] = [
  asTyped('a response that thought and calls a tool', [
    [created, undefined],
    [inProgress, undefined],
    [{ type: 'response.output_item.added', sequence_number: 2, output_index: 0, item: thought }, undefined],
    [{ type: 'response.function_call_arguments.delta', sequence_number: 3, item_id: 'fc_1', delta: '{"ga' }, undefined],
    [{ type: 'response.output_item.done', sequence_number: 4, output_index: 1, item: called }, undefined],
    [
      { type: 'response.completed', sequence_number: 5, response: { ...response, ...ended, output: [thought, called] } },
      [2305, 2048, 717, 3022],
    ],
  ]),
  asTyped('a response that ran out of tokens', [
    [created, undefined],
    [word, undefined],
    [{ type: 'response.incomplete', sequence_number: 6, response: { ...response, ...incomplete } }, [75, 0, 256, 331]],
  ]),
  asTyped('a response that failed', [
    [created, undefined],
    [word, undefined],
    [{ type: 'response.failed', sequence_number: 6, response: { ...response, ...failed } }, undefined],
  ]),
  asTyped('a response that ends in an error', [
    [created, undefined],
    [word, undefined],
    [{ type: 'error', sequence_number: 6, code: 'server_error', message: 'Overloaded', param: null }, undefined],
  ]),
];
