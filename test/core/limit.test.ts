import { describe, expect, expectTypeOf, it } from 'vitest';
import { type Counts, inferCounts } from '../../lib/core/counts.js';
import { Limit, parseLimit, rateOf, type TokenBucketLimit } from '../../lib/core/limit.js';
import type { ScheduleEntry } from '../../lib/core/schedule-entry.js';
import type { TokenWeights } from '../../lib/core/weights.js';
import { InvalidArgument } from '../../lib/errors.js';

const DAY_MS = 86_400_000;
const MOST = 9_007_199_254_740_991;

/** What a thrown InvalidArgument says. */
function refusal(make: () => unknown): { field: string; value: unknown; message: string } {
  try {
    make();
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    expect(error.code).toBe('InvalidArgument');
    return { field: error.field, value: error.value, message: error.message };
  }
  throw new Error('nothing was refused');
}

/** Values that TypeScript refuses, as a JavaScript caller may give them. */
const loose = <T>(value: unknown): T => value as T;

it.each([
  { when: 'perSecond', limit: Limit.perSecond('a', 5), fields: ['a', 5, 5, 1_000, 'custom'] },
  { when: 'perMinute', limit: Limit.perMinute('rpm', 100), fields: ['rpm', 100, 100, 60_000, 'requests'] },
  { when: 'perHour', limit: Limit.perHour('tph', 3_600), fields: ['tph', 3_600, 3_600, 3_600_000, 'tokens'] },
  { when: 'perDay', limit: Limit.perDay('usd', 24), fields: ['usd', 24, 24, 86_400_000, 'microUsd'] },
  { when: 'a burst', limit: Limit.perMinute('rpm', 10, { burst: 15 }), fields: ['rpm', 15, 10, 60_000, 'requests'] },
  {
    when: 'a smaller burst',
    limit: Limit.perMinute('rpm', 10, { burst: 1 }),
    fields: ['rpm', 1, 10, 60_000, 'requests'],
  },
  {
    when: 'counts given',
    limit: Limit.perMinute('rpm', 10, { counts: 'tokens' }),
    fields: ['rpm', 10, 10, 60_000, 'tokens'],
  },
  {
    when: 'custom',
    limit: Limit.custom({ name: 'c', capacity: 1_000, refillAmount: 10, refillPeriodMs: 7 }),
    fields: ['c', 1_000, 10, 7, 'custom'],
  },
  {
    when: 'custom with counts',
    limit: Limit.custom({ name: 'c', capacity: 1, refillAmount: 1, refillPeriodMs: 1, counts: 'inFlight' }),
    fields: ['c', 1, 1, 1, 'inFlight'],
  },
])('holds name, capacity, amount, period and counts of a limit made by $when', ({ limit, fields }) => {
  const [name, capacity, refillAmount, refillPeriodMs, counts] = fields;
  expect(limit).toEqual({ kind: 'bucket', name, capacity, refillAmount, refillPeriodMs, counts });
  expect(Object.isFrozen(limit)).toBe(true);
});

it.each<[string, Counts]>([
  ...['rps', 'rpm', 'rph', 'rpd'].map((name): [string, Counts] => [name, 'requests']),
  ...['tps', 'tpm', 'tph', 'tpd'].map((name): [string, Counts] => [name, 'tokens']),
  ['itpm', 'inputTokens'],
  ['otpm', 'outputTokens'],
  ...['usd', 'usd-month', 'usdPerDay'].map((name): [string, Counts] => [name, 'microUsd']),
  ['inflight', 'inFlight'],
  ...['rpw', 'RPM', 'rpm2', 'xrpm', 'tp', 'itph', 'inFlight', 'USD', 'eurusd', 'messages', 'constructor', 'toString'].map(
    (name): [string, Counts] => [name, 'custom'],
  ),
])('a limit named %s counts %s, whichever constructor made it', (name, counts) => {
  expect(inferCounts(name)).toBe(counts);
  expect(Limit.perDay(name, 1).counts).toBe(counts);
  expect(Limit.custom({ name, capacity: 1, refillAmount: 1, refillPeriodMs: 1 }).counts).toBe(counts);
});

it.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', 'a.b-c', '_', '-', '.', '0', 'A'.repeat(64)])(
  'the name %s is legal, and kept',
  (name) => {
    expect(Limit.perMinute(name, 1).name).toBe(name);
    expect(parseLimit(JSON.parse(JSON.stringify(Limit.perMinute(name, 1))), 'limit').name).toBe(name);
  },
);

it.each([
  { when: 'empty', name: '', shown: '""' },
  { when: '65 characters long', name: 'a'.repeat(65), shown: `"${'a'.repeat(65)}"` },
  { when: 'with a space', name: 'a b', shown: '"a b"' },
  { when: 'with a line feed at its end', name: 'rpm\n', shown: '"rpm\\n"' },
  { when: 'with a #', name: 'a#b', shown: '"a#b"' },
  { when: 'not ASCII', name: 'é', shown: '"é"' },
  { when: 'undefined', name: undefined, shown: 'undefined' },
  { when: 'a number', name: 7, shown: '7' },
])('refuses a name that is $when', ({ name, shown }) => {
  expect(refusal(() => Limit.perMinute(loose(name), 1))).toEqual({
    field: 'limit.name',
    value: name,
    message: `Expected limit.name to be 1 to 64 characters of A-Z a-z 0-9 _ - ., got ${shown}`,
  });
});

