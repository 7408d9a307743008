import { isJsonObject } from './json-object.js';

/**
 * The tokens one call really used, as the provider counted them. Integers of at least 0.
 * `cachedInputTokens` is the part of `inputTokens` that came from the provider's prompt cache, `cacheWriteTokens` the part that went to it, and
 * `cacheWrite1hTokens` the part of that which stays there for an hour; left out where nothing did.
 * `totalTokens` is the provider's own total; it may exceed input plus output where reasoning is counted apart.
 */
export interface Usage {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens?: number;
  readonly cacheWrite1hTokens?: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
}

/** What a usage says of writing to the prompt cache, never more than there is other input: a price follows from it, and no more. */
export function cacheWrites(
  most: number,
  written: unknown,
  for1h: unknown = 0,
): Pick<Usage, 'cacheWriteTokens' | 'cacheWrite1hTokens'> {
  const cacheWriteTokens = Math.min(tokenCount(written) ?? 0, most);
  const cacheWrite1hTokens = Math.min(tokenCount(for1h) ?? 0, cacheWriteTokens);
  return { ...(cacheWriteTokens > 0 && { cacheWriteTokens }), ...(cacheWrite1hTokens > 0 && { cacheWrite1hTokens }) };
}

/**
 * The usage in an OpenAI-compatible answer, or in one event of its stream; undefined when it states none.
 * Reads chat completions and embeddings (`usage.prompt_tokens`), the Responses API (`usage.input_tokens`) and its events
 * (`response.usage`). An answer without an output count, as embeddings are, used its total less its input.
 * A usage that contradicts itself is none: negative, fractional or missing counts, more cached than input, a total below
 * its parts. The caller then keeps its estimate, which is safer than settling to a wrong number.
 */
export function usageOfOpenAi(body: unknown): Usage | undefined {
  if (!isJsonObject(body)) return undefined;
  if (isJsonObject(body.usage)) return usageOfCounts(body.usage);
  if (isJsonObject(body.response) && isJsonObject(body.response.usage)) return usageOfCounts(body.response.usage);
  return undefined;
}

function usageOfCounts(counts: Readonly<Record<string, unknown>>): Usage | undefined {
  const usage =
    counts.prompt_tokens === undefined
      ? { input: counts.input_tokens, output: counts.output_tokens, details: counts.input_tokens_details }
      : { input: counts.prompt_tokens, output: counts.completion_tokens, details: counts.prompt_tokens_details };
  const { cached_tokens, cache_write_tokens } = isJsonObject(usage.details) ? usage.details : {};
  const cached = cached_tokens ?? 0;
  const total = counts.total_tokens;
  if (!isTokenCount(usage.input) || !isTokenCount(cached) || !isTokenCount(total)) return undefined;
  const output = usage.output ?? total - usage.input;
  if (!isTokenCount(output) || cached > usage.input || total < usage.input + output) return undefined;
  const writes = cacheWrites(usage.input - cached, cache_write_tokens);
  return { inputTokens: usage.input, cachedInputTokens: cached, ...writes, outputTokens: output, totalTokens: total };
}

/** A number of tokens as providers tell it: an integer from 0; undefined for anything else. */
export const tokenCount = (value: unknown): number | undefined => (isTokenCount(value) ? value : undefined);

function isTokenCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The data of an event that may tell a usage. Most chunks are content alone: only those that name one are worth parsing. */
export const jsonWithUsage = (data: string): unknown => (data.includes('"usage') ? jsonOf(data) : undefined);

/** The value that a text is in JSON; undefined for any other text. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
