import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { costsOf, NO_TOKENS, settledCosts } from '../../lib/llm/costs.js';

const MOST = 9_007_199_254_740_991;
const every = [
  Limit.perMinute('rpm', 1),
  Limit.perMinute('tpm', 1),
  Limit.perMinute('itpm', 1),
  Limit.perMinute('otpm', 1),
  Limit.quota('usd', 1, { per: 'day' }),
  Limit.concurrent('inflight', 1, { leaseMs: 1 }),
  Limit.perMinute('pages', 1),
];
const call = { inputTokens: 1_000, cachedInputTokens: 400, outputTokens: 10, totalTokens: 1_010 };

it('costs a request 1, a slot 1, and tokens their number; what a limit counts beyond a call is left out', () => {
  const costs = { rpm: 1, tpm: 1_010, itpm: 1_000, otpm: 10, inflight: 1 };
  expect(costsOf(every, call)).toEqual(costs);
  expect(costsOf(every, call, 7)).toEqual({ ...costs, usd: 7 });
});

it('settles tokens and money, and neither requests nor slots', () => {
  expect(settledCosts(every, call, 7)).toEqual({ tpm: 1_010, itpm: 1_000, otpm: 10, usd: 7 });
  expect(settledCosts(every, NO_TOKENS, 0)).toEqual({ tpm: 0, itpm: 0, otpm: 0, usd: 0 });
});

it.each([
  { when: 'cached input is a tenth and output five', name: 'tpm', weights: { cachedInput: 0.1, output: 5 }, cost: 600 + 40 + 50 },
  { when: 'cached input is free', name: 'tpm', weights: { cachedInput: 0 }, cost: 610 },
  { when: 'cached input is free', name: 'itpm', weights: { cachedInput: 0 }, cost: 600 },
  { when: 'input counts half', name: 'itpm', weights: { input: 0.5 }, cost: 500 },
  { when: 'output counts double', name: 'otpm', weights: { output: 2 }, cost: 20 },
  { when: 'nothing counts', name: 'tpm', weights: { input: 0, output: 0 }, cost: 0 },
  { when: 'each input token counts 0.33', name: 'tpm', weights: { input: 0.33, output: 0 }, cost: 330 },
  { when: 'the sum is 600.0004', name: 'itpm', weights: { cachedInput: 0.000001 }, cost: 601 },
])('costs $cost on $name when $when', ({ name, weights, cost }) => {
  expect(costsOf([Limit.perMinute(name, 1, { weights })], call)).toEqual({ [name]: cost });
});

it('rounds the weighted sum up once, not each part', () => {
  const limit = Limit.perMinute('tpm', 1, { weights: { input: 0.4, cachedInput: 0.3, output: 0.3 } });
  expect(costsOf([limit], { inputTokens: 2, cachedInputTokens: 1, outputTokens: 1 })).toEqual({ tpm: 1 });
  expect(costsOf([limit], { inputTokens: 3, cachedInputTokens: 1, outputTokens: 1 })).toEqual({ tpm: 2 });
});

it('counts reasoning that only the total has as output, under weights too', () => {
  const reasoned = { inputTokens: 10, outputTokens: 5, totalTokens: 115 };
  const limits = [Limit.perMinute('tpm', 1), Limit.perHour('tph', 1, { weights: { output: 2 } })];
  expect(costsOf(limits, reasoned)).toEqual({ tpm: 115, tph: 10 + 2 * 105 });
});

it('takes the total for input and output where a call has none', () => {
  expect(costsOf([Limit.perMinute('tpm', 1)], { inputTokens: 3, outputTokens: 4 })).toEqual({ tpm: 7 });
});

it('takes the most where two levels disagree about limits of one name, in any order', () => {
  const [plain, weighted] = [Limit.perMinute('tpm', 1), Limit.perMinute('tpm', 1, { weights: { output: 5 } })];
  expect(costsOf([plain, weighted], call)).toEqual({ tpm: 1_050 });
  expect(costsOf([weighted, plain], call)).toEqual({ tpm: 1_050 });
});

it('is at most what a cost may be', () => {
  const absurd = { inputTokens: 1, outputTokens: MOST, totalTokens: MOST };
  const limits = [Limit.perMinute('tpm', 1, { weights: { output: 5 } }), Limit.perMinute('otpm', 1, { weights: { output: 5 } })];
  expect(costsOf(limits, absurd)).toEqual({ tpm: MOST, otpm: MOST });
});

it('under weights of 1 is what it is without', () => {
  const count = fc.integer({ min: 0, max: 10 ** 9 });
  fc.assert(
    fc.property(count, count, count, count, (inputTokens, cached, outputTokens, reasoning) => {
      const measured = {
        inputTokens,
        cachedInputTokens: Math.min(cached, inputTokens),
        outputTokens,
        totalTokens: inputTokens + outputTokens + reasoning,
      };
      const ones = [Limit.perMinute('tpm', 1, { weights: {} }), Limit.perMinute('itpm', 1, { weights: {} })];
      const plain = [Limit.perMinute('tpm', 1), Limit.perMinute('itpm', 1)];
      expect(costsOf(ones, measured)).toEqual(costsOf(plain, measured));
    }),
  );
});
