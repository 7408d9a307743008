import { isJsonObject, type JsonObject } from './json-object.js';
import type { OpenAiEndpoint } from './openai-endpoint.js';

/** What a call may use, before it is made. Safe integers of at least 0; `totalTokens` is their sum, at most 2^53 - 1. */
export interface TokenEstimate {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
}

export interface EstimateOptions {
  /**
   * Output tokens of a request that sets no maximum of its own.
   * @default 200
   */
  readonly defaultOutputTokens?: number | undefined;
  /**
   * What is called; embeddings have no output.
   * @default undefined: an endpoint with output
   */
  readonly endpoint?: OpenAiEndpoint | undefined;
}

/** English text runs to about four characters (UTF-16 code units) a token. */
export const CHARACTERS_PER_TOKEN = 4;
/** Tokens of an image, audio or file part, whatever its size: what gpt-4o counts for an image of 1024 x 1024 in high detail. */
export const ATTACHMENT_TOKENS = 765;

const DEFAULT_OUTPUT_TOKENS = 200;
const TEXT_MEMBERS = ['messages', 'input', 'instructions', 'prompt'] as const;
const ATTACHMENT_TYPES: ReadonlySet<unknown> = new Set([
  'image_url',
  'input_image',
  'computer_screenshot',
  'image_generation_call',
  'input_audio',
  'file',
  'input_file',
]);
/** Members of messages and parts that say how to read the text, and are none. */
const STRUCTURAL_MEMBERS: ReadonlySet<string> = new Set(['role', 'type', 'id', 'call_id', 'tool_call_id', 'status', 'detail']);

/**
 * The tokens to charge for an OpenAI-compatible request until its real usage is known.
 * Input: the text of messages, input, instructions and prompt, and the tools as JSON, four characters a token, rounded up once;
 * a token id counts one, an attachment 765. Output: the largest of `max_tokens`, `max_completion_tokens` and `max_output_tokens`, else
 * the default, times `n`; 0 for embeddings.
 * Never throws, however odd the body: what is not understood counts nothing. `request` is a parsed JSON value, so it has no cycles.
 */
export function estimateOpenAi(request: unknown, options: EstimateOptions = {}): TokenEstimate {
  const body: JsonObject = isJsonObject(request) ? request : {};
  const text = sizeOfText(TEXT_MEMBERS.map((member) => body[member]));
  const characters = text.characters + (Array.isArray(body.tools) ? lengthOfJson(body.tools) : 0);
  const inputTokens = text.tokens + Math.ceil(characters / CHARACTERS_PER_TOKEN);
  const outputTokens = options.endpoint === 'embeddings' ? 0 : outputOf(body, options.defaultOutputTokens);
  return { inputTokens, outputTokens, totalTokens: clamp(inputTokens + outputTokens) };
}

function outputOf(body: JsonObject, defaultOutputTokens: unknown): number {
  const stated = [body.max_tokens, body.max_completion_tokens, body.max_output_tokens]
    .map(countOf)
    .filter((count) => count !== undefined);
  const each = stated.length > 0 ? Math.max(...stated) : (countOf(defaultOutputTokens) ?? DEFAULT_OUTPUT_TOKENS);
  return clamp(each * Math.max(1, countOf(body.n) ?? 1));
}

/** A number of at least 0 as a safe integer, rounded up; undefined for anything else. */
function countOf(value: unknown): number | undefined {
  if (typeof value !== 'number' || !(value >= 0)) return undefined;
  return value > 0 ? clamp(Math.ceil(value)) : 0;
}

function clamp(count: number): number {
  return Math.min(count, Number.MAX_SAFE_INTEGER);
}

/** Characters of text, and tokens that are known without counting characters. A list of what is left instead of recursion: bodies may nest deeply. */
function sizeOfText(roots: readonly unknown[]): { readonly characters: number; readonly tokens: number } {
  const left: unknown[] = [...roots];
  let characters = 0;
  let tokens = 0;
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value === 'string') {
      characters += value.length;
    } else if (Array.isArray(value)) {
      for (const element of value) {
        if (typeof element === 'number') tokens += 1;
        else left.push(element);
      }
    } else if (isJsonObject(value)) {
      if (ATTACHMENT_TYPES.has(value.type)) tokens += ATTACHMENT_TOKENS;
      else for (const key of Object.keys(value)) if (!STRUCTURAL_MEMBERS.has(key)) left.push(value[key]);
    }
  }
  return { characters, tokens };
}

/** Characters of a value's compact JSON, escapes not counted. */
function lengthOfJson(root: unknown): number {
  const left: unknown[] = [root];
  let length = 0;
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value === 'string') {
      length += value.length + 2;
    } else if (Array.isArray(value)) {
      length += 2 + Math.max(0, value.length - 1);
      for (const element of value) left.push(element);
    } else if (isJsonObject(value)) {
      const keys = Object.keys(value);
      length += 2 + Math.max(0, keys.length - 1);
      for (const key of keys) {
        length += key.length + 3;
        left.push(value[key]);
      }
    } else if (value === null || typeof value === 'number' || typeof value === 'boolean') {
      length += String(value).length;
    }
  }
  return length;
}
