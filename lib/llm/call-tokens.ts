import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';

/** Tokens of one call, estimated or measured. Integers from 0 to 2^53 - 1. A `Usage` is one. */
export interface CallTokens {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** The part of `inputTokens` that the provider had in its prompt cache. @default 0 */
  readonly cachedInputTokens?: number | undefined;
  /** What it has above input and output is reasoning that the provider counts apart. @default input and output */
  readonly totalTokens?: number | undefined;
}

/** What one token of each part counts, in millionths. */
export interface TokenRates {
  readonly input: bigint;
  readonly cachedInput: bigint;
  readonly output: bigint;
}

/**
 * The sum of a call's tokens, each part at its rate, in millionths: exact. Input that was not cached, cached input, and output, which
 * includes reasoning that only the total counts.
 */
export function ratedMillionths(call: CallTokens, rates: TokenRates): bigint {
  const { inputTokens, outputTokens, cachedInputTokens = 0, totalTokens = 0 } = call;
  const output = Math.max(outputTokens, totalTokens - inputTokens);
  return (
    BigInt(inputTokens - cachedInputTokens) * rates.input +
    BigInt(cachedInputTokens) * rates.cachedInput +
    BigInt(output) * rates.output
  );
}

/** Millionths as whole units, rounded up. */
export const wholeUnits = (inMillionths: bigint): bigint => (inMillionths + 999_999n) / 1_000_000n;

const FIELDS = ['inputTokens', 'cachedInputTokens', 'outputTokens', 'totalTokens'];

/** Checks a usage from outside. Throws `InvalidArgument` naming the field, the value and the legal range. */
export function checkCallTokens(call: CallTokens, at: string): void {
  checkFields(call, FIELDS, at);
  const { inputTokens, outputTokens, cachedInputTokens, totalTokens } = call;
  const within = (value: unknown, least: number, most: number, field: string): void => {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return;
    throw new InvalidArgument({ field: `${at}.${field}`, value, expected: `an integer from ${least} to ${most}` });
  };
  const most = Number.MAX_SAFE_INTEGER;
  within(inputTokens, 0, most, 'inputTokens');
  within(outputTokens, 0, most, 'outputTokens');
  if (cachedInputTokens !== undefined) within(cachedInputTokens, 0, inputTokens, 'cachedInputTokens');
  if (totalTokens !== undefined) within(totalTokens, Math.min(most, inputTokens + outputTokens), most, 'totalTokens');
}
