import type { Limit } from '../core/limit.js';
import type { Tokens } from '../lease.js';

/** Tokens of one call, estimated or measured. */
export interface CallTokens {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
}

/** What one call costs on each limit, by what the limit counts. Limits that count anything else (`custom`, money without prices) are left out. */
export function costsOf(limits: Iterable<Pick<Limit, 'name' | 'counts'>>, call: CallTokens): Tokens {
  const costs = new Map<string, number>();
  for (const { name, counts } of limits) {
    if (counts === 'requests' || counts === 'inFlight') costs.set(name, 1);
    if (counts === 'tokens') costs.set(name, call.totalTokens);
    if (counts === 'inputTokens') costs.set(name, call.inputTokens);
    if (counts === 'outputTokens') costs.set(name, call.outputTokens);
  }
  return Object.fromEntries(costs);
}

/** The costs without requests and slots: what a call's answer settles. A request that was made stays counted, whatever came of it. */
export function settledCosts(limits: Iterable<Pick<Limit, 'name' | 'counts'>>, call: CallTokens): Tokens {
  return costsOf(
    [...limits].filter(({ counts }) => counts !== 'requests' && counts !== 'inFlight'),
    call,
  );
}

export const NO_TOKENS: CallTokens = { inputTokens: 0, outputTokens: 0, totalTokens: 0 };
