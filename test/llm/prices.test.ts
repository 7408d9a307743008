import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgument } from '../../lib/errors.js';
import { costOf, type PriceTable, parsePrices } from '../../lib/llm/prices.js';

const PRICES: PriceTable = {
  'gpt-4o': { input: 2.5, cachedInput: 1.25, output: 10 },
  'gpt-4o-mini': { input: 0.15, output: 0.6 },
  fine: { input: 0.000001, output: 0.1 },
  dear: { input: 1_000_000, output: 0 },
};
const CLAUDE = { input: 3, cachedInput: 0.3, cacheWrite: 3.75, cacheWrite1h: 6, output: 15 };
const MOST = 9_007_199_254_740_991;

/** What a thrown InvalidArgument says. */
function refusal(call: () => unknown): { field: string; message: string } {
  try {
    call();
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    return { field: error.field, message: error.message };
  }
  throw new Error('nothing was refused');
}

/** Values that TypeScript refuses, as JSON may hold them. */
const loose = <T>(value: unknown): T => value as T;

it.each([
  { model: 'gpt-4o', when: 'a million of each', usage: [1_000_000, 0, 1_000_000], microUsd: 12_500_000 },
  { model: 'gpt-4o', when: 'half of the input is cached', usage: [2_000, 1_000, 300], microUsd: 2_500 + 1_250 + 3_000 },
  { model: 'gpt-4o', when: 'all of the input is cached', usage: [2_000, 2_000, 0], microUsd: 2_500 },
  { model: 'gpt-4o', when: 'nothing was used', usage: [0, 0, 0], microUsd: 0 },
  { model: 'gpt-4o-mini', when: 'cached input has no price of its own', usage: [1_000, 400, 0], microUsd: 150 },
  { model: 'gpt-4o-mini', when: 'a token of input rounds up', usage: [1, 0, 0], microUsd: 1 },
  { model: 'gpt-4o-mini', when: 'parts are rounded once, together: 0.15 + 0.6', usage: [1, 0, 1], microUsd: 1 },
  { model: 'gpt-4o-mini', when: '20 tokens are exactly 3', usage: [20, 0, 0], microUsd: 3 },
  { model: 'fine', when: 'a million tokens of the finest price are one', usage: [1_000_000, 0, 0], microUsd: 1 },
  { model: 'fine', when: '30 of a tenth are 3, where floats drift above', usage: [0, 0, 30], microUsd: 3 },
  { model: 'dear', when: 'the dearest price', usage: [9_007_199_254, 0, 0], microUsd: 9_007_199_254_000_000 },
])('$model costs $microUsd micro-dollars when $when', ({ model, usage, microUsd }) => {
  const [inputTokens = 0, cachedInputTokens = 0, outputTokens = 0] = usage;
  const totalTokens = inputTokens + outputTokens;
  expect(costOf(model, { inputTokens, cachedInputTokens, outputTokens, totalTokens }, PRICES)).toBe(microUsd);
  expect(costOf(model, { inputTokens, cachedInputTokens, outputTokens }, PRICES)).toBe(microUsd);
});

it('takes a plain count of input and output', () => {
  expect(costOf('gpt-4o', { inputTokens: 4, outputTokens: 2 }, PRICES)).toBe(30);
});

it.each([
  { when: 'for minutes and for an hour', prices: CLAUDE, microUsd: 500 * 3 + 200 * 0.3 + 180 * 3.75 + 120 * 6 + 10 * 15 },
  {
    when: 'and an hour has no price of its own',
    prices: { ...CLAUDE, cacheWrite1h: undefined },
    microUsd: 1_500 + 60 + 1_125 + 150,
  },
  { when: 'and that has no price', prices: { input: 3, cachedInput: 0.3, output: 15 }, microUsd: 2_400 + 60 + 150 },
])('charges what was written to the cache $when', ({ prices, microUsd }) => {
  const usage = { inputTokens: 1_000, cachedInputTokens: 200, cacheWriteTokens: 300, cacheWrite1hTokens: 120, outputTokens: 10 };
  expect(costOf('claude', usage, { claude: prices })).toBe(microUsd);
});

it('charges every token of a call its price for long prompts, where the input is above what counts as long', () => {
  const longPrompt = { above: 1_000, input: 6, cachedInput: 0.6, cacheWrite: 7.5, output: 22.5 };
  const prices = { claude: { ...CLAUDE, longPrompt } };
  const call = { cachedInputTokens: 200, cacheWriteTokens: 300, cacheWrite1hTokens: 120, outputTokens: 10 };
  expect(costOf('claude', { inputTokens: 1_000, ...call }, prices)).toBe(500 * 3 + 200 * 0.3 + 180 * 3.75 + 120 * 6 + 10 * 15);
  expect(costOf('claude', { inputTokens: 1_001, ...call }, prices)).toBe(501 * 6 + 200 * 0.6 + 300 * 7.5 + 10 * 22.5);
});

