import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ScopeOptions } from '../../lib/config/scope-rules.js';
import { coldStart, nowhere, redeployed, slow, tokens, unreachable } from './cold-start.js';
import { CHAT, chatEvent, DeployedGateway, forms, jsonOf } from './deployed-gateway.js';
import { authorizerEvent, type Request } from './events.js';

/** What an entity has when nothing was drawn. */
const untouched = { model: { rpm: 5, tpm: 1_000 }, provider: { rpm: 9 } };

describe.each(forms)('a call that is not forwarded, its answer %s', (form) => {
  let gateway: DeployedGateway;

  beforeAll(async () => {
    gateway = await DeployedGateway.start(form);
  });

  afterEach(() => {
    expect(gateway.upstream.arrived).toEqual([]);
    redeployed();
    vi.restoreAllMocks();
  });

  afterAll(() => gateway.stop());

  it.each([
    { drawn: 'which it draws on itself', way: 'call', told: ['tpm', 'rpm'] },
    { drawn: 'which the authorizer drew on', way: 'callWithLease', told: ['tpm'] },
  ] as const)(
    'is a 429 with headers that clients know when the model’s limits deny it, and draws on the provider’s no more, $drawn',
    async ({ way, told }) => {
      const entity = await gateway.limited();
      await gateway.admin.setLimits({ entity, resource: 'small' }, [slow('tpm', 150)]);
      const small = JSON.stringify({ ...CHAT, model: 'small' });
      gateway.upstream.answer = (response) => response.end('{}');
      expect((await gateway[way]({ entity, body: small })).status).toBe(200);
      gateway.upstream.reset();

      const answer = await gateway[way]({ entity, body: small });
      expect(answer.status).toBe(429);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(4_319_000);
      expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(4_320_000);
      const [limit, policy] = ['ratelimit', 'ratelimit-policy'].map((name) => answer.headers.get(name)?.split(', ') ?? []);
      expect(limit?.[0]).toBe(`"tpm";r=50;t=${answer.headers.get('retry-after')}`);
      expect(policy?.[0]).toBe('"tpm";q=150;w=12960000');
      expect(limit?.map((one) => one.split('"')[1])).toEqual(told);
      expect(answer.headers.get('x-ratelimit-remaining-tokens')).toBe('50');
      expect(jsonOf(answer)).toMatchObject({
        status: 429,
        code: 'RateLimitExceeded',
        violations: [{ entity, resource: 'small', limit: 'tpm', available: 50, requested: 100 }],
        error: { type: 'RateLimitExceeded', code: 'RateLimitExceeded', message: expect.stringContaining('tpm') },
      });
      expect((await gateway.left(entity)).provider).toEqual({ rpm: 8 });
    },
  );

  it.each<{ when: string; tier: ScopeOptions; disabled?: boolean; status: number; code: string }>([
    { when: 'the model is disabled for the entity', tier: {}, disabled: true, status: 403, code: 'ResourceDisabled' },
    {
      when: 'the tier does not allow the model',
      tier: { allowedResources: ['openai', 'gpt-3*'] },
      status: 403,
      code: 'ResourceNotAllowed',
    },
    { when: 'the call is longer than the tier allows', tier: { maxContextTokens: 99 }, status: 400, code: 'ContextTooLong' },
  ])('is a $status $code when $when, and draws on nothing', async ({ tier, disabled, status, code }) => {
    const entity = await gateway.limited();
    const name = randomUUID();
    await gateway.admin.setLimits({ tier: name }, [slow('rpm', 9)], tier);
    await gateway.admin.createEntity({ entity, tier: name });
    const authorizer = await gateway.admitted(entity);
    const model = { entity, resource: 'gpt-4' };
    const limits = [slow('rpm', 5), slow('tpm', 1_000)];
    await gateway.admin.setLimits(model, limits, disabled ? { disabled } : {});

    const answer = await gateway.invoke(chatEvent({ authorizer }));

    expect(answer.status).toBe(status);
    expect(jsonOf(answer)).toMatchObject({ status, code, error: { code, type: code } });
    await gateway.admin.updateEntity({ entity, tier: null });
    await gateway.admin.setLimits(model, limits);
    expect(await gateway.left(entity)).toEqual(untouched);
  });

  it.each<{ when: string; request: Request; status: number; code: string; param?: string }>([
    { when: 'the body is no JSON', request: { body: '{"model":' }, status: 400, code: 'InvalidArgument', param: 'body' },
    {
      when: 'the body is no UTF-8',
      request: { body: '/wD+', isBase64Encoded: true },
      status: 400,
      code: 'InvalidArgument',
      param: 'body',
    },
    { when: 'the body is a list', request: { body: '[]' }, status: 400, code: 'InvalidArgument', param: 'body' },
    { when: 'the model is missing', request: { body: '{}' }, status: 400, code: 'InvalidArgument', param: 'body' },
    {
      when: 'the model is no legal name',
      request: { body: '{"model":"a#b"}' },
      status: 400,
      code: 'InvalidArgument',
      param: 'resource',
    },
    {
      when: 'the output asked for is above what the model’s limit ever holds',
      request: { body: JSON.stringify({ ...CHAT, max_tokens: 1_001 }) },
      status: 400,
      code: 'CostExceedsCapacity',
    },
    {
      when: 'nothing limits the model',
      request: { body: '{"model":"another"}' },
      status: 400,
      code: 'NoLimitsConfigured',
    },
    {
      when: 'the provider is unknown',
      request: { pathParameters: { provider: 'elsewhere', path: 'v1/models' } },
      status: 404,
      code: 'NotFound',
    },
    {
      when: 'the provider is the name of a member of objects',
      request: { pathParameters: { provider: 'constructor', path: 'v1/models' } },
      status: 404,
      code: 'NotFound',
    },
    {
      when: 'the provider is not percent-encoded UTF-8',
      request: { pathParameters: { provider: '%FF', path: 'v1/models' } },
      status: 400,
      code: 'InvalidArgument',
      param: 'provider',
    },
  ])(
    'is a $status $code when $when, and gives back what the authorizer drew',
    async ({ request, status, code, param = null }) => {
      const entity = await gateway.limited();
      const answer = await gateway.callWithLease({ entity, ...request });
      expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json']);
      const body = jsonOf(answer);
      expect(body).toMatchObject({ status, code, error: { message: body.detail, type: code, code, param } });
      expect(await gateway.left(entity)).toEqual(untouched);
    },
  );

  it('is a 413 when its body is above 4 MB, and gives back what the authorizer drew; 4 MB are forwarded', async () => {
    const entity = await gateway.limited();
    const sized = (bytes: number) => JSON.stringify(CHAT).padEnd(bytes, ' ');
    expect((await gateway.callWithLease({ entity, body: sized(4_194_304) })).status).toBe(200);
    expect(gateway.upstream.last.body).toHaveLength(4_194_304);
    gateway.upstream.reset();
    const before = await gateway.left(entity);
    const answer = await gateway.callWithLease({ entity, body: sized(4_194_305) });
    expect([answer.status, jsonOf(answer).code]).toEqual([413, 'ContentTooLarge']);
    expect(await gateway.left(entity)).toEqual(before);
  });

  it.each([
    { decision: 'LimiterUnavailable', status: 503 },
    { decision: 'NoLimitsConfigured', status: 400 },
    { decision: 'ResourceDisabled', status: 403 },
  ])('is the $status that the authorizer decided and could not say: $decision', async ({ decision, status }) => {
    const entity = await gateway.limited();
    const problem = { type: 'about:blank', title: 'No', status, code: decision, detail: 'The authorizer’s words' };
    const authorizer = { entity, decision, status: String(status), problem: JSON.stringify(problem) };
    const answer = await gateway.invoke(chatEvent({ authorizer }));
    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json']);
    expect(jsonOf(answer)).toMatchObject({ ...problem, error: { message: 'The authorizer’s words', code: decision } });
    expect(await gateway.left(entity)).toEqual(untouched);
  });

  it('is a 503 when the authorizer, too, has no answer from DynamoDB', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const { handler } = await coldStart(() => import('../../lambda/authorizer.js'), await unreachable());
    const { pathParameters } = chatEvent({});
    const event = authorizerEvent({
      headers: { 'x-api-key': `hg_${'w'.repeat(43)}` },
      pathParameters: pathParameters as Record<string, string>,
    });
    const { policyDocument, context } = await handler(event);
    expect(policyDocument.Statement[0]?.Effect).toBe('Allow');
    const answer = await gateway.invoke(chatEvent({ authorizer: context as Record<string, string> }));
    expect([answer.status, jsonOf(answer).code]).toEqual([503, 'LimiterUnavailable']);
  });

  it.each<{ when: string; authorizer: Record<string, string> | null; status: number; code: string }>([
    { when: 'there was no authorizer', authorizer: null, status: 401, code: 'Unauthorized' },
    { when: 'the authorizer named nobody', authorizer: { principalId: 'x' }, status: 401, code: 'Unauthorized' },
    {
      when: 'the lease in its context is none of ours',
      authorizer: { entity: 'acme', lease: 'a.b' },
      status: 400,
      code: 'InvalidArgument',
    },
    {
      when: 'the lease in its context has expired',
      authorizer: {
        entity: 'acme',
        lease: tokens.sign({ id: randomUUID(), entity: 'acme', resource: 'openai', grants: [] }, Date.now() - 606_000),
      },
      status: 400,
      code: 'InvalidArgument',
    },
  ])('is a $status when $when', async ({ authorizer, status, code }) => {
    const answer = await gateway.invoke(chatEvent({ authorizer }));
    expect([answer.status, jsonOf(answer).code]).toEqual([status, code]);
  });
});

