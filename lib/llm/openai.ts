import { type CallContent, contentIn, countOf, largestCount } from './call-content.js';
import { jsonBody, modelOf } from './json-body.js';
import { withJsonMember } from './json-member.js';
import { isJsonObject, type JsonObject } from './json-object.js';
import { endpointOfPath, type OpenAiEndpoint } from './openai-endpoint.js';
import { openAiError } from './openai-error.js';
import type { PreparedCall, ProviderApi, RefusedCall, UsageReader } from './provider-api.js';
import { jsonWithUsage, type Usage, usageOfOpenAi } from './usage.js';

/** Chat completions, the Responses API and embeddings, of OpenAI and of all that speak as it does. */
export const openAiApi: ProviderApi = {
  name: 'openai',
  prepare: prepareOpenAi,
  usageOf: usageOfOpenAi,
  usageReader: () => new OpenAiUsageReader(),
  refusalBody: ({ code, message, field }) => openAiError(code, message, field),
};

const ATTACHMENT_TYPES: ReadonlySet<unknown> = new Set([
  'image_url',
  'input_image',
  'computer_screenshot',
  'image_generation_call',
  'input_audio',
  'file',
  'input_file',
]);

/**
 * What to forward to an OpenAI-compatible provider for a call to `path`, or why it cannot be forwarded. The model is the body's; where that names none,
 * of Azure's path (`deployments/{model}/…`), or of a response the stored prompt (`prompt: { id }`), which has a model of its own, else `unnamed`.
 * A chat completion's stream states its usage only when asked: unless `stream_options.include_usage` is true it is set, the other
 * stream options kept; `stream_options` that is no object is replaced. All other bytes stay. Other endpoints, and answers in one piece,
 * always state their usage: their body is passed on untouched.
 */
export function prepareOpenAi(body: Uint8Array, path: string, unnamed?: string): PreparedCall | RefusedCall {
  const json = jsonBody(body);
  if (!json.ok) return json;
  const { text, parsed } = json;
  const deployment = /\/deployments\/([^/?#]+)\//.exec(path)?.[1];
  const endpoint = endpointOfPath(path);
  const named = modelOf(parsed, deployment ?? (endpoint === 'responses' ? storedPromptOf(parsed) : undefined) ?? unnamed);
  if (!named.ok) return named;
  const addedUsage = parsed.stream === true && endpoint === 'chat' && !asksForUsage(parsed.stream_options);
  const asked = addedUsage ? withUsageAskedFor(text) : text;
  return {
    ok: true,
    model: named.model,
    body: addedUsage ? new TextEncoder().encode(asked) : body,
    addedUsage,
    content: contentOfOpenAi(parsed, endpoint),
    toModel: (model) => ({
      path:
        deployment === undefined
          ? path
          : path.replace(`/deployments/${deployment}/`, `/deployments/${encodeURIComponent(model)}/`),
      body: new TextEncoder().encode(
        parsed.model === undefined && deployment !== undefined
          ? asked
          : withJsonMember(asked, 'model', () => JSON.stringify(model)),
      ),
    }),
  };
}

/** The text of messages, input, instructions and prompt, and the largest of the three names that a maximum of output goes by. */
export function contentOfOpenAi(body: JsonObject, endpoint: OpenAiEndpoint | undefined): CallContent {
  const { messages, input, instructions, prompt, tools, functions, n } = body;
  const { max_tokens, max_completion_tokens, max_output_tokens } = body;
  return {
    ...contentIn([messages, input, instructions, prompt], tools ?? functions, ({ type }) => ATTACHMENT_TYPES.has(type)),
    statedOutputTokens: largestCount([max_tokens, max_completion_tokens, max_output_tokens]),
    answers: Math.max(1, countOf(n) ?? 1),
    hasOutput: endpoint !== 'embeddings',
  };
}

const storedPromptOf = ({ prompt }: JsonObject): string | undefined =>
  isJsonObject(prompt) && typeof prompt.id === 'string' && prompt.id !== '' ? prompt.id : undefined;

/** Chat completions tell it once, in their last chunk; the Responses API in the event that ends it. */
class OpenAiUsageReader implements UsageReader {
  usage: Usage | undefined;

  read(data: string): boolean {
    const chunk = jsonWithUsage(data);
    this.usage = usageOfOpenAi(chunk) ?? this.usage;
    return isJsonObject(chunk) && isJsonObject(chunk.usage) && Array.isArray(chunk.choices) && chunk.choices.length === 0;
  }
}

const asksForUsage = (streamOptions: unknown): boolean => isJsonObject(streamOptions) && streamOptions.include_usage === true;

const withUsageAskedFor = (json: string): string =>
  withJsonMember(json, 'stream_options', (current) =>
    withJsonMember(current?.startsWith('{') ? current : '{}', 'include_usage', () => 'true'),
  );
