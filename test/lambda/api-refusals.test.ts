import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ScopeOptions } from '../../lib/config/scope-rules.js';
import { coldStart, nowhere, redeployed, tokens, unreachable } from './cold-start.js';
import { answered, DeployedApi, posting, statusOf, usageOf } from './deployed-api.js';

let api: DeployedApi;

beforeAll(async () => {
  api = await DeployedApi.start();
  await api.limited('acme');
});

afterEach(() => {
  redeployed();
  vi.restoreAllMocks();
});

const good = { entity: 'acme', resource: 'gpt-4', consume: { rpm: 1, tpm: 400 } };

describe('a body that POST /v1/acquire cannot take', () => {
  it.each<{ when: string; body: unknown; field: string; isBase64Encoded?: boolean }>([
    { when: 'there is none', body: '', field: 'body' },
    { when: 'it is no JSON', body: '{"entity":', field: 'body' },
    { when: 'it is no UTF-8', body: '/wD+', isBase64Encoded: true, field: 'body' },
    { when: 'it is null', body: 'null', field: 'body' },
    { when: 'it is a list', body: [good], field: 'body' },
    { when: 'it is text', body: '"acme"', field: 'body' },
    { when: 'a field is unknown', body: { ...good, burst: 1 }, field: 'body.burst' },
    { when: 'it brings limits of its own', body: { ...good, limits: [] }, field: 'body.limits' },
    { when: 'it brings a signal', body: { ...good, signal: {} }, field: 'body.signal' },
    { when: 'the entity is missing', body: { ...good, entity: undefined }, field: 'entity' },
    { when: 'the entity is empty', body: { ...good, entity: '' }, field: 'entity' },
    { when: 'the entity holds a #', body: { ...good, entity: 'a#b' }, field: 'entity' },
    { when: 'the entity is a number', body: { ...good, entity: 7 }, field: 'entity' },
    { when: 'the resource is missing', body: { ...good, resource: undefined }, field: 'resource' },
    { when: 'the resource is too long', body: { ...good, resource: 'r'.repeat(257) }, field: 'resource' },
    { when: 'consume is missing', body: { ...good, consume: undefined }, field: 'consume' },
    { when: 'consume is null', body: { ...good, consume: null }, field: 'consume' },
    { when: 'consume is a list', body: { ...good, consume: [1] }, field: 'consume' },
    { when: 'a cost is negative', body: { ...good, consume: { tpm: -1 } }, field: 'consume.tpm' },
    { when: 'a cost is a fraction', body: { ...good, consume: { tpm: 0.5 } }, field: 'consume.tpm' },
    { when: 'a cost is text', body: { ...good, consume: { tpm: '1' } }, field: 'consume.tpm' },
    { when: 'the longest wait is negative', body: { ...good, maxWaitMs: -1 }, field: 'maxWaitMs' },
    { when: 'the context is a fraction', body: { ...good, contextTokens: 0.5 }, field: 'contextTokens' },
    { when: 'the priority is unknown', body: { ...good, priority: 'urgent' }, field: 'priority' },
    { when: 'another resource lacks its costs', body: { ...good, also: [{ resource: 'search' }] }, field: 'also[0].consume' },
  ])('is a 400 that names the field when $when, and nothing is consumed', async ({ body, field, isBase64Encoded = false }) => {
    const refused = await api.answer({ ...posting('/v1/acquire', body), isBase64Encoded });
    expect(refused).toMatchObject({
      status: 400,
      headers: { 'Content-Type': 'application/problem+json' },
      body: { status: 400, code: 'InvalidArgument', field, detail: expect.stringContaining(`Expected ${field} to be `) },
    });
    expect(await api.available('acme')).toEqual({ rpm: 3, tpm: 1_000 });
  });

  it.each<{ when: string; rules: ScopeOptions; more?: object; status: number; code: string }>([
    { when: 'the resource is disabled', rules: { disabled: true }, status: 403, code: 'ResourceDisabled' },
    { when: 'the tier does not allow it', rules: { allowedResources: ['gpt-4-*'] }, status: 403, code: 'ResourceNotAllowed' },
    { when: 'the call costs too many tokens', rules: { maxContextTokens: 399 }, status: 400, code: 'ContextTooLong' },
    {
      when: 'the call is said to be too long',
      rules: { maxContextTokens: 400 },
      more: { contextTokens: 401 },
      status: 400,
      code: 'ContextTooLong',
    },
  ])('is a $status $code when $when, and nothing is consumed', async ({ rules, more, status, code }) => {
    const entity = await api.limited();
    await api.admin.setLimits({ tier: entity }, [], rules);
    await api.admin.createEntity({ entity, tier: entity });

    const refused = await api.post('/v1/acquire', { ...good, entity, ...more });

    expect(refused).toMatchObject({ status, body: { status, code }, headers: { 'Content-Type': 'application/problem+json' } });
    expect(refused.headers).not.toHaveProperty('Retry-After');
    expect(await api.available(entity)).toEqual({ rpm: 3, tpm: 1_000 });
  });

  it('is a 400 when the event has no body at all', async () => {
    const refused = await api.answer({ ...posting('/v1/acquire', ''), body: null });
    expect(refused).toMatchObject({ status: 400, body: { code: 'InvalidArgument', field: 'body' } });
  });

  it.each([
    {
      when: 'a cost is above what the limit ever holds',
      body: { ...good, consume: { rpm: 1, tpm: 1_001 } },
      code: 'CostExceedsCapacity',
      detail: 'Expected the cost of tpm to be at most the capacity 1000 (entity "acme", resource "gpt-4"), got 1001',
    },
    {
      when: 'a limit is not configured',
      body: { ...good, consume: { rpm: 1, tpd: 1 } },
      code: 'UnknownLimit',
      detail: 'Expected consume to name configured limits (rpm, tpm), got "tpd"',
    },
    {
      when: 'nothing limits the entity',
      body: { ...good, entity: 'nobody' },
      code: 'NoLimitsConfigured',
      detail: expect.stringContaining('Expected limits for entity "nobody" on resource "gpt-4"'),
    },
  ])('is a 400 with a code of its own, and no 429, when $when', async ({ body, code, detail }) => {
    const refused = await api.post('/v1/acquire', body);
    expect(refused).toMatchObject({ status: 400, body: { status: 400, code, detail } });
    expect(refused.headers).not.toHaveProperty('Retry-After');
    expect(await api.available('acme')).toEqual({ rpm: 3, tpm: 1_000 });
  });
});

