/** Answers in the shapes OpenAI sends, ids shortened. Streams are given event by event, each with its blank line. */

export const CHAT_ANSWER = {
  id: 'chatcmpl-B1',
  object: 'chat.completion',
  created: 1741569952,
  model: 'gpt-4.1-2025-04-14',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'Hello!', refusal: null, annotations: [] },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: {
    prompt_tokens: 2006,
    completion_tokens: 300,
    total_tokens: 2306,
    prompt_tokens_details: { cached_tokens: 1920, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  },
  service_tier: 'default',
  system_fingerprint: 'fp_44709d6fcb',
};

export const RESPONSES_ANSWER = {
  id: 'resp_67cc',
  object: 'response',
  status: 'completed',
  model: 'gpt-4.1-2025-04-14',
  output: [{ type: 'message', id: 'msg_1', role: 'assistant', content: [{ type: 'output_text', text: 'Hi.', annotations: [] }] }],
  usage: {
    input_tokens: 328,
    input_tokens_details: { cached_tokens: 64 },
    output_tokens: 52,
    output_tokens_details: { reasoning_tokens: 32 },
    total_tokens: 380,
  },
};

export const EMBEDDINGS_ANSWER = {
  object: 'list',
  data: [{ object: 'embedding', index: 0, embedding: [0.0023064255, -0.009327292] }],
  model: 'text-embedding-3-small',
  usage: { prompt_tokens: 8, total_tokens: 8 },
};

const CHAT_CHUNK =
  '"id":"chatcmpl-C2","object":"chat.completion.chunk","created":1741569953,"model":"gpt-4o-mini","system_fingerprint":"fp_1"';

/** A chat stream without its last two events; the text needs two, three and four bytes a character. */
export const CHAT_CONTENT_EVENTS = [
  `data: {${CHAT_CHUNK},"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null,"obfuscation":"s9"}\n\n`,
  `data: {${CHAT_CHUNK},"choices":[{"index":0,"delta":{"content":"Grüße"},"finish_reason":null}],"usage":null,"obfuscation":"Kq"}\n\n`,
  `data: {${CHAT_CHUNK},"choices":[{"index":0,"delta":{"content":" 世界 🌍"},"finish_reason":null}],"usage":null,"obfuscation":"a"}\n\n`,
  `data: {${CHAT_CHUNK},"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null,"obfuscation":"zz"}\n\n`,
];
export const CHAT_USAGE_EVENT = `data: {${CHAT_CHUNK},"choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"obfuscation":""}\n\n`;
export const DONE_EVENT = 'data: [DONE]\n\n';
export const CHAT_STREAM = [...CHAT_CONTENT_EVENTS, CHAT_USAGE_EVENT, DONE_EVENT].join('');

export const RESPONSES_STREAM = [
  'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[],"usage":null}}\n\n',
  'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"say \\"usage\\" 🌍"}\n\n',
  'event: response.completed\ndata: {"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","object":"response","status":"completed","output":[],"usage":{"input_tokens":37,"input_tokens_details":{"cached_tokens":0},"output_tokens":11,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":48}}}\n\n',
].join('');

/** Azure's first chunk has no choices either, and no usage: it is content. */
export const AZURE_FILTER_EVENT =
  'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}\n\n';
