import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';
import { type CallContent, safe } from './call-content.js';
import type { CallTokens } from './call-tokens.js';

/** What a call may use, before it is made. Safe integers of at least 0; `totalTokens` is their sum, at most 2^53 - 1. */
export interface TokenEstimate {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
}

/** Guesses the tokens of a call to a resource from what it sends. */
export interface Estimator {
  (content: CallContent, resource: string): TokenEstimate | Promise<TokenEstimate>;
  /** Told what a call that was estimated really used. */
  learn?(resource: string, estimated: TokenEstimate, used: CallTokens): void;
}

export interface OutputOptions {
  /**
   * Output tokens of a request that sets no maximum of its own, an integer from 0.
   * @default 200
   */
  readonly defaultOutputTokens?: number | undefined;
}

/** English text runs to about four characters (UTF-16 code units) a token. */
export const CHARACTERS_PER_TOKEN = 4;
const DEFAULT_OUTPUT_TOKENS = 200;

/**
 * Input: four characters a token, rounded up once; a token id counts one, an attachment 765. Output: what the caller allows, else the default,
 * for each answer; 0 for embeddings. The estimator never throws. Throws `InvalidArgument` for wrong options.
 */
export function byCharacters(options: OutputOptions = {}): (content: CallContent) => TokenEstimate {
  checkOutput(options);
  return (content) => {
    const characters = content.texts.reduce((sum, text) => sum + text.length, content.jsonCharacters);
    return estimateOf(content.knownTokens + Math.ceil(characters / CHARACTERS_PER_TOKEN), outputOf(content, options));
  };
}

/** As `byCharacters`, but the prompt's tokens are counted by `count`, such as a tokenizer's; JSON stays four characters a token. */
export function byTokens(count: (text: string) => number, options: OutputOptions = {}): (content: CallContent) => TokenEstimate {
  if (typeof count !== 'function')
    throw new InvalidArgument({ field: 'count', value: count, expected: 'a function that counts the tokens of a text' });
  checkOutput(options);
  return (content) => {
    const counted = content.texts.reduce((sum, text) => sum + count(text), 0);
    const json = Math.ceil(content.jsonCharacters / CHARACTERS_PER_TOKEN);
    return estimateOf(content.knownTokens + counted + json, outputOf(content, options));
  };
}

/**
 * Every call the same, whatever it sends, but never less output than its caller allows.
 * `inputTokens` and `outputTokens`: integers from 0. Throws `InvalidArgument` for others.
 */
export function fixed(tokens: Omit<TokenEstimate, 'totalTokens'>): (content: CallContent) => TokenEstimate {
  checkFields(tokens, ['inputTokens', 'outputTokens'], 'tokens');
  const { inputTokens, outputTokens } = tokens;
  for (const [field, value] of Object.entries({ inputTokens, outputTokens })) checkCount(value, field);
  return (content) => estimateOf(inputTokens, outputOf(content, { defaultOutputTokens: outputTokens }));
}

/** The sum is made here, so that it never exceeds what a cost can be. */
export const estimateOf = (inputTokens: number, outputTokens: number): TokenEstimate => ({
  inputTokens: safe(inputTokens),
  outputTokens: safe(outputTokens),
  totalTokens: safe(inputTokens + outputTokens),
});

function outputOf(
  { hasOutput, statedOutputTokens, answers }: CallContent,
  { defaultOutputTokens = DEFAULT_OUTPUT_TOKENS }: OutputOptions,
): number {
  if (!hasOutput) return 0;
  return safe((statedOutputTokens ?? defaultOutputTokens) * answers);
}

function checkOutput(options: OutputOptions): void {
  checkFields(options, ['defaultOutputTokens'], 'options');
  if (options.defaultOutputTokens !== undefined) checkCount(options.defaultOutputTokens, 'defaultOutputTokens');
}

function checkCount(value: unknown, field: string): void {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return;
  throw new InvalidArgument({ field, value, expected: `an integer from 0 to ${Number.MAX_SAFE_INTEGER}` });
}
