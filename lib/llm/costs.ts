import type { Counted } from '../core/limit.js';
import { weightsInMillionths } from '../core/weights.js';
import type { Tokens } from '../lease.js';
import { type CallTokens, ratedMillionths, wholeUnits } from './call-tokens.js';

/** What decides the cost of a call on a limit. */
export type CountedLimit = Pick<Counted, 'name' | 'counts' | 'weights'>;

/**
 * What one call costs on each limit, by what the limit counts: whole numbers, at most 2^53 - 1. A limit with weights costs the weighted sum of the
 * parts it counts, rounded up once; the others their plain number, of `tokens` the total. Where levels disagree about limits of one name, the most counts.
 * `microUsd` is what the call costs in money. Left out are limits that count anything else, and money where that is undefined.
 */
export function costsOf(limits: Iterable<CountedLimit>, call: CallTokens, microUsd?: number): Tokens {
  const costs = new Map<string, number>();
  for (const limit of limits) {
    const cost = costOn(limit, call, microUsd);
    if (cost !== undefined) costs.set(limit.name, Math.max(cost, costs.get(limit.name) ?? 0));
  }
  return Object.fromEntries(costs);
}

/** The costs without requests and slots: what a call's answer settles. A request that was made stays counted, whatever came of it. */
export function settledCosts(limits: Iterable<CountedLimit>, call: CallTokens, microUsd?: number): Tokens {
  const settled = [...limits].filter(({ counts }) => counts !== 'requests' && counts !== 'inFlight');
  return costsOf(settled, call, microUsd);
}

export const NO_TOKENS: CallTokens = { inputTokens: 0, outputTokens: 0, totalTokens: 0 };

function costOn(limit: CountedLimit, call: CallTokens, microUsd: number | undefined): number | undefined {
  const { inputTokens, outputTokens, cachedInputTokens, totalTokens = inputTokens + outputTokens } = call;
  switch (limit.counts) {
    case 'requests':
    case 'inFlight':
      return 1;
    case 'tokens':
      return limit.weights === undefined ? atMost(totalTokens) : weighted(limit, call);
    case 'inputTokens':
      return weighted(limit, { inputTokens, cachedInputTokens, outputTokens: 0 });
    case 'outputTokens':
      return weighted(limit, { inputTokens: 0, outputTokens });
    case 'microUsd':
      return microUsd;
    default:
      return undefined;
  }
}

const weighted = ({ weights = {} }: CountedLimit, call: CallTokens): number =>
  atMost(wholeUnits(ratedMillionths(call, weightsInMillionths(weights))));

/** Estimates of absurd requests may exceed what a cost can be; no limit holds so much. */
const atMost = (count: number | bigint): number => Math.min(Number(count), Number.MAX_SAFE_INTEGER);
