import { isJsonObject, type JsonObject } from './json-object.js';

/** What a call sends and asks for, whatever the provider: what an estimate of its tokens is made of. */
export interface CallContent {
  /** The prompt: messages, system prompts, instructions. */
  readonly texts: readonly string[];
  /** How many of the prompt's parts have a role: what chat formats put around each costs tokens too. */
  readonly messages: number;
  /** Characters of what is sent as JSON: the tools. */
  readonly jsonCharacters: number;
  /** Tokens that need no counting: token ids, and a fixed number for each image, sound or file. */
  readonly knownTokens: number;
  /** The most output tokens that the caller allows each answer; undefined: it does not say. */
  readonly statedOutputTokens: number | undefined;
  /** How many answers to one prompt. */
  readonly answers: number;
  /** False for embeddings. */
  readonly hasOutput: boolean;
}

/** Tokens of an image, sound or file, whatever its size: what gpt-4o counts for an image of 1024 x 1024 in high detail. */
export const ATTACHMENT_TOKENS = 765;

/** Members of messages and parts that say how to read the text, and are none. */
const STRUCTURAL_MEMBERS: ReadonlySet<string> = new Set([
  'role',
  'type',
  'id',
  'call_id',
  'tool_call_id',
  'tool_use_id',
  'toolUseId',
  'toolCallId',
  'status',
  'detail',
  'cache_control',
  'cachePoint',
  'providerOptions',
  'media_type',
  'mediaType',
  'signature',
  'thoughtSignature',
  'thought_signature',
]);

/**
 * What is in these parts of a request. `isAttachment`: whether an object stands for an image, sound or file.
 * Never throws, however odd they are: what is not understood counts nothing. A list of what is left instead of recursion, for bodies may nest deeply.
 */
export function contentIn(
  prompts: readonly unknown[],
  tools: unknown,
  isAttachment: (part: JsonObject) => boolean,
): Pick<CallContent, 'texts' | 'messages' | 'knownTokens' | 'jsonCharacters'> {
  const left: unknown[] = [...prompts];
  const texts: string[] = [];
  let messages = 0;
  let knownTokens = 0;
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value === 'string') {
      texts.push(value);
    } else if (Array.isArray(value)) {
      for (const element of value) {
        if (typeof element === 'number') knownTokens += 1;
        else left.push(element);
      }
    } else if (isJsonObject(value) && !ArrayBuffer.isView(value)) {
      if (typeof value.role === 'string') messages += 1;
      if (isAttachment(value)) knownTokens += ATTACHMENT_TOKENS;
      else for (const key of Object.keys(value)) if (!STRUCTURAL_MEMBERS.has(key)) left.push(value[key]);
    }
  }
  return { texts, messages, knownTokens, jsonCharacters: Array.isArray(tools) ? lengthOfJson(tools) : 0 };
}

/** The largest of the numbers among these, at least 0, rounded up to a safe integer; undefined where there is none. */
export function largestCount(values: readonly unknown[]): number | undefined {
  const counts = values.map(countOf).filter((count) => count !== undefined);
  return counts.length === 0 ? undefined : Math.max(...counts);
}

/** A number of at least 0 as a safe integer, rounded up; undefined for anything else. */
export function countOf(value: unknown): number | undefined {
  if (typeof value !== 'number' || !(value >= 0)) return undefined;
  return value > 0 ? safe(Math.ceil(value)) : 0;
}

export const safe = (count: number): number => Math.min(count, Number.MAX_SAFE_INTEGER);

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
