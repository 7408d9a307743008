import { describe, expect, it } from 'vitest';
import {
  ChangeConflict,
  Contended,
  ContextTooLong,
  CostExceedsCapacity,
  CostExceedsShard,
  EntityExists,
  EntityHasChildren,
  InvalidArgument,
  KeyNotActive,
  LeaseClosed,
  LimiterUnavailable,
  NamespaceExists,
  NoLimitsConfigured,
  QueueFull,
  ResourceDisabled,
  ResourceNotAllowed,
  UnknownLimit,
} from '../../lib/errors.js';
import { problem, problemOf } from '../../lib/http/problem.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import type { LimitReport } from '../../lib/report.js';

const level = { entity: 'acme', resource: 'gpt-4' };
const invalid = (field: string) => new InvalidArgument({ field, value: -1, expected: 'at least 0' });

const tpm: LimitReport = {
  ...level,
  limit: 'tpm',
  counts: 'tokens',
  capacity: 10_000,
  available: -1_500,
  requested: 500,
  retryAfterMs: 12_001,
  resetMs: 69_000,
  windowMs: 60_000,
};
const rpm: LimitReport = {
  ...tpm,
  limit: 'rpm',
  counts: 'requests',
  capacity: 100,
  available: 99,
  requested: 1,
  retryAfterMs: 0,
  resetMs: 600,
};

describe('the problem of an error', () => {
  it.each([
    { error: invalid('consume.tpm'), status: 400, code: 'InvalidArgument', title: 'Bad request', more: { field: 'consume.tpm' } },
    {
      error: new CostExceedsCapacity({ ...level, limit: 'tpm', capacity: 100, requested: 101 }),
      status: 400,
      code: 'CostExceedsCapacity',
      title: 'Bad request',
    },
    {
      error: new UnknownLimit({ limit: 'tpd', known: ['tpm'], where: 'consume' }),
      status: 400,
      code: 'UnknownLimit',
      title: 'Bad request',
    },
    { error: new NoLimitsConfigured('acme', 'gpt-4'), status: 400, code: 'NoLimitsConfigured', title: 'Bad request' },
    {
      error: new CostExceedsShard({ ...level, limit: 'tpm', shardCapacity: 50, shards: 2, requested: 51 }),
      status: 400,
      code: 'CostExceedsShard',
      title: 'Bad request',
    },
    {
      error: new ContextTooLong({ ...level, tier: 'free', maxContextTokens: 8_000, contextTokens: 8_001 }),
      status: 400,
      code: 'ContextTooLong',
      title: 'Bad request',
    },
    {
      error: new ResourceDisabled('acme', 'gpt-4', 'resource'),
      status: 403,
      code: 'ResourceDisabled',
      title: 'Forbidden',
    },
    {
      error: new ResourceNotAllowed({ ...level, tier: 'free', allowed: ['gpt-4o*'] }),
      status: 403,
      code: 'ResourceNotAllowed',
      title: 'Forbidden',
    },
    { error: new LeaseClosed('a-lease'), status: 409, code: 'LeaseClosed', title: 'Conflict' },
    { error: new EntityExists('acme'), status: 409, code: 'EntityExists', title: 'Conflict' },
    { error: new KeyNotActive('acme', '1f', 'it was revoked'), status: 409, code: 'KeyNotActive', title: 'Conflict' },
    { error: new NamespaceExists('acme', false), status: 409, code: 'NamespaceExists', title: 'Conflict' },
    { error: new EntityHasChildren('acme', 3), status: 409, code: 'EntityHasChildren', title: 'Conflict' },
    { error: new ChangeConflict('entity "acme"', 8), status: 409, code: 'ChangeConflict', title: 'Conflict' },
    { error: invalid('HEADGATE_TABLE'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
    { error: invalid('HEADGATE_LEASE_KEY'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
    { error: invalid('HEADGATE_UPSTREAMS'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
    { error: invalid('HEADGATE_PRICES'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
    { error: invalid('tableName'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
    { error: invalid('namespace'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
    { error: invalid('deadlineMs'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
    { error: invalid('client.region'), status: 500, code: 'InvalidArgument', title: 'Set up wrongly' },
  ])('is $status $code for $error.name: $error.message', ({ error, status, code, title, more = {} }) => {
    expect(problemOf(error)).toEqual({
      status,
      headers: { 'Content-Type': 'application/problem+json' },
      body: { type: 'about:blank', title, status, code, detail: error.message, ...more },
    });
  });

  it.each([
    { error: new LimiterUnavailable('no answer'), code: 'LimiterUnavailable' },
    { error: new Contended('acme on gpt-4', 12), code: 'Contended' },
    { error: new QueueFull('acme on gpt-4', 20_000), code: 'QueueFull' },
  ])('is a 503 that says when to come again for $code: neither a grant nor a denial', ({ error, code }) => {
    expect(problemOf(error)).toEqual({
      status: 503,
      headers: { 'Content-Type': 'application/problem+json', 'Retry-After': '1' },
      body: { type: 'about:blank', title: 'No decision', status: 503, code, detail: error.message },
    });
  });

  it('is a 429 with the wait in whole seconds, every limit in the headers, and none below zero', () => {
    const error = new RateLimitExceeded({ retryAfterMs: 12_001, violations: [tpm], passed: [rpm] });
    expect(problemOf(error)).toEqual({
      status: 429,
      headers: {
        'Content-Type': 'application/problem+json',
        'Retry-After': '13',
        RateLimit: '"tpm";r=0;t=13, "rpm";r=99;t=1',
        'RateLimit-Policy': '"tpm";q=10000;w=60, "rpm";q=100;w=60',
        'x-ratelimit-limit-requests': '100',
        'x-ratelimit-remaining-requests': '99',
        'x-ratelimit-reset-requests': '600ms',
        'x-ratelimit-limit-tokens': '10000',
        'x-ratelimit-remaining-tokens': '0',
        'x-ratelimit-reset-tokens': '1m9s',
      },
      body: {
        type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
        title: 'Rate limit exceeded',
        status: 429,
        code: 'RateLimitExceeded',
        detail: 'Rate limit exceeded, retry after 12001 ms: tpm of acme on gpt-4 has -1500 of 10000, 500 requested',
        retryAfterMs: 12_001,
        violations: [tpm],
        passed: [rpm],
      },
    });
  });

  it.each([
    { thrown: new Error('connect ECONNREFUSED 10.0.0.7:8000'), what: 'an error of the network' },
    { thrown: new TypeError("Cannot read properties of undefined (reading 'secret')"), what: 'a bug' },
    { thrown: 'a secret', what: 'a string' },
    { thrown: undefined, what: 'nothing at all' },
    { thrown: { status: 200, code: 'secret' }, what: 'an object that looks like an answer' },
  ])('is a 500 that tells nothing of the inside for $what', ({ thrown }) => {
    const { status, body } = problemOf(thrown);
    expect([status, body.status, body.code]).toEqual([500, 500, 'InternalError']);
    expect(JSON.stringify(body)).not.toMatch(/secret|10\.0\.0\.7|undefined/);
  });
});

it('a problem may have headers and members of its own, beside those that all have', () => {
  const made = problem(404, 'NotFound', 'Not found', 'No route', { headers: { Allow: 'GET' }, details: { known: ['/v1'] } });
  expect(made).toEqual({
    status: 404,
    headers: { 'Content-Type': 'application/problem+json', Allow: 'GET' },
    body: { type: 'about:blank', title: 'Not found', status: 404, code: 'NotFound', detail: 'No route', known: ['/v1'] },
  });
});
