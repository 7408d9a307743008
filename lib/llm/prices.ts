import { millionths } from '../core/millionths.js';
import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';
import { type CallTokens, checkCallTokens, ratedMillionths, type TokenRates, wholeUnits } from './call-tokens.js';

/**
 * What a model's tokens cost, in dollars per million tokens, as providers publish it: 0 to 1,000,000, with at most six decimal places.
 * A token then costs a whole number of millionths of a micro-dollar, so sums are exact.
 */
export interface ModelPrices extends TokenPrices {
  /** What every token costs in a call with more input tokens than `above`, an integer of at least 0. @default what it costs in any call */
  readonly longPrompt?: (TokenPrices & { readonly above: number }) | undefined;
}

export interface TokenPrices {
  readonly input: number;
  /** Input that the provider had in its prompt cache. @default what input costs */
  readonly cachedInput?: number | undefined;
  /** Input that the provider wrote to its prompt cache. @default what input costs */
  readonly cacheWrite?: number | undefined;
  /** Input that it wrote to its prompt cache for an hour. @default `cacheWrite` */
  readonly cacheWrite1h?: number | undefined;
  /** 0 for models without output, as embeddings have none. */
  readonly output: number;
}

/** Prices by the model's name, as requests give it: `{ 'gpt-4o': { input: 2.5, cachedInput: 1.25, output: 10 } }`. */
export type PriceTable = Readonly<Record<string, ModelPrices>>;

const MOST_DOLLARS = 1_000_000;
const MODELS_SHOWN = 5;

/**
 * What one call costs, in whole micro-dollars: the exact sum over its tokens, rounded up once; 0 for a call without tokens.
 * What was read from the prompt cache, or written to it, is part of the input, and costs its own price. Reasoning that only `totalTokens` counts costs what output does.
 * Throws `InvalidArgument` for a model that the table does not name (no price is guessed, not from a similar name either), for prices and counts
 * outside their ranges, and for a call that costs more than 2^53 - 1 micro-dollars.
 */
export function costOf(model: string, usage: CallTokens, prices: PriceTable): number {
  const rates = ratesOf(model, prices);
  checkCallTokens(usage, 'usage');
  const microUsd = wholeUnits(ratedMillionths(usage, rates));
  if (microUsd <= Number.MAX_SAFE_INTEGER) return Number(microUsd);
  throw new InvalidArgument({
    field: 'usage',
    value: usage,
    expected: `a call that costs at most ${Number.MAX_SAFE_INTEGER} micro-dollars, and not ${microUsd}`,
  });
}

/** The checked rates of a model, in millionths of a micro-dollar a token. Throws as `costOf` does. */
export function ratesOf(model: string, prices: PriceTable): TokenRates {
  checkTable(prices, 'prices');
  const entry = Object.hasOwn(prices, model) ? prices[model] : undefined;
  if (entry === undefined) {
    const models = Object.keys(prices);
    const more = models.length > MODELS_SHOWN ? ` and ${models.length - MODELS_SHOWN} more` : '';
    const known = models.length === 0 ? 'it is empty' : `${models.slice(0, MODELS_SHOWN).join(', ')}${more}`;
    throw new InvalidArgument({ field: 'model', value: model, expected: `one that the price table names (${known})` });
  }
  return modelRates(entry, `prices[${JSON.stringify(model)}]`);
}

/** Checks a whole price table from outside. Throws `InvalidArgument` naming the field, the value and the legal range. */
export function parsePrices(value: unknown, field: string): PriceTable {
  checkTable(value, field);
  for (const [model, entry] of Object.entries(value)) modelRates(entry, `${field}[${JSON.stringify(model)}]`);
  return value;
}

function checkTable(value: unknown, field: string): asserts value is PriceTable {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return;
  throw new InvalidArgument({ field, value, expected: 'an object of prices by model, such as { "gpt-4o": { input, output } }' });
}

/** The rates of one model's prices, in millionths of a micro-dollar a token. Throws `InvalidArgument` for a price out of its range. */
export function modelRates(entry: ModelPrices, at: string): TokenRates {
  checkFields(entry, [...PRICED, 'longPrompt'], at);
  const { longPrompt } = entry;
  if (longPrompt === undefined) return tokenRates(entry, at);
  const long = `${at}.longPrompt`;
  checkFields(longPrompt, ['above', ...PRICED], long);
  const { above } = longPrompt;
  if (!Number.isSafeInteger(above) || above < 0)
    throw new InvalidArgument({
      field: `${long}.above`,
      value: above,
      expected: `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`,
    });
  return { ...tokenRates(entry, at), longPrompt: { above, ...tokenRates(longPrompt, long) } };
}

const PRICED = ['input', 'cachedInput', 'cacheWrite', 'cacheWrite1h', 'output'];

function tokenRates(prices: TokenPrices, at: string): TokenRates {
  const { input, cachedInput = input, cacheWrite = input, cacheWrite1h = cacheWrite, output } = prices;
  return {
    input: rate(input, `${at}.input`),
    cachedInput: rate(cachedInput, `${at}.cachedInput`),
    cacheWrite: rate(cacheWrite, `${at}.cacheWrite`),
    cacheWrite1h: rate(cacheWrite1h, `${at}.cacheWrite1h`),
    output: rate(output, `${at}.output`),
  };
}

function rate(dollars: unknown, field: string): bigint {
  const count = millionths(dollars, MOST_DOLLARS);
  if (count !== undefined) return count;
  throw new InvalidArgument({
    field,
    value: dollars,
    expected: `dollars per million tokens, from 0 to ${MOST_DOLLARS} with at most six decimal places`,
  });
}