it('charges reasoning that only the total counts as output', () => {
  expect(costOf('gpt-4o', { inputTokens: 4, outputTokens: 2, totalTokens: 16 }, PRICES)).toBe(10 + 120);
});

const anyPrice = fc.integer({ min: 0, max: 10 ** 12 });
const anyCall = fc
  .record({
    input: fc.integer({ min: 0, max: 10 ** 7 }),
    cachedShare: fc.double({ min: 0, max: 1, noNaN: true }),
    output: fc.integer({ min: 0, max: 10 ** 7 }),
  })
  .map(({ input, cachedShare, output }) => ({
    inputTokens: input,
    cachedInputTokens: Math.floor(input * cachedShare),
    outputTokens: output,
  }));

/** n millionths as a number written in decimals. */
const decimal = (count: number) => Number(`${Math.floor(count / 1_000_000)}.${String(count % 1_000_000).padStart(6, '0')}`);

const ceiling = (numerator: bigint, denominator: bigint) => numerator / denominator + (numerator % denominator > 0n ? 1n : 0n);

it('over many calls is the sum of exact fractions, each rounded up once', () => {
  fc.assert(
    fc.property(fc.tuple(anyPrice, anyPrice, anyPrice), fc.array(anyCall, { maxLength: 20 }), (prices, calls) => {
      const [input, cachedInput, output] = prices;
      const table = { m: { input: decimal(input), cachedInput: decimal(cachedInput), output: decimal(output) } };
      const spent = calls.reduce((sum, call) => sum + BigInt(costOf('m', call, table)), 0n);
      const exact = calls.reduce((sum, call) => {
        const fresh = BigInt(call.inputTokens - call.cachedInputTokens) * BigInt(input);
        const cached = BigInt(call.cachedInputTokens) * BigInt(cachedInput);
        return sum + ceiling(fresh + cached + BigInt(call.outputTokens) * BigInt(output), 1_000_000n);
      }, 0n);
      expect(spent).toBe(exact);
    }),
  );
});

it('of a million calls in one is their sum to the last millionth, whatever the price', () => {
  fc.assert(
    fc.property(anyPrice, fc.integer({ min: 1, max: 9_000 }), (price, tokens) => {
      const table = { m: { input: decimal(price), output: 0 } };
      const usage = { inputTokens: tokens * 1_000_000, outputTokens: 0 };
      expect(costOf('m', usage, table)).toBe(tokens * price);
    }),
  );
});