describe.each([
  { when: 'are empty', upstreams: '' },
  { when: 'are no JSON', upstreams: '{' },
  { when: 'have no URL', upstreams: '{"openai":{}}' },
  { when: 'have a URL of another kind', upstreams: '{"openai":{"baseUrl":"ftp://localhost"}}' },
])('a deployment whose upstreams $when', ({ upstreams }) => {
  it('answers no call as if it were the client’s fault', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const gateway = await DeployedGateway.start('buffered');
    const { handler } = await coldStart(() => import('../../lambda/gateway.js'), { HEADGATE_UPSTREAMS: upstreams });
    const entity = await gateway.limited();
    const { statusCode } = await handler(chatEvent({ authorizer: await gateway.admitted(entity) }));
    expect(statusCode).toBe(500);
    expect(await gateway.left(entity)).toEqual(untouched);
    await gateway.stop();
    vi.restoreAllMocks();
  });
});

describe('a gateway that cannot reach DynamoDB', () => {
  it('answers 503 and forwards nothing', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const gateway = await DeployedGateway.start('buffered', () => ({ environment: { HEADGATE_DEADLINE_MS: '300' } }));
    const authorizer = await gateway.admitted(await gateway.limited());
    const { handler } = await coldStart(() => import('../../lambda/gateway.js'), { AWS_ENDPOINT_URL_DYNAMODB: await nowhere() });
    const { statusCode, headers, body } = await handler(chatEvent({ authorizer }));
    expect([statusCode, headers?.['Retry-After'], JSON.parse(body).code]).toEqual([503, '1', 'LimiterUnavailable']);
    expect(gateway.upstream.arrived).toEqual([]);
    await gateway.stop();
    vi.restoreAllMocks();
  });
});
