import { InvalidArgument } from '../lib/errors.js';
import { type PriceTable, parsePrices } from '../lib/llm/prices.js';

/** The price table in HEADGATE_PRICES: `{"gpt-4o":{"input":2.5,"cachedInput":1.25,"output":10}}`, in dollars per million tokens. Without it: empty. */
export function pricesOf(json: string | undefined): PriceTable {
  const field = 'HEADGATE_PRICES';
  try {
    return parsePrices(JSON.parse(json || '{}'), field);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const expected = `JSON of { model: { input, cachedInput?, cacheWrite?, cacheWrite1h?, output, longPrompt? } } in dollars per million tokens (${why})`;
    throw new InvalidArgument({ field, value: json, expected, cause });
  }
}
