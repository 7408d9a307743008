import { anthropicApi, usageOfAnthropic } from './anthropic.js';
import { type CallContent, contentIn, largestCount } from './call-content.js';
import { jsonBody } from './json-body.js';
import { isJsonObject, type JsonObject } from './json-object.js';
import type { PreparedCall, ProviderApi, RefusedCall, UsageReader } from './provider-api.js';
import { cacheWrites, jsonOf, tokenCount, type Usage, usageOfOpenAi } from './usage.js';

/** Amazon Bedrock's `Converse` and `InvokeModel`, and their streams. */
export const bedrockApi: ProviderApi = {
  name: 'bedrock',
  prepare: prepareBedrock,
  usageOf: (answer, headers) => usageOfInvocation(answer, headers),
  usageReader: () => new BedrockUsageReader(),
  refusalBody: ({ message }) => ({ message }),
  refusalHeaders: ({ status }) => ({ 'x-amzn-errortype': exceptionOf(status) }),
};

/** `/model/{modelId}/{operation}`; an ARN in place of the id has slashes of its own. */
export const BEDROCK_PATH = /(?:^|\/)model\/(.+)\/(converse|converse-stream|invoke|invoke-with-response-stream)\/*$/;

function prepareBedrock(body: Uint8Array, path: string): PreparedCall | RefusedCall {
  const [, modelId = '', operation = ''] = BEDROCK_PATH.exec(path) ?? [];
  if (modelId === '')
    return { ok: false, reason: 'model-missing', message: 'Expected a path of the form model/{modelId}/converse' };
  const decoded = decodedId(modelId);
  if (decoded === undefined)
    return { ok: false, reason: 'model-invalid', message: 'Expected the model id in the path to be percent-encoded UTF-8' };
  const json = jsonBody(body);
  if (!json.ok) return json;
  const model = bedrockModel(decoded);
  return {
    ok: true,
    model,
    body,
    addedUsage: false,
    content: operation.startsWith('converse') ? contentOfConverse(json.parsed) : contentOfInvocation(json.parsed, model),
    toModel: (other) => ({ path: path.replace(`/model/${modelId}/`, `/model/${encodeURIComponent(other)}/`), body }),
  };
}

function decodedId(modelId: string): string | undefined {
  try {
    return decodeURIComponent(modelId);
  } catch {
    return undefined;
  }
}

const EXCEPTIONS: Readonly<Record<number, string>> = {
  400: 'ValidationException',
  401: 'AccessDeniedException',
  403: 'AccessDeniedException',
  404: 'ResourceNotFoundException',
  413: 'ValidationException',
  429: 'ThrottlingException',
  503: 'ServiceUnavailableException',
  504: 'ModelTimeoutException',
};

const exceptionOf = (status: number): string => EXCEPTIONS[status] ?? 'InternalServerException';

/**
 * The name of a model by its id as Bedrock is given it: the id, or of the ARN of a model or of an inference profile its last part, so that
 * `arn:aws:bedrock:eu-west-1:…:inference-profile/eu.anthropic.claude-sonnet-4-6` and `eu.anthropic.claude-sonnet-4-6` share their limits. What says
 * where the model runs (`eu.`, `global.`) stays: Bedrock counts them apart.
 */
