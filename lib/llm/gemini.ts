import { contentIn, countOf, largestCount } from './call-content.js';
import { jsonBody } from './json-body.js';
import { isJsonObject, type JsonObject } from './json-object.js';
import type { PreparedCall, ProviderApi, RefusedCall, UsageReader } from './provider-api.js';
import { jsonWithUsage, tokenCount, type Usage } from './usage.js';

/** Gemini's `generateContent`, `streamGenerateContent` and embeddings. */
export const geminiApi: ProviderApi = {
  name: 'gemini',
  prepare: prepareGemini,
  usageOf: usageOfGemini,
  usageReader: () => new GeminiUsageReader(),
  refusalBody: ({ status, code, message, retryAfterMs }) => ({
    error: {
      code: status,
      message,
      status: statusOf(status),
      details: [
        { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: code, domain: 'headgate' },
        ...(retryAfterMs === undefined
          ? []
          : [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${retryAfterMs / 1_000}s` }]),
      ],
    },
  }),
  // Its client reads no other JSON as an error, but for a text.
  refusalHeaders: () => ({ 'Content-Type': 'application/json' }),
};

/** `models/{model}:{method}`, `tunedModels/…`, and `endpoints/…` of Vertex, whose path goes on before them. */
const MODEL_AND_METHOD = /\/(?:models|tunedModels|endpoints)\/([^/:?#]+):([A-Za-z]+)/;

function prepareGemini(body: Uint8Array, path: string): PreparedCall | RefusedCall {
  const [, model = '', method = ''] = MODEL_AND_METHOD.exec(path) ?? [];
  if (model === '') return { ok: false, reason: 'model-missing', message: 'Expected a path of the form models/{model}:{method}' };
  const json = jsonBody(body);
  if (!json.ok) return json;
  const { contents, content, requests, systemInstruction, system_instruction, tools } = json.parsed;
  const settings = json.parsed.generationConfig ?? json.parsed.generation_config;
  const { maxOutputTokens, max_output_tokens, candidateCount, candidate_count }: JsonObject = isJsonObject(settings)
    ? settings
    : {};
  return {
    ok: true,
    model: decodeURIComponent(model),
    body,
    addedUsage: false,
    content: {
      ...contentIn([systemInstruction, system_instruction, contents, content, requests], tools, isAttachment),
      statedOutputTokens: largestCount([maxOutputTokens, max_output_tokens]),
      answers: Math.max(1, countOf(candidateCount ?? candidate_count) ?? 1),
      hasOutput: !/embed/i.test(method),
    },
    toModel: (other) => ({ path: path.replace(`/${model}:`, `/${encodeURIComponent(other)}:`), body }),
  };
}

const isAttachment = (part: JsonObject): boolean =>
  isJsonObject(part.inlineData ?? part.inline_data ?? part.fileData ?? part.file_data);

/**
 * The `usageMetadata` of an answer; of a list of them, as a stream that is no event stream, the last. What tools put into the prompt is input, thoughts
 * are output: beside the candidates, or among them, as some models count, whose total then has no room for them beside. Undefined for what states no
 * usage, or contradicts itself.
 */
export function usageOfGemini(answer: unknown): Usage | undefined {
  const last = Array.isArray(answer) ? answer.findLast((one) => isJsonObject(one) && isJsonObject(one.usageMetadata)) : answer;
  if (!isJsonObject(last) || !isJsonObject(last.usageMetadata)) return undefined;
  const told = last.usageMetadata;
  const count = (name: string) => tokenCount(told[name] ?? 0);
  const [prompt, ofTools, cached] = [
    tokenCount(told.promptTokenCount),
    count('toolUsePromptTokenCount'),
    count('cachedContentTokenCount'),
  ];
  const [answered, thoughts] = [count('candidatesTokenCount'), count('thoughtsTokenCount')];
  if (prompt === undefined || ofTools === undefined || cached === undefined || answered === undefined || thoughts === undefined)
    return undefined;
  const inputTokens = prompt + ofTools;
  const amongCandidates = told.totalTokenCount === inputTokens + answered && thoughts <= answered;
  const outputTokens = amongCandidates ? answered : answered + thoughts;
  const totalTokens = tokenCount(told.totalTokenCount ?? inputTokens + outputTokens);
  if (totalTokens === undefined || cached > inputTokens || totalTokens < inputTokens + outputTokens) return undefined;
  return { inputTokens, cachedInputTokens: cached, outputTokens, totalTokens };
}

/** Every chunk tells all that was used so far. */
class GeminiUsageReader implements UsageReader {
  usage: Usage | undefined;

  read(data: string): boolean {
    this.usage = usageOfGemini(jsonWithUsage(data)) ?? this.usage;
    return false;
  }
}

const STATUSES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
};

const statusOf = (status: number): string => STATUSES[status] ?? (status >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT');
