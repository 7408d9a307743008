import { describe, expect, it } from 'vitest';
import { upstreamWaitMs } from '../../lib/clients/upstream-wait.js';

/** 2027-01-15T08:00:00Z. */
const NOW_MS = 1_800_000_000_000;

type Headers = Readonly<Record<string, string>>;
const answer = (status: number, headers: Headers = {}, body = '') => new Response(body, { status, headers });
const waitOf = (given: Response, attempt = 0, random = 0.5) => upstreamWaitMs(given, attempt, NOW_MS, () => random);
const json = (status: number, body: unknown, headers: Headers = {}) =>
  answer(status, { 'content-type': 'application/json; charset=UTF-8', ...headers }, JSON.stringify(body));

describe('the wait that a provider asks for', () => {
  it.each([
    { when: 'in seconds', headers: { 'retry-after': '20' }, ms: 20_000 },
    { when: 'in fractions of seconds', headers: { 'retry-after': '0.25' }, ms: 250 },
    { when: 'not at all', headers: { 'retry-after': '0' }, ms: 0 },
    { when: 'until a date', headers: { 'retry-after': 'Fri, 15 Jan 2027 08:00:30 GMT' }, ms: 30_000 },
    { when: 'until a date that has passed', headers: { 'retry-after': 'Fri, 15 Jan 2027 07:00:00 GMT' }, ms: 0 },
    { when: 'in milliseconds, which are more exact', headers: { 'retry-after-ms': '1500.4', 'retry-after': '2' }, ms: 1_501 },
    {
      when: 'by OpenAI’s reset of what nothing is left of',
      headers: {
        'x-ratelimit-remaining-requests': '12',
        'x-ratelimit-reset-requests': '1s',
        'x-ratelimit-remaining-tokens': '0',
        'x-ratelimit-reset-tokens': '6m0s',
      },
      ms: 360_000,
    },
    {
      when: 'by the later of two resets',
      headers: {
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': '1h0m2.5s',
        'x-ratelimit-remaining-tokens': '0',
        'x-ratelimit-reset-tokens': '120ms',
      },
      ms: 3_602_500,
    },
    {
      when: 'by Azure’s reset, in whole seconds',
      headers: { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '36' },
      ms: 36_000,
    },
    {
      when: 'by Anthropic’s reset, an instant',
      headers: {
        'anthropic-ratelimit-output-tokens-remaining': '0',
        'anthropic-ratelimit-output-tokens-reset': '2027-01-15T08:00:07Z',
        'anthropic-ratelimit-input-tokens-remaining': '41000',
        'anthropic-ratelimit-input-tokens-reset': '2027-01-15T08:00:59Z',
      },
      ms: 7_000,
    },
    {
      when: 'by Anthropic’s most restrictive limit',
      headers: { 'anthropic-ratelimit-tokens-remaining': '0', 'anthropic-ratelimit-tokens-reset': '2027-01-15T08:00:03Z' },
      ms: 3_000,
    },
    {
      when: 'rather than by a reset',
      headers: { 'retry-after': '1', 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '6m0s' },
      ms: 1_000,
    },
  ])('is kept when it asks $when', async ({ headers, ms }) => {
    expect(await waitOf(answer(429, headers))).toBe(ms);
  });

  const exhausted = (...details: object[]) => ({
    error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Exhausted', details },
  });
  const retryInfo = (retryDelay: string) => ({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay });

  it.each([
    { when: 'in seconds', body: exhausted({ '@type': 'type.googleapis.com/google.rpc.Help' }, retryInfo('22s')), ms: 22_000 },
    { when: 'in fractions of seconds', body: exhausted(retryInfo('10.689924287s')), ms: 10_690 },
    { when: 'of a stream, as a list', body: [exhausted(retryInfo('3s'))], ms: 3_000 },
  ])('is kept when the body of Google’s error says it $when', async ({ body, ms }) => {
    const given = json(429, body);
    expect(await waitOf(given)).toBe(ms);
    expect(await given.json()).toEqual(body);
  });

  it('by a header comes before one in the body', async () => {
    expect(await waitOf(json(429, exhausted(retryInfo('22s')), { 'retry-after': '5' }))).toBe(5_000);
  });
});

