import {
  charactersOf,
  type Endpoint,
  isList,
  mostOutputOf,
  namedEvent,
  type Produced,
  type SimulatedApi,
} from './simulated-api.js';

const ERRORS: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

/** Anthropic's Messages API. */
export const anthropic = (): SimulatedApi => ({
  endpoints: [messages, countTokens],
  failed: (status, message) => ({ type: 'error', error: { type: ERRORS[status] ?? 'api_error', message } }),
});

const messages: Endpoint = {
  path: /^\/v1\/messages$/,
  asked({ model, messages: said, system, max_tokens, stream }) {
    if (typeof model !== 'string' || !isList(said) || max_tokens === undefined)
      return 'Expected a JSON body with model, messages and max_tokens';
    const mostOutput = mostOutputOf({ max_tokens });
    if (typeof mostOutput === 'string') return mostOutput;
    return {
      model,
      characters: charactersOf([system, ...said.map(({ content }) => content)]),
      mostOutput,
      streams: stream === true,
    };
  },
  answer: (produced) => message(produced, [{ type: 'text', text: produced.words.join(' ') }], produced.outputTokens),
  events(produced) {
    const start = { ...message(produced, [], 0), stop_reason: null };
    return [
      { type: 'message_start', message: start },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'ping' },
      ...produced.words.map((word, index) => ({
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'text_delta', text: index === 0 ? word : ` ${word}` },
      })),
      { type: 'content_block_stop', index: 0 },
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: produced.outputTokens },
      },
      { type: 'message_stop' },
    ].map((event) => namedEvent(event, event.type === 'content_block_delta'));
  },
};

/** It counts a prompt, and produces nothing. */
const countTokens: Endpoint = {
  path: /^\/v1\/messages\/count_tokens$/,
  asked({ model, messages: said, system }) {
    if (typeof model !== 'string' || !isList(said)) return 'Expected a JSON body with model and messages';
    return { model, characters: charactersOf([system, ...said.map(({ content }) => content)]), mostOutput: 0, streams: false };
  },
  answer: ({ promptTokens }) => ({ input_tokens: promptTokens }),
  events: () => [],
};

const message = ({ serial, model, promptTokens }: Produced, content: readonly unknown[], outputTokens: number) => ({
  id: `msg_local_${serial}`,
  type: 'message',
  role: 'assistant',
  model,
  content,
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: {
    input_tokens: promptTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: outputTokens,
  },
});
