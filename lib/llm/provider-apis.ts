import { anthropicApi } from './anthropic.js';
import { BEDROCK_PATH, bedrockApi } from './bedrock.js';
import { geminiApi } from './gemini.js';
import { openAiApi } from './openai.js';
import { endpointOfPath } from './openai-endpoint.js';
import type { ProviderApi } from './provider-api.js';

/**
 * The API that a request speaks, also where it costs no tokens, such as a list of models: by its path, else by the headers that only the one provider's
 * clients send, else OpenAI's, which most speak. `hasHeader` is asked for names in lower case.
 */
export function apiSpokenIn(path: string, hasHeader: (name: string) => boolean): ProviderApi {
  const called = apiOfPath(path);
  if (called !== undefined) return called;
  if (hasHeader('anthropic-version')) return anthropicApi;
  if (hasHeader('x-goog-api-key')) return geminiApi;
  return COUNT_OF_BEDROCK.test(path) ? bedrockApi : openAiApi;
}

const COUNT_OF_BEDROCK = /(?:^|\/)model\/.+\/count-tokens\/*$/;

/** A tuned model has a name of its own, or on Vertex an endpoint, which may predict what costs no tokens. */
const GEMINI_PATH =
  /\/(models|tunedModels)\/[^/:]+:(stream)?(generateContent|embedContent|batchEmbedContents|generateAnswer|predict)$|\/endpoints\/[^/:]+:(stream)?generateContent$/i;

/**
 * The API that a path calls, when the call costs tokens: `…/chat/completions`, `…/responses`, `…/embeddings`, `…/messages`,
 * `…/models/{model}:generateContent` and its like, tuned models too; Bedrock's `…/model/{modelId}/converse`, `converse-stream`, `invoke`, `invoke-with-response-stream`. Undefined for any other, such as a list of models or a count of tokens.
 */
export function apiOfPath(path: string): ProviderApi | undefined {
  if (endpointOfPath(path) !== undefined) return openAiApi;
  const [pathname = ''] = path.split(/[?#]/, 1);
  if (/\/messages\/*$/i.test(pathname)) return anthropicApi;
  if (GEMINI_PATH.test(pathname)) return geminiApi;
  if (BEDROCK_PATH.test(pathname)) return bedrockApi;
  return undefined;
}