const custom = (fields: object) => () =>
  Limit.custom({ name: 'c', capacity: 1, refillAmount: 1, refillPeriodMs: 1_000, ...fields });
const upToMost = 'an integer from 1 to 9007199254740991';

it.each([
  { make: () => Limit.perMinute('l', 0), field: 'limit.amount', expected: upToMost, got: '0' },
  { make: () => Limit.perMinute('l', -1), field: 'limit.amount', expected: upToMost, got: '-1' },
  { make: () => Limit.perMinute('l', 1.5), field: 'limit.amount', expected: upToMost, got: '1.5' },
  { make: () => Limit.perMinute('l', Number.NaN), field: 'limit.amount', expected: upToMost, got: 'NaN' },
  { make: () => Limit.perMinute('l', Number.POSITIVE_INFINITY), field: 'limit.amount', expected: upToMost, got: 'Infinity' },
  { make: () => Limit.perMinute('l', 2 ** 53), field: 'limit.amount', expected: upToMost, got: '9007199254740992' },
  { make: () => Limit.perMinute('l', loose('100')), field: 'limit.amount', expected: upToMost, got: '"100"' },
  { make: () => Limit.perMinute('l', loose(100n)), field: 'limit.amount', expected: upToMost, got: '100n' },
  { make: () => Limit.perMinute('l', loose(undefined)), field: 'limit.amount', expected: upToMost, got: 'undefined' },
  { make: () => Limit.perMinute('l', 1, { burst: 0 }), field: 'limit.burst', expected: upToMost, got: '0' },
  { make: () => Limit.perMinute('l', 1, { burst: loose(null) }), field: 'limit.burst', expected: upToMost, got: 'null' },
  {
    make: () => Limit.perMinute('l', 0, { burst: 5 }),
    field: 'limit.amount',
    expected: 'an integer from 1 to 600000000000000',
    got: '0',
  },
  {
    make: () => Limit.perSecond('l', 10_000_000_000_001),
    field: 'limit.amount',
    expected: 'an integer from 1 to 10000000000000',
    got: '10000000000001',
  },
  { make: custom({ capacity: 0 }), field: 'limit.capacity', expected: upToMost, got: '0' },
  { make: custom({ capacity: -0 }), field: 'limit.capacity', expected: upToMost, got: '-0' },
  { make: custom({ refillAmount: 0 }), field: 'limit.refillAmount', expected: 'an integer from 1 to 10000000000000', got: '0' },
  {
    make: custom({ refillAmount: 10_000_000_001, refillPeriodMs: 1 }),
    field: 'limit.refillAmount',
    expected: 'an integer from 1 to 10000000000',
    got: '10000000001',
  },
  { make: custom({ refillPeriodMs: 0 }), field: 'limit.refillPeriodMs', expected: 'an integer from 1 to 316224000000', got: '0' },
  {
    make: custom({ refillPeriodMs: 316_224_000_001 }),
    field: 'limit.refillPeriodMs',
    expected: 'an integer from 1 to 316224000000',
    got: '316224000001',
  },
  {
    make: () => Limit.perDay('l', 1, { burst: 10_000_001 }),
    field: 'limit.burst',
    expected: 'at most 10000000, so that it refills within 10000000 days',
    got: '10000001',
  },
  {
    make: custom({ capacity: MOST }),
    field: 'limit.capacity',
    expected: 'at most 864000000000, so that it refills within 10000000 days',
    got: '9007199254740991',
  },
  {
    make: custom({ counts: 'bytes' }),
    field: 'limit.counts',
    expected: 'one of requests, tokens, inputTokens, outputTokens, microUsd, inFlight, custom',
    got: '"bytes"',
  },
  {
    make: () => Limit.perMinute('l', 1, loose({ brust: 2 })),
    field: 'options.brust',
    expected: 'left out: the known fields are burst, counts, mode, weights, schedule',
    got: '2',
  },
  { make: () => Limit.perMinute('l', 1, loose(null)), field: 'options', expected: 'an object', got: 'null' },
  {
    make: custom({ kind: 'bucket' }),
    field: 'limit.kind',
    expected: 'left out: the known fields are name, capacity, refillAmount, refillPeriodMs, counts, mode, weights, schedule',
    got: '"bucket"',
  },
  { make: () => Limit.custom(loose(undefined)), field: 'limit', expected: 'an object', got: 'undefined' },
])('refuses $field $got, and says what is legal', ({ make, field, expected, got }) => {
  const { field: named, message } = refusal(make);
  expect(named).toBe(field);
  expect(message).toBe(`Expected ${field} to be ${expected}, got ${got}`);
});

