import { describe, expect, it } from 'vitest';
import { Limit, parseLimit } from '../../lib/core/limit.js';
import { shardsOf } from '../../lib/core/shards.js';
import type { TokenWeights } from '../../lib/core/weights.js';
import { InvalidArgument } from '../../lib/errors.js';

const weights = { input: 1, cachedInput: 0.1, output: 5 };

/** Every constructor of a limit that may have weights. */
const made = (name: string, given: TokenWeights): readonly Limit[] => [
  Limit.perSecond(name, 100, { weights: given }),
  Limit.perMinute(name, 100, { weights: given }),
  Limit.perHour(name, 100, { weights: given }),
  Limit.perDay(name, 100, { weights: given }),
  Limit.custom({ name, capacity: 100, refillAmount: 1, refillPeriodMs: 1_000, weights: given }),
  Limit.quota(name, 100, { per: 'day', weights: given }),
  Limit.window(name, 100, { everyMs: 1_000, weights: given }),
];

it('are kept by every constructor, by a stored limit and by its shards, and cannot be changed', () => {
  for (const limit of made('tpm', weights)) {
    expect(limit.weights).toEqual({ input: 1, cachedInput: 0.1, output: 5 });
    expect(Object.isFrozen(limit.weights)).toBe(true);
    expect(parseLimit(JSON.parse(JSON.stringify(limit)), 'limit')).toEqual(limit);
    expect(shardsOf(limit, 2).map((shard) => shard.weights)).toEqual([weights, weights]);
  }
});

it('are absent from a limit without them', () => {
  expect(Object.keys(Limit.perMinute('tpm', 1))).not.toContain('weights');
});

it.each([
  { name: 'tpm', given: {}, all: { input: 1, cachedInput: 1, output: 1 } },
  { name: 'tpm', given: { output: 5 }, all: { input: 1, cachedInput: 1, output: 5 } },
  { name: 'tpm', given: { input: 2 }, all: { input: 2, cachedInput: 2, output: 1 } },
  { name: 'tpm', given: { cachedInput: 0 }, all: { input: 1, cachedInput: 0, output: 1 } },
  { name: 'itpm', given: { cachedInput: 0 }, all: { input: 1, cachedInput: 0 } },
  { name: 'otpm', given: { output: 1_000 }, all: { output: 1_000 } },
])('$given of a limit named $name are $all', ({ name, given, all }) => {
  expect(made(name, given).map((limit) => limit.weights)).toEqual(Array.from({ length: 7 }, () => all));
});

describe('refuses', () => {
  const number = 'a number from 0 to 1000 with at most six decimal places';
  const three = 'left out: a limit that counts tokens has weights for input, cachedInput, output';

  it.each<{ given: unknown; field: string; expected: string }>([
    { given: { output: -1 }, field: 'weights.output', expected: number },
    { given: { output: -1e-9 }, field: 'weights.output', expected: number },
    { given: { output: Number.NaN }, field: 'weights.output', expected: number },
    { given: { output: Number.POSITIVE_INFINITY }, field: 'weights.output', expected: number },
    { given: { output: 1_000.5 }, field: 'weights.output', expected: number },
    { given: { input: 0.0000001 }, field: 'weights.input', expected: number },
    { given: { input: 1 / 3 }, field: 'weights.input', expected: number },
    { given: { cachedInput: '0.1' }, field: 'weights.cachedInput', expected: number },
    { given: { cachedInput: null }, field: 'weights.cachedInput', expected: number },
    { given: { cached: 0.1 }, field: 'weights.cached', expected: three },
    { given: { constructor: 1 }, field: 'weights.constructor', expected: three },
    { given: null, field: 'weights', expected: 'an object of weights for input, cachedInput, output' },
    { given: 5, field: 'weights', expected: 'an object of weights for input, cachedInput, output' },
    { given: [1, 2], field: 'weights', expected: 'an object of weights for input, cachedInput, output' },
  ])('$given', ({ given, field, expected }) => {
    const bad = given as TokenWeights;
    const record = { ...JSON.parse(JSON.stringify(Limit.perMinute('tpm', 1))), weights: given };
    for (const make of [() => Limit.perMinute('tpm', 1, { weights: bad }), () => parseLimit(record, 'limit')]) {
      expect(make).toThrow(InvalidArgument);
      expect(make).toThrow(`Expected limit.${field} to be ${expected}, got `);
    }
    expect(() => made('tpm', bad)).toThrow(InvalidArgument);
  });

  it.each([
    { name: 'itpm', given: { output: 5 }, field: 'limit.weights.output', expected: 'weights for input, cachedInput' },
    { name: 'otpm', given: { input: 5 }, field: 'limit.weights.input', expected: 'weights for output' },
    {
      name: 'rpm',
      given: {},
      field: 'limit.weights',
      expected: 'left out: of limits that count one of tokens, inputTokens, outputTokens',
    },
    { name: 'usd', given: weights, field: 'limit.weights', expected: 'left out: of limits that count one of tokens' },
    { name: 'pages', given: weights, field: 'limit.weights', expected: 'and not custom' },
  ])('$given of a limit named $name', ({ name, given, field, expected }) => {
    const make = () => Limit.perMinute(name, 1, { weights: given });
    expect(make).toThrow(`Expected ${field} to be `);
    expect(make).toThrow(expected);
  });

  it('weights of slots', () => {
    const options = { leaseMs: 1, counts: 'tokens', weights };
    expect(() => Limit.concurrent('inflight', 1, options as never)).toThrow(
      'Expected limit.weights to be left out: the known fields are leaseMs, counts, mode',
    );
  });
});
