import { expect, it } from 'vitest';
import { InvalidArgument } from '../../lib/errors.js';
import { type UsageRangeQuery, usageRange } from '../../lib/usage/usage-range.js';

const now = new Date('2026-11-22T13:34:56.789Z');

it.each([
  { when: 'nothing is said', query: {}, from: '2026-11-22T00:00:00.000Z', to: '2026-11-23T00:00:00.000Z' },
  {
    when: 'only the start is given',
    query: { from: '2026-11-01' },
    from: '2026-11-01T00:00:00.000Z',
    to: '2026-11-23T00:00:00.000Z',
  },
  {
    when: 'only the end is given',
    query: { to: '2026-11-22T12:00Z' },
    from: '2026-11-22T00:00:00.000Z',
    to: '2026-11-22T12:00:00.000Z',
  },
  {
    when: 'both are Dates',
    query: { from: new Date('2026-01-02T03:04:05.006Z'), to: new Date('2026-01-02T03:04:05.007Z') },
    from: '2026-01-02T03:04:05.006Z',
    to: '2026-01-02T03:04:05.007Z',
  },
  {
    when: 'strings carry offsets',
    query: { from: '2026-11-22T00:00:00+01:00', to: '2026-11-22T00:00:00.5-05:30' },
    from: '2026-11-21T23:00:00.000Z',
    to: '2026-11-22T05:30:00.500Z',
  },
  {
    when: 'a time carries no offset: it is UTC',
    query: { from: '2026-07-22T12:00:00', to: '2026-07-22T12:00:01' },
    from: '2026-07-22T12:00:00.000Z',
    to: '2026-07-22T12:00:01.000Z',
  },
  {
    when: 'months are named',
    query: { from: '2026-10', to: '2026-11' },
    from: '2026-10-01T00:00:00.000Z',
    to: '2026-11-01T00:00:00.000Z',
  },
  {
    when: 'a leap day is named',
    query: { from: '2024-02-29' },
    from: '2024-02-29T00:00:00.000Z',
    to: '2026-11-23T00:00:00.000Z',
  },
  {
    when: 'all of time is asked for',
    query: { from: new Date(0), to: '9999-12-31T23:59:59.999Z' },
    from: '1970-01-01T00:00:00.000Z',
    to: '9999-12-31T23:59:59.999Z',
  },
])('is from start to end when $when', ({ query, from, to }) => {
  const range = usageRange(query, now);

  expect([new Date(range.fromMs).toISOString(), new Date(range.toMs).toISOString()]).toEqual([from, to]);
  expect(range.by).toBe('day');
});

const instants = 'a Date or an ISO 8601 string from 1970-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z';

it.each([
  { query: { by: 'week' }, message: 'Expected by to be one of hour, day, month, got "week"' },
  { query: { by: null }, message: 'Expected by to be one of hour, day, month, got null' },
  { query: { by: 'toString' }, message: 'Expected by to be one of hour, day, month, got "toString"' },
  { query: { from: 'yesterday' }, message: `Expected from to be ${instants}, got "yesterday"` },
  { query: { from: '' }, message: `Expected from to be ${instants}, got ""` },
  { query: { from: '2026-02-30' }, message: `Expected from to be ${instants}, got "2026-02-30"` },
  { query: { from: '2026-11-31T00:00:00Z' }, message: `Expected from to be ${instants}, got "2026-11-31T00:00:00Z"` },
  { query: { from: '2026-13-01' }, message: `Expected from to be ${instants}, got "2026-13-01"` },
  { query: { to: '2026-11-23T25:00Z' }, message: `Expected to to be ${instants}, got "2026-11-23T25:00Z"` },
  { query: { to: '22 Nov 2026' }, message: `Expected to to be ${instants}, got "22 Nov 2026"` },
  { query: { to: new Date(Number.NaN) }, message: `Expected to to be ${instants}, got an invalid Date` },
  { query: { to: 1_795_352_400_000 }, message: `Expected to to be ${instants}, got 1795352400000` },
  { query: { from: new Date(-1) }, message: `Expected from to be ${instants}, got 1969-12-31T23:59:59.999Z` },
  { query: { to: new Date(8.64e15) }, message: `Expected to to be ${instants}, got +275760-09-13T00:00:00.000Z` },
  {
    query: { from: '2026-11-22', to: '2026-11-22' },
    message: 'Expected to to be after the start 2026-11-22T00:00:00.000Z, got "2026-11-22"',
  },
  { query: { from: '2026-11-23' }, message: 'Expected from to be before the end 2026-11-23T00:00:00.000Z, got "2026-11-23"' },
  { query: { to: '2026-11-22' }, message: 'Expected to to be after the start 2026-11-22T00:00:00.000Z, got "2026-11-22"' },
])('refuses $query, naming the field and what would be legal', ({ query, message }) => {
  const ask = () => usageRange(query as UsageRangeQuery, now);

  expect(ask).toThrow(InvalidArgument);
  expect(ask).toThrow(message);
});
