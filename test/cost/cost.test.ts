import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { costOfLoad, type Load, pricesIn, withPrices } from '../../lib/cost/cost.js';

const prices = pricesIn('us-east-1');
/** Quantities by line, those that are 0 left out. */
const quantities = (load: Load) =>
  Object.fromEntries(
    costOfLoad(load, prices).lines.flatMap(({ what, quantity }) => (quantity === 0 ? [] : [[what, Number(quantity.toFixed(6))]])),
  );

describe('what is counted', () => {
  it.each<{ when: string; load: Load; is: Record<string, number> }>([
    {
      when: 'a program acquires on one level',
      load: { requests: 1_000_000 },
      is: {
        acquire: 1_000_000,
        'usage rows': 900_000,
        'limits that are not cached': 25_000,
        'stream, read by Lambda': 1_000_000,
        'function calls': 10_000,
        'function time': 500,
        logs: 0.009,
      },
    },
    {
      when: 'it does on two levels and settles, and no bucket is written twice in a batch',
      load: { requests: 1_000_000, levels: 2, settle: true, writesPerBatch: 1, uncachedPercent: 0 },
      is: {
        acquire: 2_000_000,
        settle: 2_000_000,
        'usage rows': 36_000_000,
        'stream, read by Lambda': 4_000_000,
        'function calls': 40_000,
        'function time': 2_000,
        logs: 0.036,
      },
    },
    {
      when: 'leases are closed over HTTP: a call more, and a transaction of the record and the bucket',
      load: { requests: 1_000_000, via: 'api', settle: true, uncachedPercent: 0 },
      is: {
        acquire: 1_000_000,
        'settle, in a transaction': 4_000_000,
        'usage rows': 1_800_000,
        'stream, read by Lambda': 2_000_000,
        'function calls': 2_020_000,
        'function time': 16_000,
        'API Gateway': 2_000_000,
        logs: 1.818,
      },
    },
    {
      when: 'the gateway holds a function for as long as the answer takes, after the authorizer has drawn on the provider',
      load: { requests: 1_000_000, via: 'gateway', functionMs: 2_000, uncachedPercent: 0, writesPerBatch: 1_000 },
      is: {
        acquire: 2_000_000,
        'usage rows': 18_000,
        'stream, read by Lambda': 2_000_000,
        'function calls': 2_020_000,
        // 1,000 for the aggregator, 1,000,000 for the gateway, 15,000 for the authorizer.
        'function time': 1_016_000,
        'API Gateway': 1_000_000,
        logs: 1.818,
      },
    },
  ])('is right when $when', ({ load, is }) => {
    expect(quantities(load)).toEqual(is);
  });

  it('costs, for ten million requests of two levels that are settled, $48.06', () => {
    const { lines, totalUsd } = costOfLoad({ requests: 10_000_000, levels: 2, settle: true }, prices);
    expect(lines.map(({ what, usd }) => [what, Number(usd.toFixed(6))])).toEqual([
      ['acquire', 12.5],
      ['settle', 12.5],
      ['usage rows', 22.5],
      ['limits that are not cached', 0.03125],
      ['stream, read by Lambda', 0],
      ['function calls', 0.08],
      ['function time', 0.266668],
      ['API Gateway', 0],
      ['logs', 0.18],
    ]);
    expect(totalUsd).toBeCloseTo(48.057918, 9);
  });

  it('is nothing for no requests', () => {
    expect(costOfLoad({ requests: 0 }, prices).totalUsd).toBe(0);
  });

  it('is what the benchmark measured of each path', () => {
    const rows = readFileSync('docs/benchmarks.md', 'utf8')
      .split('\n')
      .map((row) => row.split('|').map((cell) => cell.trim()));
    const units = (path: string) => {
      const row = rows.find(([, name, calls]) => name === path && /^\d+$/.test(calls ?? ''));
      return { writes: Number(row?.[4]), reads: Number(row?.[5]) };
    };
    const one = (load: Omit<Load, 'requests'>) => quantities({ requests: 1, uncachedPercent: 100, ...load });

    expect(one({}).acquire).toBe(units('warm acquire, 8 limits').writes);
    expect(one({ levels: 2 }).acquire).toBe(units('two levels, warm').writes);
    expect(one({ levels: 3 }).acquire).toBe(units('three levels, first acquire, limits and levels cached here').writes);
    expect(one({ settle: true }).settle).toBe(units('settle alone').writes);
    expect(one({})['limits that are not cached']).toBe(units('first acquire of an entity, limits stored, not cached').reads);
  });
});

it.each<{ when: string; load: Load; says: string }>([
  {
    when: 'requests are below zero',
    load: { requests: -1 },
    says: 'Expected requests to be an integer from 0 to 9007199254740991, got -1',
  },
  {
    when: 'there are five levels',
    load: { requests: 1, levels: 5 },
    says: 'Expected levels to be an integer from 1 to 4, got 5',
  },
  {
    when: 'there is half a level',
    load: { requests: 1, levels: 0.5 },
    says: 'Expected levels to be an integer from 1 to 4, got 0.5',
  },
  {
    when: 'a batch has no writes',
    load: { requests: 1, writesPerBatch: 0 },
    says: 'Expected writesPerBatch to be an integer from 1 to 1000',
  },
  {
    when: 'a share is above all',
    load: { requests: 1, uncachedPercent: 101 },
    says: 'Expected uncachedPercent to be a number from 0 to 100',
  },
  {
    when: 'a function runs for no time',
    load: { requests: 1, functionMs: 0 },
    says: 'Expected functionMs to be an integer from 1 to 900000',
  },
])('a load is refused when $when', ({ load, says }) => {
  expect(() => costOfLoad(load, prices)).toThrow(says);
});

describe('prices', () => {
  it('are known of a region or refused', () => {
    expect(pricesIn('us-west-2').dynamoDbPerMillionWriteUnits).toBe(0.625);
    expect(() => pricesIn('mars-1')).toThrow(
      'Expected region to be one whose prices are known (us-east-1, us-east-2, us-west-2), or prices of your own, got "mars-1"',
    );
    expect(() => pricesIn('toString')).toThrow('Expected region');
  });

  it('of your own take the place of those of the list', () => {
    const own = withPrices(prices, { dynamoDbPerMillionWriteUnits: 1 });
    expect(costOfLoad({ requests: 1_000_000, writesPerBatch: 1_000 }, own).lines[0]).toMatchObject({ what: 'acquire', usd: 1 });
    expect(own.logsPerGb).toBe(0.5);
  });

  it.each([
    { given: { dynamoDb: 1 }, says: 'Expected prices.dynamoDb to be one of dynamoDbPerMillionWriteUnits, ' },
    { given: { logsPerGb: '1' }, says: 'Expected prices.logsPerGb to be dollars, a number from 0, got "1"' },
    { given: { logsPerGb: -1 }, says: 'Expected prices.logsPerGb to be dollars' },
    { given: [1], says: 'Expected prices to be an object of prices by name' },
  ])('of your own are refused when they are $given', ({ given, says }) => {
    expect(() => withPrices(prices, given)).toThrow(says);
  });
});