describe('an id in a path', () => {
  it.each([
    { when: 'it is not UTF-8', parameters: { entity: '%FF', resource: 'gpt-4' }, field: 'entity' },
    { when: 'its escape is cut off', parameters: { entity: 'acme', resource: '100%' }, field: 'resource' },
    { when: 'it holds a #', parameters: { entity: 'a%23b', resource: 'gpt-4' }, field: 'entity' },
    { when: 'there is none', parameters: null, field: 'entity' },
  ])('is a 400 that names it when $when', async ({ parameters, field }) => {
    const refused = await api.answer({ ...statusOf('acme', 'gpt-4'), pathParameters: parameters });
    expect(refused).toMatchObject({ status: 400, body: { code: 'InvalidArgument', field } });
  });
});

const routes = [
  { route: 'acquire', request: posting('/v1/acquire', good) },
  { route: 'status', request: statusOf('acme', 'gpt-4') },
  { route: 'usage', request: usageOf('acme') },
];

describe('without an answer from DynamoDB', () => {
  const grants = [{ key: { namespace: 'tenant', resource: 'gpt-4', entity: 'acme', shard: 0 }, acquiredAtFs: 0n, charges: [] }];
  const lease = tokens.sign({ id: 'a-lease', entity: 'acme', resource: 'gpt-4', grants }, Date.now());
  const endings = [
    { route: 'adjust', request: posting('/v1/adjust', { lease, actual: {} }) },
    { route: 'release', request: posting('/v1/release', { lease }) },
  ];

  it.each([...routes, ...endings])('$route is a 503, neither a grant nor a denial, and the log says why', async ({ request }) => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    const { handler } = await coldStart(() => import('../../lambda/api.js'), await unreachable());
    const { status, headers, body } = await answered(handler, request);
    expect([status, body.code, headers['Retry-After']]).toEqual([503, 'LimiterUnavailable', '1']);
    expect(logged).toHaveBeenCalledTimes(1);
  });
});

describe('a signing key', () => {
  async function refusedWith(environment: Readonly<Record<string, string>>) {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    const { handler } = await coldStart(() => import('../../lambda/api.js'), environment);
    const refused = await answered(handler, posting('/v1/acquire', good));
    expect(logged).toHaveBeenCalledTimes(1);
    expect(await api.available('acme')).toEqual({ rpm: 3, tpm: 1_000 });
    return refused;
  }

  it.each([
    { when: 'missing', key: '' },
    { when: 'too short', key: 'too-short' },
  ])('that is $when is a 500, which does not show it, and nothing is consumed', async ({ key }) => {
    const { status, body } = await refusedWith({ HEADGATE_LEASE_KEY: key });
    expect([status, body.code, body.title]).toEqual([500, 'InvalidArgument', 'Set up wrongly']);
    expect(JSON.stringify(body)).not.toContain('too-short');
  });

  it('that cannot be read from its secret is a 500, and nothing is consumed', async () => {
    const { status } = await refusedWith({
      HEADGATE_LEASE_KEY: '',
      HEADGATE_LEASE_KEY_SECRET: 'lease-key',
      AWS_ENDPOINT_URL_SECRETS_MANAGER: await nowhere(),
    });
    expect(status).toBe(500);
  });
});

it('a table that is not there is a 500 that names it, not a 503: no waiting mends it', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {});
  const { handler } = await coldStart(() => import('../../lambda/api.js'), { HEADGATE_TABLE: 'no-such-table' });
  for (const { request } of routes) {
    const { status, body } = await answered(handler, request);
    expect([status, body.code]).toEqual([500, 'InvalidArgument']);
    expect(body.detail).toContain('"no-such-table"');
  }
});