export const bedrockModel = (modelId: string): string => (modelId.startsWith('arn:') ? modelId.replace(/^.*\//, '') : modelId);

/** What a `Converse` or `ConverseStream` sends and asks for: its body, or the input of the AWS SDK's command. */
export function contentOfConverse({ system, messages, toolConfig, inferenceConfig }: JsonObject): CallContent {
  const tools = isJsonObject(toolConfig) ? toolConfig.tools : undefined;
  return {
    ...contentIn([system, messages], tools, isAttachment),
    statedOutputTokens: isJsonObject(inferenceConfig) ? largestCount([inferenceConfig.maxTokens]) : undefined,
    answers: 1,
    hasOutput: true,
  };
}

/** What an `InvokeModel` sends and asks for: its body is the model's own, of which the members are known that carry a prompt or a maximum of output. */
export function contentOfInvocation(body: JsonObject, model: string): CallContent {
  const { system, messages, prompt, inputText, texts, instructions, tools, inputImage, images } = body;
  const settings = [body, body.textGenerationConfig, body.inferenceConfig].filter(isJsonObject);
  const content = contentIn(
    [system, messages, prompt, inputText, texts, instructions],
    tools,
    (part) => isAttachment(part) || ATTACHMENT_TYPES.has(part.type),
  );
  const ofImages = contentIn([inputImage, images].flat().map(asAttachment), undefined, isAttachment);
  return {
    ...content,
    knownTokens: content.knownTokens + ofImages.knownTokens,
    statedOutputTokens: largestCount(settings.flatMap((each) => MAXIMA.map((name) => each[name]))),
    answers: 1,
    hasOutput: !/embed/i.test(model),
  };
}

/** The names that a maximum of output goes by: Anthropic, Mistral and OpenAI; Claude 2; Llama; AI21; Titan; Nova. */
const MAXIMA = [
  'max_tokens',
  'max_completion_tokens',
  'max_tokens_to_sample',
  'max_gen_len',
  'maxTokens',
  'maxTokenCount',
  'max_new_tokens',
];

const ATTACHMENT_TYPES: ReadonlySet<unknown> = new Set(['image', 'document', 'image_url']);
const ATTACHMENTS = ['image', 'document', 'video', 'audio'];
const isAttachment = (part: JsonObject): boolean => ATTACHMENTS.some((kind) => isJsonObject(part[kind]));
const asAttachment = (image: unknown): unknown => (image === undefined ? undefined : { image: {} });

/**
 * The `usage` of a Converse answer, or of the event that ends its stream. Bedrock counts what was read from the prompt cache, and written to it, apart
 * from `inputTokens`: all three are input (https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html). Undefined for what states no usage.
 */
export function usageOfConverse(usage: unknown): Usage | undefined {
  if (!isJsonObject(usage)) return undefined;
  const { inputTokens, outputTokens, cacheReadInputTokenCount, cacheWriteInputTokenCount } = usage;
  // By the second names alone Nova tells it of an invocation; a Converse has both.
  const { cacheReadInputTokens = cacheReadInputTokenCount, cacheWriteInputTokens = cacheWriteInputTokenCount } = usage;
  return usageOfCounts(inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens, writtenFor1h(usage.cacheDetails));
}

/** Bedrock tells what was written to the cache again by how long it is kept. */
function writtenFor1h(details: unknown): unknown {
  return Array.isArray(details) ? details.filter(isJsonObject).find(({ ttl }) => ttl === '1h')?.inputTokens : undefined;
}

/**
 * The usage of an `InvokeModel` answer: as the model's family states it in the body, else as Bedrock counted it in the headers
 * (`x-amzn-bedrock-input-token-count` and its like for output and what was cached). Undefined where neither does.
 */
export function usageOfInvocation(body: unknown, headers?: Headers): Usage | undefined {
  const answer = isJsonObject(body) ? body : {};
  const countIn = (what: string) => {
    const text = headers?.get(`x-amzn-bedrock-${what}-token-count`) ?? undefined;
    return text === undefined || text === '' ? undefined : Number(text);
  };
  return (
    usageOfAnthropic(answer.usage) ??
    usageOfConverse(answer.usage) ??
    usageOfOpenAi(answer) ??
    usageOfCounts(countIn('input'), countIn('output') ?? 0, countIn('cache-read-input'), countIn('cache-write-input')) ??
    usageOfCounts(answer.prompt_token_count, answer.generation_token_count) ??
    usageOfTitan(answer)
  );
}

function usageOfTitan({ inputTextTokenCount, results = [] }: JsonObject): Usage | undefined {
  if (!Array.isArray(results)) return undefined;
  const counts = results.map((result) => (isJsonObject(result) ? tokenCount(result.tokenCount) : undefined));
  if (counts.includes(undefined)) return undefined;
  return usageOfCounts(
    inputTextTokenCount,
    counts.reduce<number>((sum, count = 0) => sum + count, 0),
  );
}

function usageOfCounts(
  input: unknown,
  output: unknown,
  read: unknown = 0,
  written: unknown = 0,
  for1h: unknown = 0,
): Usage | undefined {
  const counts = [input, output, read ?? 0, written ?? 0].map(tokenCount);
  const [fresh, outputTokens, cachedInputTokens, put] = counts;
  if (fresh === undefined || outputTokens === undefined || cachedInputTokens === undefined || put === undefined) return undefined;
  const inputTokens = fresh + cachedInputTokens + put;
  const writes = cacheWrites(put, put, for1h);
  return { inputTokens, cachedInputTokens, ...writes, outputTokens, totalTokens: inputTokens + outputTokens };
}

/**
 * Reads the events of both kinds of stream, each the JSON of one event's payload. A Converse stream tells its usage in the event that ends it. An
 * invocation's events are the model's own, in base64: of Anthropic's as `anthropicApi` reads them, of any other what Bedrock adds to the last.
 */
export class BedrockUsageReader implements UsageReader {
  readonly #anthropic = anthropicApi.usageReader();
  #told: Usage | undefined;

  get usage(): Usage | undefined {
    return this.#anthropic.usage ?? this.#told;
  }

  read(data: string): boolean {
    const event = jsonOf(data);
    if (!isJsonObject(event)) return false;
    if (typeof event.bytes === 'string') return this.read(Buffer.from(event.bytes, 'base64').toString());
    const metrics = event['amazon-bedrock-invocationMetrics'];
    this.#told = usageOfConverse(event.usage) ?? usageOfMetrics(metrics) ?? this.#told;
    this.#anthropic.read(data);
    return false;
  }
}

function usageOfMetrics(metrics: unknown): Usage | undefined {
  if (!isJsonObject(metrics)) return undefined;
  const { inputTokenCount, outputTokenCount, cacheReadInputTokenCount, cacheWriteInputTokenCount } = metrics;
  return usageOfCounts(inputTokenCount, outputTokenCount, cacheReadInputTokenCount, cacheWriteInputTokenCount);
}
