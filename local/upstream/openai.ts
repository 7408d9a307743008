import {
  type Asked,
  charactersOf,
  type Endpoint,
  isList,
  type JsonObject,
  mostOutputOf,
  namedEvent,
  type Produced,
  type SimulatedApi,
  type StreamEvent,
} from './simulated-api.js';

const CREATED = 1_800_000_000;

/** Chat completions, the Responses API and embeddings in OpenAI's shapes. */
export const openAi = (): SimulatedApi => ({
  endpoints: [chat, responses, embeddings],
  failed: (status, message) => ({
    error: {
      message,
      type: status === 429 ? 'requests' : status >= 500 ? 'server_error' : 'invalid_request_error',
      param: null,
      code: status === 429 ? 'rate_limit_exceeded' : null,
    },
  }),
});

const chat: Endpoint = {
  path: /^\/v1\/chat\/completions$/,
  asked({ model, messages, max_tokens, max_completion_tokens, stream }) {
    if (typeof model !== 'string' || !Array.isArray(messages) || messages.length === 0)
      return 'Expected a JSON body with model and messages';
    if (!isList(messages) || messages.some(({ role }) => typeof role !== 'string'))
      return 'Expected every message to be an object with a role';
    return asked(model, charactersOf(messages.map(({ content }) => content)), { max_tokens, max_completion_tokens }, stream);
  },
  answer: (produced) => ({
    id: `chatcmpl-local-${produced.serial}`,
    object: 'chat.completion',
    created: CREATED,
    model: produced.model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: produced.words.join(' '), refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: chatUsage(produced),
  }),
  events(produced, { stream_options: options }) {
    const { include_usage, continuous_usage_stats } = (options ?? {}) as JsonObject;
    const withUsage = include_usage === true;
    // As vLLM does: every chunk tells what was used so far.
    const soFar = (outputTokens: number) =>
      withUsage && continuous_usage_stats === true ? chatUsage({ ...produced, outputTokens }) : null;
    const chunk = (choices: unknown[], usage: unknown, isWord = false): StreamEvent => ({
      bytes: `data: ${JSON.stringify({
        id: `chatcmpl-local-${produced.serial}`,
        object: 'chat.completion.chunk',
        created: CREATED,
        model: produced.model,
        choices,
        ...(withUsage && { usage }),
      })}\n\n`,
      isWord,
    });
    const choice = (delta: unknown, finish: string | null) => [{ index: 0, delta, logprobs: null, finish_reason: finish }];
    return [
      chunk(choice({ role: 'assistant', content: '' }, null), soFar(0)),
      ...spaced(produced).map((word, index) => chunk(choice({ content: word }, null), soFar(index + 1), true)),
      chunk(choice({}, 'stop'), soFar(produced.outputTokens)),
      ...(withUsage ? [chunk([], chatUsage(produced))] : []),
      { bytes: 'data: [DONE]\n\n', isWord: false },
    ];
  },
};

const responses: Endpoint = {
  path: /^\/v1\/responses$/,
  asked({ model, input, instructions, max_output_tokens, stream }) {
    if (typeof model !== 'string' || (typeof input !== 'string' && !isList(input)))
      return 'Expected a JSON body with model and input';
    return asked(model, charactersOf([input, instructions]), { max_output_tokens }, stream);
  },
  answer: (produced) => response(produced, 'completed'),
  events(produced) {
    const part = { item_id: `msg-local-${produced.serial}`, output_index: 0, content_index: 0 };
    const text = produced.words.join(' ');
    const [item] = response(produced, 'completed').output;
    const events = [
      { type: 'response.created', response: { ...response(produced, 'in_progress'), output: [], usage: null } },
      { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
      { type: 'response.content_part.added', ...part, part: { type: 'output_text', text: '', annotations: [] } },
      ...spaced(produced).map((delta) => ({ type: 'response.output_text.delta', ...part, delta })),
      { type: 'response.output_text.done', ...part, text },
      { type: 'response.content_part.done', ...part, part: { type: 'output_text', text, annotations: [] } },
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response: response(produced, 'completed') },
    ];
    return events.map((event, sequence_number) =>
      namedEvent(Object.assign(event, { sequence_number }), event.type === 'response.output_text.delta'),
    );
  },
};

const VECTOR = Float32Array.of(0.25, -0.5, 0.125);

/** An input is one text, one text as tokens, or a list of either. */
const textsIn = (input: unknown): readonly unknown[] => (Array.isArray(input) && typeof input[0] !== 'number' ? input : [input]);

const embeddings: Endpoint = {
  path: /^\/v1\/embeddings$/,
  asked({ model, input }) {
    if (typeof model !== 'string' || input === undefined) return 'Expected a JSON body with model and input';
    return { model, characters: charactersOf([input]), mostOutput: 0, streams: false };
  },
  answer: ({ model, promptTokens }, { input, encoding_format }) => ({
    object: 'list',
    data: textsIn(input).map((_, index) => ({
      object: 'embedding',
      index,
      embedding: encoding_format === 'base64' ? Buffer.from(VECTOR.buffer).toString('base64') : [...VECTOR],
    })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  }),
  events: () => [],
};

function asked(model: string, characters: number, limits: Readonly<Record<string, unknown>>, stream: unknown): Asked | string {
  const mostOutput = mostOutputOf(limits);
  return typeof mostOutput === 'string' ? mostOutput : { model, characters, mostOutput, streams: stream === true };
}

const spaced = ({ words }: Produced): readonly string[] => words.map((word, index) => (index === 0 ? word : ` ${word}`));

const chatUsage = ({ promptTokens, outputTokens }: Pick<Produced, 'promptTokens' | 'outputTokens'>) => ({
  prompt_tokens: promptTokens,
  completion_tokens: outputTokens,
  total_tokens: promptTokens + outputTokens,
});

const response = ({ serial, model, words, promptTokens, outputTokens }: Produced, status: string) => ({
  id: `resp-local-${serial}`,
  object: 'response',
  created_at: CREATED,
  status,
  model,
  output: [
    {
      id: `msg-local-${serial}`,
      type: 'message',
      role: 'assistant',
      status,
      content: [{ type: 'output_text', text: words.join(' '), annotations: [] }],
    },
  ],
  usage: {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + outputTokens,
  },
});
