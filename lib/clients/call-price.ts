import type { Level } from '../config/resolution.js';
import { InvalidArgument } from '../errors.js';
import { type CallTokens, ratedMillionths, wholeUnits } from '../llm/call-tokens.js';
import type { CountedLimit } from '../llm/costs.js';
import { type PriceTable, ratesOf } from '../llm/prices.js';

/** What a call of one model costs, in whole micro-dollars: at most 2^53 - 1, which no limit holds. */
export type CallPrice = (call: CallTokens) => number;

/**
 * What calls of a model cost, for limits that count money; undefined where none does. Throws `InvalidArgument` for a model without a price while such a
 * limit is enforced: a budget that cannot be charged would be free passage. Where all of them are observed or bypassed the call goes on, and they are
 * not charged. `applied`: the levels whose limits these are.
 */
export async function callPrice(
  model: string,
  counted: readonly CountedLimit[],
  prices: () => PriceTable,
  applied: () => Promise<readonly Level[]>,
): Promise<CallPrice | undefined> {
  if (!counted.some(countsMoney)) return undefined;
  try {
    const rates = ratesOf(model, prices());
    return (call) => Math.min(Number(wholeUnits(ratedMillionths(call, rates))), Number.MAX_SAFE_INTEGER);
  } catch (error) {
    const enforced = (await applied()).some(
      ({ limits, bypass }) => !bypass && limits.some((limit) => countsMoney(limit) && limit.mode !== 'observe'),
    );
    if (enforced || !(error instanceof InvalidArgument) || error.field !== 'model') throw error;
    return undefined;
  }
}

export const countsMoney = ({ counts }: Pick<CountedLimit, 'counts'>): boolean => counts === 'microUsd';
