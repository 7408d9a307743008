import { crc32 } from 'node:zlib';
import { anthropic } from './anthropic.js';
import {
  charactersOf,
  type Endpoint,
  isList,
  type JsonObject,
  mostOutputOf,
  type Produced,
  type SimulatedApi,
  type StreamEvent,
} from './simulated-api.js';

const ERRORS: Readonly<Record<number, string>> = {
  400: 'ValidationException',
  401: 'UnrecognizedClientException',
  404: 'ResourceNotFoundException',
  429: 'ThrottlingException',
  503: 'ServiceUnavailableException',
};

/** Amazon Bedrock's Converse and CountTokens, and InvokeModel of Anthropic's models. Signatures are not checked. */
export const bedrock = (): SimulatedApi => ({
  endpoints: [converse, converseStream, countTokens, ...invocations()],
  failed: (status, message) => ({ __type: ERRORS[status] ?? 'InternalServerException', message }),
});

const EVENT_STREAM = 'application/vnd.amazon.eventstream';

const askedOfConverse =
  (streams: boolean): Endpoint['asked'] =>
  ({ messages, system, inferenceConfig }, path) => {
    if (!isList(messages)) return 'Expected a JSON body with messages';
    const mostOutput = mostOutputOf({ maxTokens: (inferenceConfig as JsonObject | undefined)?.maxTokens });
    if (typeof mostOutput === 'string') return mostOutput;
    return {
      model: modelIn(path),
      characters: charactersOf([system, ...messages.map(({ content }) => content)]),
      mostOutput,
      streams,
    };
  };

const converse: Endpoint = {
  path: /^\/model\/[^/]+\/converse$/,
  asked: askedOfConverse(false),
  answer: (produced) => ({
    output: { message: { role: 'assistant', content: [{ text: produced.words.join(' ') }] } },
    stopReason: 'end_turn',
    ...metadata(produced),
  }),
  events: () => [],
};

const converseStream: Endpoint = {
  path: /^\/model\/[^/]+\/converse-stream$/,
  contentType: EVENT_STREAM,
  asked: askedOfConverse(true),
  answer: () => ({}),
  events: (produced) => [
    message('messageStart', { role: 'assistant' }),
    ...produced.words.map((word, index) =>
      message('contentBlockDelta', { contentBlockIndex: 0, delta: { text: index === 0 ? word : ` ${word}` } }, true),
    ),
    message('contentBlockStop', { contentBlockIndex: 0 }),
    message('messageStop', { stopReason: 'end_turn' }),
    message('metadata', metadata(produced)),
  ],
};

/** It counts the prompt of a Converse, and produces nothing. */
const countTokens: Endpoint = {
  path: /^\/model\/[^/]+\/count-tokens$/,
  asked({ input }, path) {
    const { converse: counted } = (input ?? {}) as { readonly converse?: JsonObject };
    const asked = askedOfConverse(false)(counted ?? {}, path);
    return typeof asked === 'string' ? asked : { ...asked, mostOutput: 0 };
  },
  answer: ({ promptTokens }) => ({ inputTokens: promptTokens }),
  events: () => [],
};

const metadata = ({ promptTokens, outputTokens }: Produced) => ({
  usage: { inputTokens: promptTokens, outputTokens, totalTokens: promptTokens + outputTokens },
  metrics: { latencyMs: 1 },
});

/** An Anthropic model's own messages, without a model and with a version in their body. */
function invocations(): readonly Endpoint[] {
  const [messages] = anthropic().endpoints;
  if (messages === undefined) return [];
  const asked =
    (streams: boolean): Endpoint['asked'] =>
    (body, path) => {
      if (body.anthropic_version !== 'bedrock-2023-05-31') return 'Expected anthropic_version to be bedrock-2023-05-31';
      return messages.asked({ ...body, model: modelIn(path), stream: streams }, path);
    };
  return [
    { ...messages, path: /^\/model\/[^/]+\/invoke$/, asked: asked(false) },
    {
      ...messages,
      path: /^\/model\/[^/]+\/invoke-with-response-stream$/,
      contentType: EVENT_STREAM,
      asked: asked(true),
      events: (produced, body) =>
        messages.events(produced, body).map(({ bytes, isWord }) => {
          const event = JSON.parse(/^data: (.*)$/m.exec(String(bytes))?.[1] ?? '{}') as JsonObject;
          const { promptTokens, outputTokens } = produced;
          const metrics = {
            inputTokenCount: promptTokens,
            outputTokenCount: outputTokens,
            invocationLatency: 1,
            firstByteLatency: 1,
          };
          const whole = event.type === 'message_stop' ? { ...event, 'amazon-bedrock-invocationMetrics': metrics } : event;
          return message('chunk', { bytes: Buffer.from(JSON.stringify(whole)).toString('base64') }, isWord);
        }),
    },
  ];
}

const modelIn = (path: string): string => decodeURIComponent(/^\/model\/([^/]+)\//.exec(path)?.[1] ?? '');

/** One message of an AWS event stream, as the SDK reads it: https://smithy.io/2.0/aws/amazon-eventstream.html */
export function message(type: string, payload: object, isWord = false): StreamEvent {
  const headers = Buffer.concat(
    Object.entries({ ':event-type': type, ':content-type': 'application/json', ':message-type': 'event' }).map(
      ([name, value]) => {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(value.length);
        return Buffer.concat([Buffer.of(name.length), Buffer.from(name), Buffer.of(STRING), length, Buffer.from(value)]);
      },
    ),
  );
  const body = Buffer.from(JSON.stringify(payload));
  const prelude = Buffer.alloc(8);
  prelude.writeUInt32BE(PRELUDE_BYTES + headers.length + body.length + CRC_BYTES, 0);
  prelude.writeUInt32BE(headers.length, 4);
  const checked = Buffer.concat([prelude, crcOf(prelude), headers, body]);
  return { bytes: Buffer.concat([checked, crcOf(checked)]), isWord };
}

const STRING = 7;
const PRELUDE_BYTES = 12;
const CRC_BYTES = 4;

function crcOf(bytes: Buffer): Buffer {
  const crc = Buffer.alloc(CRC_BYTES);
  crc.writeUInt32BE(crc32(bytes));
  return crc;
}
