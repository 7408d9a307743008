import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';

/** Tokens of one call, estimated or measured. Integers from 0 to 2^53 - 1. A `Usage` is one. */
export interface CallTokens {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** The part of `inputTokens` that the provider had in its prompt cache. @default 0 */
  readonly cachedInputTokens?: number | undefined;
  /** The part of `inputTokens` that the provider wrote to its prompt cache. @default 0 */
  readonly cacheWriteTokens?: number | undefined;
  /** The part of `cacheWriteTokens` that it keeps for an hour, which Anthropic's models cost more for. @default 0 */
  readonly cacheWrite1hTokens?: number | undefined;
  /** What it has above input and output is reasoning that the provider counts apart. @default input and output */
  readonly totalTokens?: number | undefined;
}

/** What one token of each part counts, in millionths. */
export interface TokenRates {
  readonly input: bigint;
  readonly cachedInput: bigint;
  /** @default what input counts */
  readonly cacheWrite?: bigint;
  /** @default what the other writing to the cache counts */
  readonly cacheWrite1h?: bigint;
  readonly output: bigint;
  /** What counts in place of all these for a call with more input than `above`. @default they count for any call */
  readonly longPrompt?: TokenRates & { readonly above: number };
}

/**
 * The sum of a call's tokens, each part at its rate, in millionths: exact. Input that the cache had no part in, what was read from it and written to
 * it, and output, which includes reasoning that only the total counts.
 */
export function ratedMillionths(call: CallTokens, rates: TokenRates): bigint {
  const { longPrompt } = rates;
  if (longPrompt !== undefined && call.inputTokens > longPrompt.above) return ratedMillionths(call, longPrompt);
  const {
    inputTokens,
    outputTokens,
    cachedInputTokens = 0,
    cacheWriteTokens = 0,
    cacheWrite1hTokens = 0,
    totalTokens = 0,
  } = call;
  const { input, cachedInput, cacheWrite = input, cacheWrite1h = cacheWrite, output } = rates;
  return (
    BigInt(inputTokens - cachedInputTokens - cacheWriteTokens) * input +
    BigInt(cachedInputTokens) * cachedInput +
    BigInt(cacheWriteTokens - cacheWrite1hTokens) * cacheWrite +
    BigInt(cacheWrite1hTokens) * cacheWrite1h +
    BigInt(Math.max(outputTokens, totalTokens - inputTokens)) * output
  );
}

/** Millionths as whole units, rounded up. */
export const wholeUnits = (inMillionths: bigint): bigint => (inMillionths + 999_999n) / 1_000_000n;

const FIELDS = ['inputTokens', 'cachedInputTokens', 'cacheWriteTokens', 'cacheWrite1hTokens', 'outputTokens', 'totalTokens'];

/** Checks a usage from outside. Throws `InvalidArgument` naming the field, the value and the legal range. */
export function checkCallTokens(call: CallTokens, at: string): void {
  checkFields(call, FIELDS, at);
  const { inputTokens, outputTokens, cachedInputTokens, cacheWriteTokens, cacheWrite1hTokens, totalTokens } = call;
  const within = (value: unknown, least: number, most: number, field: string): void => {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return;
    throw new InvalidArgument({ field: `${at}.${field}`, value, expected: `an integer from ${least} to ${most}` });
  };
  const most = Number.MAX_SAFE_INTEGER;
  within(inputTokens, 0, most, 'inputTokens');
  within(outputTokens, 0, most, 'outputTokens');
  if (cachedInputTokens !== undefined) within(cachedInputTokens, 0, inputTokens, 'cachedInputTokens');
  if (cacheWriteTokens !== undefined) within(cacheWriteTokens, 0, inputTokens - (cachedInputTokens ?? 0), 'cacheWriteTokens');
  if (cacheWrite1hTokens !== undefined) within(cacheWrite1hTokens, 0, cacheWriteTokens ?? 0, 'cacheWrite1hTokens');
  if (totalTokens !== undefined) within(totalTokens, Math.min(most, inputTokens + outputTokens), most, 'totalTokens');
}
