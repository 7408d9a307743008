import { contentIn, largestCount } from './call-content.js';
import { CHARACTERS_PER_TOKEN } from './estimate.js';
import { jsonBody, modelOf } from './json-body.js';
import { withJsonMember } from './json-member.js';
import { isJsonObject, type JsonObject } from './json-object.js';
import type { PreparedCall, ProviderApi, RefusedCall, UsageReader } from './provider-api.js';
import { cacheWrites, jsonOf, tokenCount, type Usage } from './usage.js';

/** Anthropic's Messages API. */
export const anthropicApi: ProviderApi = {
  name: 'anthropic',
  prepare: prepareAnthropic,
  usageOf: (answer) => (isJsonObject(answer) ? usageOfAnthropic(answer.usage) : undefined),
  usageReader: () => new AnthropicUsageReader(),
  refusalBody: ({ status, message, code }) => ({ type: 'error', error: { type: typeOf(status), message, code } }),
};

const ATTACHMENT_TYPES: ReadonlySet<unknown> = new Set(['image', 'document', 'container_upload']);
const WRITTEN_SOURCES: ReadonlySet<unknown> = new Set(['text', 'content']);

/** A document may also be plain text, or blocks of their own: these are counted as what they say. */
const isAttachment = ({ type, source }: JsonObject): boolean =>
  ATTACHMENT_TYPES.has(type) && !(isJsonObject(source) && WRITTEN_SOURCES.has(source.type));

function prepareAnthropic(body: Uint8Array, path: string): PreparedCall | RefusedCall {
  const json = jsonBody(body);
  if (!json.ok) return json;
  const { text, parsed } = json;
  const named = modelOf(parsed);
  if (!named.ok) return named;
  const { system, messages, tools, max_tokens } = parsed;
  return {
    ok: true,
    model: named.model,
    body,
    addedUsage: false,
    content: {
      ...contentIn([system, messages], tools, isAttachment),
      statedOutputTokens: largestCount([max_tokens]),
      answers: 1,
      hasOutput: true,
    },
    toModel: (model) => ({ path, body: new TextEncoder().encode(withJsonMember(text, 'model', () => JSON.stringify(model))) }),
  };
}

/**
 * The `usage` of an answer. Anthropic counts what it read from its cache, and what it wrote to it, apart from `input_tokens`: all three are
 * input. What it took to compact the context on the way it counts among `iterations` alone, and bills too. Undefined for what states no usage, or
 * contradicts itself.
 */
export function usageOfAnthropic(usage: unknown): Usage | undefined {
  if (!isJsonObject(usage)) return undefined;
  const iterations = Array.isArray(usage.iterations) ? usage.iterations.filter(isJsonObject) : [];
  const sum = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, totalTokens: 0 };
  let allWritten = 0;
  let writtenFor1h = 0;
  for (const counts of [usage, ...iterations.filter(({ type }) => type === 'compaction')]) {
    const input = tokenCount(counts.input_tokens);
    const output = tokenCount(counts.output_tokens);
    const cached = tokenCount(counts.cache_read_input_tokens ?? 0);
    const written = tokenCount(counts.cache_creation_input_tokens ?? 0);
    if (input === undefined || output === undefined || cached === undefined || written === undefined) return undefined;
    sum.inputTokens += input + cached + written;
    sum.cachedInputTokens += cached;
    sum.outputTokens += output;
    sum.totalTokens += input + cached + written + output;
    allWritten += written;
    writtenFor1h += tokenCount(isJsonObject(counts.cache_creation) ? counts.cache_creation.ephemeral_1h_input_tokens : 0) ?? 0;
  }
  return { ...sum, ...cacheWrites(sum.inputTokens - sum.cachedInputTokens, allWritten, writtenFor1h) };
}

/**
 * `message_start` tells the input, each `message_delta` all output so far: its numbers are not added up, the last one counts. A stream that broke off
 * had no `message_delta` yet: its output is estimated by the text that came, four characters a token, for it was produced and will be billed.
 */
class AnthropicUsageReader implements UsageReader {
  #told: JsonObject | undefined;
  #hasEnded = false;
  #characters = 0;

  get usage(): Usage | undefined {
    const told = usageOfAnthropic(this.#told);
    if (told === undefined || this.#hasEnded) return told;
    const outputTokens = Math.max(told.outputTokens, Math.ceil(this.#characters / CHARACTERS_PER_TOKEN));
    return { ...told, outputTokens, totalTokens: told.inputTokens + outputTokens };
  }

  read(data: string): boolean {
    const event = jsonOf(data);
    if (!isJsonObject(event)) return false;
    if (event.type === 'message_start' && isJsonObject(event.message)) this.#tell(event.message.usage);
    if (event.type === 'content_block_delta' && isJsonObject(event.delta)) {
      for (const part of [event.delta.text, event.delta.thinking, event.delta.partial_json])
        if (typeof part === 'string') this.#characters += part.length;
    }
    if (event.type === 'message_delta' && isJsonObject(event.usage)) {
      this.#tell(event.usage);
      this.#hasEnded = true;
    }
    return false;
  }

  #tell(usage: unknown): void {
    if (!isJsonObject(usage)) return;
    const told = Object.entries(usage).filter(([, value]) => value !== null);
    this.#told = { ...this.#told, ...Object.fromEntries(told) };
  }
}

const TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

const typeOf = (status: number): string => TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