describe('refuses', () => {
  it.each([
    { model: 'gpt-4o-2024-08-06', known: '(gpt-4o, gpt-4o-mini, fine, dear)' },
    { model: 'gpt', known: '(gpt-4o, gpt-4o-mini, fine, dear)' },
    { model: 'constructor', known: '(gpt-4o, gpt-4o-mini, fine, dear)' },
  ])('the model $model, which the table does not name', ({ model, known }) => {
    expect(refusal(() => costOf(model, { inputTokens: 1, outputTokens: 1 }, PRICES))).toEqual({
      field: 'model',
      message: `Expected model to be one that the price table names ${known}, got "${model}"`,
    });
  });

  it('a model of an empty table, and of a long one it shows a few', () => {
    const many = Object.fromEntries('abcdefgh'.split('').map((name) => [name, { input: 1, output: 1 }]));
    const usage = { inputTokens: 1, outputTokens: 1 };
    expect(refusal(() => costOf('m', usage, {})).message).toContain('(it is empty)');
    expect(refusal(() => costOf('m', usage, many)).message).toContain('(a, b, c, d, e and 3 more)');
  });

  it.each([
    { fields: { input: -0.01 }, field: 'input' },
    { fields: { input: Number.NaN }, field: 'input' },
    { fields: { input: '2.5' }, field: 'input' },
    { fields: { input: null }, field: 'input' },
    { fields: { input: undefined }, field: 'input' },
    { fields: { output: Number.POSITIVE_INFINITY }, field: 'output' },
    { fields: { output: 1_000_000.000001 }, field: 'output' },
    { fields: { output: 0.0000001 }, field: 'output' },
    { fields: { output: 1 / 3 }, field: 'output' },
    { fields: { cachedInput: 2n }, field: 'cachedInput' },
    { fields: { cachedInput: null }, field: 'cachedInput' },
    { fields: { cacheWrite: -1 }, field: 'cacheWrite' },
    { fields: { cacheWrite1h: '6' }, field: 'cacheWrite1h' },
  ])('the price $fields', ({ fields, field }) => {
    const table = loose<PriceTable>({ ok: { input: 1, output: 1 }, m: { input: 1, output: 1, ...fields } });
    const said = {
      field: `prices["m"].${field}`,
      message: expect.stringContaining(
        `Expected prices["m"].${field} to be dollars per million tokens, from 0 to 1000000 with at most six decimal places, got `,
      ),
    };
    expect(refusal(() => costOf('m', { inputTokens: 1, outputTokens: 1 }, table))).toEqual(said);
    expect(refusal(() => parsePrices(table, 'prices'))).toEqual(said);
  });

  it.each([
    { entry: { input: 1, output: 1, cached: 1 }, field: 'prices["m"].cached' },
    { entry: { input: 1, output: 1, longPrompt: { input: 1, output: 1 } }, field: 'prices["m"].longPrompt.above' },
    { entry: { input: 1, output: 1, longPrompt: { above: -1, input: 1, output: 1 } }, field: 'prices["m"].longPrompt.above' },
    { entry: { input: 1, output: 1, longPrompt: { above: 1, output: 1 } }, field: 'prices["m"].longPrompt.input' },
    {
      entry: { input: 1, output: 1, longPrompt: { above: 1, input: 1, output: 1, longPrompt: {} } },
      field: 'prices["m"].longPrompt.longPrompt',
    },
    { entry: { input: 1, output: 1, longPrompt: null }, field: 'prices["m"].longPrompt' },
    { entry: 2, field: 'prices["m"]' },
    { entry: null, field: 'prices["m"]' },
    { entry: [1, 2], field: 'prices["m"]' },
  ])('the entry $entry', ({ entry, field }) => {
    expect(refusal(() => parsePrices({ m: entry }, 'prices')).field).toBe(field);
    expect(refusal(() => costOf('m', { inputTokens: 1, outputTokens: 1 }, loose({ m: entry }))).field).toBe(field);
  });

  it.each([null, undefined, [], 'gpt-4o'])('%j for a table', (table) => {
    expect(refusal(() => costOf('m', { inputTokens: 1, outputTokens: 1 }, loose(table))).field).toBe('prices');
  });

  it.each([
    { usage: { inputTokens: -1 }, says: 'usage.inputTokens to be an integer from 0 to 9007199254740991, got -1' },
    { usage: { inputTokens: 1.5 }, says: 'usage.inputTokens to be an integer from 0 to 9007199254740991, got 1.5' },
    { usage: { inputTokens: MOST + 1 }, says: 'usage.inputTokens to be an integer from 0 to 9007199254740991' },
    { usage: { outputTokens: undefined }, says: 'usage.outputTokens to be an integer from 0 to 9007199254740991, got undefined' },
    { usage: { outputTokens: Number.NaN }, says: 'usage.outputTokens to be an integer from 0 to 9007199254740991, got NaN' },
    { usage: { cachedInputTokens: 8 }, says: 'usage.cachedInputTokens to be an integer from 0 to 7, got 8' },
    { usage: { cacheWriteTokens: 8 }, says: 'usage.cacheWriteTokens to be an integer from 0 to 7, got 8' },
    {
      usage: { cachedInputTokens: 3, cacheWriteTokens: 5 },
      says: 'usage.cacheWriteTokens to be an integer from 0 to 4, got 5',
    },
    { usage: { cacheWrite1hTokens: 1 }, says: 'usage.cacheWrite1hTokens to be an integer from 0 to 0, got 1' },
    { usage: { totalTokens: 9 }, says: 'usage.totalTokens to be an integer from 10 to 9007199254740991, got 9' },
    { usage: { cachedTokens: 1 }, says: 'usage.cachedTokens to be left out' },
  ])('the usage $usage', ({ usage, says }) => {
    const call = { inputTokens: 7, outputTokens: 3, ...usage };
    expect(refusal(() => costOf('gpt-4o', loose(call), PRICES)).message).toContain(`Expected ${says}`);
  });

  it('a call beyond what a number counts exactly', () => {
    expect(costOf('dear', { inputTokens: 9_007_199_254, outputTokens: MOST }, PRICES)).toBe(9_007_199_254_000_000);
    expect(refusal(() => costOf('dear', { inputTokens: 9_007_199_255, outputTokens: 0 }, PRICES)).message).toContain(
      'a call that costs at most 9007199254740991 micro-dollars, and not 9007199255000000',
    );
  });
});
