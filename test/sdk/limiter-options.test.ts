import { expect, it } from 'vitest';
import { FakeClock } from '../../lib/clock.js';
import { InvalidArgument } from '../../lib/errors.js';
import { RateLimiter } from '../../lib/limiter.js';
import { MemoryStore } from '../../lib/store/memory-store.js';

const memory = { store: new MemoryStore() };

it.each([
  { when: 'there are none', options: undefined, says: 'Expected options to be an object, got undefined' },
  {
    when: 'one is unknown',
    options: { ...memory, cacheTtl: 5 },
    says: 'Expected options.cacheTtl to be left out: options has the fields tableName, client, namespace, store, clock, cacheTtlMs',
  },
  {
    when: 'there is neither a table nor a store',
    options: {},
    says: 'Expected tableName to be 3 to 255 characters of A-Z a-z 0-9 _ - ., or the ARN of a table, got undefined',
  },
  { when: 'the table name has a space', options: { tableName: 'head gate' }, says: 'got "head gate"' },
  {
    when: 'there are a table and a store',
    options: { ...memory, tableName: 'headgate' },
    says: 'Expected tableName to be left out when a store is given',
  },
  { when: 'the store is none', options: { store: {} }, says: 'Expected store to be a Store, such as new MemoryStore(), got {}' },
  { when: 'the store is null', options: { store: null }, says: 'Expected store to be a Store' },
  {
    when: 'the client is none',
    options: { tableName: 'headgate', client: {} },
    says: 'Expected client to be a DynamoDBClient, got {}',
  },
  {
    when: 'the clock is none',
    options: { ...memory, clock: Date },
    says: 'Expected clock to be a Clock: { nowNs(), sleep(ms, signal) }, got a function',
  },
  { when: 'the listener is none', options: { ...memory, onEvent: 'log' }, says: 'Expected onEvent to be a function, got "log"' },
  { when: 'the clock cannot sleep', options: { ...memory, clock: { nowNs: () => 0n } }, says: 'Expected clock to be a Clock' },
  {
    when: 'the clock is null',
    options: { ...memory, clock: null },
    says: 'Expected clock to be a Clock: { nowNs(), sleep(ms, signal) }, got null',
  },
  {
    when: 'the namespace is empty',
    options: { ...memory, namespace: '' },
    says: `Expected namespace to be 1 to 256 bytes of printable UTF-8 without #, got ""`,
  },
  {
    when: 'the namespace has a #',
    options: { ...memory, namespace: 'a#b' },
    says: `Expected namespace to be 1 to 256 bytes of printable UTF-8 without #, got "a#b"`,
  },
  {
    when: 'cacheTtlMs is negative',
    options: { ...memory, cacheTtlMs: -1 },
    says: 'Expected cacheTtlMs to be an integer from 0 to 86400000, got -1',
  },
  { when: 'cacheTtlMs is infinite', options: { ...memory, cacheTtlMs: Number.POSITIVE_INFINITY }, says: 'got Infinity' },
  {
    when: 'deadlineMs is 0',
    options: { ...memory, deadlineMs: 0 },
    says: 'Expected deadlineMs to be an integer from 1 to 60000, got 0',
  },
  {
    when: 'maxQueue is 0',
    options: { ...memory, maxQueue: 0 },
    says: 'Expected maxQueue to be an integer from 1 to 10000000, got 0',
  },
  { when: 'prefetch is a number', options: { ...memory, prefetch: 0.01 }, says: 'Expected prefetch to be an object, got 0.01' },
  {
    when: 'the share of prefetch is 0',
    options: { ...memory, prefetch: { share: 0 } },
    says: 'Expected prefetch.share to be a number above 0, at most 1, got 0',
  },
  {
    when: 'prefetch has an unknown field',
    options: { ...memory, prefetch: { share: 0.1, lots: 1 } },
    says: 'Expected prefetch.lots to be left out',
  },
  {
    when: 'onUnavailable is unknown',
    options: { ...memory, onUnavailable: 'open' },
    says: "Expected onUnavailable to be 'deny', 'allow', 'local' or { local: { share } }, got \"open\"",
  },
  { when: 'onUnavailable is null', options: { ...memory, onUnavailable: null }, says: 'Expected onUnavailable to be' },
  {
    when: 'the local share is above 1',
    options: { ...memory, onUnavailable: { local: { share: 1.5 } } },
    says: 'Expected onUnavailable.local.share to be a number above 0, at most 1, got 1.5',
  },
  {
    when: 'the local share is missing',
    options: { ...memory, onUnavailable: { local: {} } },
    says: 'Expected onUnavailable.local.share to be a number above 0, at most 1, got undefined',
  },
])('a limiter is not made of options when $when', ({ options, says }) => {
  const make = () => new RateLimiter(options as never);

  expect(make).toThrow(InvalidArgument);
  expect(make).toThrow(says);
});

it('a limiter is made of every option at its bounds', () => {
  const policies = ['deny', 'allow', 'local', { local: { share: 1 } }] as const;

  for (const onUnavailable of policies) {
    for (const deadlineMs of [1, 60_000]) {
      const options = {
        ...memory,
        clock: new FakeClock(),
        cacheTtlMs: 0,
        maxQueue: 1,
        prefetch: { share: 1 },
        onUnavailable,
        deadlineMs,
      };
      expect(new RateLimiter(options)).toBeInstanceOf(RateLimiter);
    }
  }
});