it.each([
  { when: '1e10 in a millisecond', fields: [1, 10_000_000_000, 1], tokenFs: 100n },
  { when: '2^53 - 1 in 901 s', fields: [1, MOST, 900_720], tokenFs: 101n },
  { when: '1 in 3,660 days', fields: [1, 1, 3_660 * DAY_MS], tokenFs: 316_224_000_000_000_000_000_000n },
  { when: 'a window of 1e7 days', fields: [10_000_000, 1, DAY_MS], tokenFs: 86_400_000_000_000_000_000n },
  { when: 'a capacity of 2^53 - 1', fields: [MOST, 10_000_000_000, 1], tokenFs: 100n },
] as const)('allows $when', ({ fields: [capacity, refillAmount, refillPeriodMs], tokenFs }) => {
  const limit = Limit.custom({ name: 'c', capacity, refillAmount, refillPeriodMs });
  expect(rateOf(limit)).toEqual({ tokenFs, windowFs: BigInt(capacity) * tokenFs });
});

describe('parseLimit', () => {
  const record = { kind: 'bucket', name: 'rpm', capacity: 15, refillAmount: 10, refillPeriodMs: 60_000, counts: 'requests' };

  it('returns a limit that was made here as it is', () => {
    const limit = Limit.perMinute('rpm', 10);
    expect(parseLimit(limit, 'limits[0]')).toBe(limit);
  });

  it('makes the same limit of its record, frozen and with a rate', () => {
    const limit = parseLimit(JSON.parse(JSON.stringify(record)), 'limits[0]');
    expect(limit).toEqual(Limit.perMinute('rpm', 10, { burst: 15 }));
    expect(Object.isFrozen(limit)).toBe(true);
    expect(rateOf(limit as TokenBucketLimit)).toEqual({ tokenFs: 6_000_000_000_000_000n, windowFs: 90_000_000_000_000_000n });
  });

  it('infers counts and kind where a record has neither', () => {
    expect(parseLimit({ name: 'rpm', capacity: 15, refillAmount: 10, refillPeriodMs: 60_000 }, 'limits[0]')).toEqual(record);
  });

  it.each([
    { value: null, field: 'limits[2]', expected: 'a limit made by Limit.perMinute and its kind', got: 'null' },
    { value: 'rpm', field: 'limits[2]', expected: 'a limit made by Limit.perMinute and its kind', got: '"rpm"' },
    {
      value: { ...record, kind: 'window' },
      field: 'limits[2].kind',
      expected: "'bucket', 'quota', 'session' or 'concurrent'",
      got: '"window"',
    },
    {
      value: { ...record, kind: 'quota' },
      field: 'limits[2].refillAmount',
      expected: /^left out: the known fields are per, timeZone, counts, mode/,
      got: '10',
    },
    {
      value: { ...record, name: 'a b' },
      field: 'limits[2].name',
      expected: '1 to 64 characters of A-Z a-z 0-9 _ - .',
      got: '"a b"',
    },
    { value: { ...record, capacity: '15' }, field: 'limits[2].capacity', expected: upToMost, got: '"15"' },
    { value: { ...record, counts: null }, field: 'limits[2].counts', expected: /^one of requests, tokens/, got: 'null' },
    {
      value: { ...record, burst: 3 },
      field: 'limits[2].burst',
      expected: /^left out: the known fields are kind, name,/,
      got: '3',
    },
    {
      value: JSON.parse('{"__proto__":{"capacity":1}}'),
      field: 'limits[2].__proto__',
      expected: /^left out/,
      got: '{"capacity":1}',
    },
    { value: [], field: 'limits[2].name', expected: /^1 to 64/, got: 'undefined' },
  ])('refuses $field $got', ({ value, field, expected, got }) => {
    const { field: named, message } = refusal(() => parseLimit(value, 'limits[2]'));
    expect(named).toBe(field);
    expect(message).toContain(`Expected ${field} to be `);
    expect(message).toMatch(expected instanceof RegExp ? new RegExp(expected.source.replace('^', ' be ')) : expected);
    expect(message.endsWith(`, got ${got}`)).toBe(true);
  });
});

it('a copy of a limit is not taken for the limit: its fields were not checked', () => {
  expect(refusal(() => rateOf({ ...Limit.perMinute('rpm', 1), capacity: 0 })).message).toMatch(
    /^Expected limit to be a value made by Limit, got /,
  );
});

it('a limit cannot be changed after it was checked', () => {
  const limit = Limit.perMinute('rpm', 10);
  expect(() => Object.assign(limit, { capacity: MOST })).toThrow(TypeError);
  expect(limit.capacity).toBe(10);
});

it('is readonly to the compiler, and its options take no other fields', () => {
  expectTypeOf(Limit.perMinute).returns.toEqualTypeOf<TokenBucketLimit>();
  expectTypeOf<TokenBucketLimit>().toEqualTypeOf<Readonly<TokenBucketLimit>>();
  expectTypeOf<Parameters<typeof Limit.perMinute>[2]>().toEqualTypeOf<
    | {
        readonly burst?: number;
        readonly counts?: Counts;
        readonly mode?: 'enforce' | 'observe';
        readonly schedule?: readonly ScheduleEntry[];
        readonly weights?: TokenWeights;
      }
    | undefined
  >();
});