describe('the wait without a word from the provider', () => {
  it.each([
    { attempt: 0, least: 250, most: 500 },
    { attempt: 1, least: 500, most: 1_000 },
    { attempt: 2, least: 1_000, most: 2_000 },
    { attempt: 5, least: 8_000, most: 16_000 },
    { attempt: 6, least: 15_000, most: 30_000 },
    { attempt: 10, least: 15_000, most: 30_000 },
  ])('is $least to $most ms after $attempt other waits', async ({ attempt, least, most }) => {
    expect(await waitOf(answer(429), attempt, 0)).toBe(least);
    expect(await waitOf(answer(503), attempt, 0.999_999)).toBe(most);
  });

  it('differs from call to call', async () => {
    const waits = await Promise.all(Array.from({ length: 20 }, () => upstreamWaitMs(answer(529), 6, NOW_MS)));
    expect(new Set(waits).size).toBeGreaterThan(10);
    for (const wait of waits) expect(wait).toSatisfy((ms: number) => ms >= 15_000 && ms <= 30_000);
  });

  // At random 0.5 it is 375 ms.
  it.each([
    { when: 'is empty', headers: { 'retry-after': '' } },
    { when: 'is no date', headers: { 'retry-after': 'soon' } },
    { when: 'is negative', headers: { 'retry-after': '-5', 'retry-after-ms': '-1' } },
    { when: 'says that something is left', headers: { 'x-ratelimit-remaining-tokens': '5', 'x-ratelimit-reset-tokens': '6m0s' } },
    { when: 'does not say what is left', headers: { 'x-ratelimit-remaining-tokens': '-1', 'x-ratelimit-reset-tokens': '0' } },
    { when: 'has a reset that is none', headers: { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': 'later' } },
  ])('is taken too when a header $when', async ({ headers }) => {
    expect(await waitOf(answer(429, headers as Headers))).toBe(375);
  });

  it.each([
    { when: 'no JSON', body: 'Too many requests' },
    { when: 'JSON of another kind', body: '{"error":"busy"}' },
    { when: 'details that are none', body: '{"error":{"details":[null,7,{"retryDelay":22},{"retryDelay":"soon"}]}}' },
  ])('is taken too when the body is $when', async ({ body }) => {
    expect(await waitOf(answer(429, { 'content-type': 'application/json' }, body))).toBe(375);
  });

  it('is taken too when the body breaks off', async () => {
    const broken = new ReadableStream({ start: (controller) => controller.error(new Error('reset')) });
    expect(await waitOf(new Response(broken, { status: 429, headers: { 'content-type': 'application/json' } }))).toBe(375);
  });
});

describe('an answer that is not worth another try', () => {
  it.each([200, 400, 401, 403, 404, 408, 409, 413, 422, 500, 502, 504])('is one of status %i', async (status) => {
    expect(await waitOf(answer(status, { 'retry-after': '1' }))).toBeUndefined();
  });

  it('is one whose provider says so', async () => {
    expect(await waitOf(answer(429, { 'x-should-retry': 'false', 'retry-after': '1' }))).toBeUndefined();
    expect(await waitOf(answer(429, { 'x-should-retry': 'true', 'retry-after': '1' }))).toBe(1_000);
  });

  it('is one for want of credit', async () => {
    const body = {
      error: { message: 'You exceeded your current quota', type: 'insufficient_quota', code: 'insufficient_quota' },
    };
    expect(await waitOf(json(429, body))).toBeUndefined();
    expect(await waitOf(json(429, { error: { type: 'tokens', code: 'rate_limit_exceeded' } }, { 'retry-after': '1' }))).toBe(
      1_000,
    );
  });
});
