import { randomUUID } from 'node:crypto';
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { testClient } from '../support/dynamodb.js';
import { coldStart, deployed, NAMESPACE, redeployed, slow, tokens, unreachable } from './cold-start.js';
import { authorizerEvent, type Request } from './events.js';

type Headers = NonNullable<Request['headers']> | null;
type Handler = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;

let admin: HeadgateAdmin;
let handler: Handler;

beforeAll(async () => {
  admin = await deployed();
  ({ handler } = await coldStart(() => import('../../lambda/authorizer.js')));
  // The environment is read at the first call.
  await handler(call({ 'x-api-key': (await keyed()).secret }));
});

afterEach(() => {
  redeployed();
  vi.restoreAllMocks();
});

/** It is then, by the machine's clock and by the `Date` of the database's answers: by either alone, the other would prove it wrong. */
function atBothEnds(ms: number): void {
  vi.restoreAllMocks();
  const { parse } = Date;
  vi.spyOn(Date, 'now').mockReturnValue(ms);
  vi.spyOn(Date, 'parse').mockImplementation((text) => (text.endsWith('GMT') ? ms : parse(text)));
}

const silenced = () => vi.spyOn(console, 'error').mockImplementation(() => {});

/** A call of the gateway's route, as its authorizer sees it. */
const call = (headers: Headers, more: Request = {}): APIGatewayRequestAuthorizerEvent =>
  authorizerEvent({
    method: 'POST',
    resource: '/llm/{provider}/{path+}',
    path: '/llm/openai/v1/chat/completions',
    pathParameters: { provider: 'openai', path: 'v1/chat/completions' },
    headers,
    ...more,
  });

/** What a call with these headers comes to: the effect, and the context, of which every value is checked to be a string. */
async function decided(headers: Headers, more: Request = {}, by: Handler = handler) {
  const { principalId, policyDocument, context } = await by(call(headers, more));
  const [statement, ...others] = policyDocument.Statement;
  expect(others).toEqual([]);
  for (const [name, value] of Object.entries(context ?? {})) expect([name, typeof value]).toEqual([name, 'string']);
  return { principalId, effect: statement?.Effect, statement, context: context as Record<string, string> };
}

/** A key of a new entity with these limits on the provider; none: nothing limits it. */
async function keyed(limits: readonly Limit[] = [slow('rpm', 3)]) {
  const entity = randomUUID();
  if (limits.length > 0) await admin.setLimits({ entity, resource: 'openai' }, limits);
  const { secret, keyId } = await admin.createKey({ entity });
  return { entity, secret, keyId };
}

async function available(entity: string): Promise<Record<string, number>> {
  const limiter = new RateLimiter({
    deadlineMs: 30_000,
    tableName: process.env.HEADGATE_TABLE ?? '',
    client: testClient(),
    namespace: NAMESPACE,
  });
  return limiter.available({ entity, resource: 'openai' });
}

describe('a key', () => {
  it.each([
    { as: 'Authorization: Bearer', headers: (key: string) => ({ Authorization: `Bearer ${key}` }) },
    { as: 'authorization: bearer', headers: (key: string) => ({ authorization: `bearer ${key}` }) },
    { as: 'AUTHORIZATION: BEARER with spaces', headers: (key: string) => ({ AUTHORIZATION: `BEARER   ${key}` }) },
    { as: 'x-api-key', headers: (key: string) => ({ 'x-api-key': key }) },
    { as: 'X-Api-Key', headers: (key: string) => ({ 'X-Api-Key': key }) },
    { as: 'api-key', headers: (key: string) => ({ 'api-key': key }) },
    { as: 'x-goog-api-key', headers: (key: string) => ({ 'x-goog-api-key': key }) },
    { as: 'x-api-key beside Basic', headers: (key: string) => ({ Authorization: 'Basic dXNlcjpw', 'x-api-key': key }) },
    {
      as: 'a bearer beside a wrong x-api-key',
      headers: (key: string) => ({ Authorization: `Bearer ${key}`, 'x-api-key': 'no' }),
    },
  ])('lets its entity in as $as', async ({ headers }) => {
    const { entity, secret } = await keyed();
    const { effect, principalId, statement, context } = await decided(headers(secret));
    expect([effect, principalId, context.entity]).toEqual(['Allow', entity, entity]);
    expect(statement).toEqual({
      Action: 'execute-api:Invoke',
      Effect: 'Allow',
      Resource: 'arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/prod/POST/llm/openai/v1/chat/completions',
    });
    expect(JSON.stringify(context)).not.toContain(secret);
  });

  it.each<{ when: string; headers: Headers }>([
    { when: 'there are no headers at all', headers: null },
    { when: 'it is missing', headers: {} },
    { when: 'it is empty', headers: { Authorization: '', 'x-api-key': '' } },
    { when: 'Bearer has none', headers: { Authorization: 'Bearer ' } },
    { when: 'Bearer has two words', headers: { Authorization: 'Bearer hg_a hg_b' } },
    { when: 'it is sent twice, differently', headers: { 'x-api-key': ['hg_unknown_key', 'hg_another_key'] } },
    { when: 'it is unknown', headers: { Authorization: 'Bearer hg_unknown_key' } },
    { when: 'the scheme is another', headers: { Authorization: 'Basic hg_unknown_key' } },
    { when: 'it is the name of a member of objects', headers: { 'x-api-key': 'constructor' } },
  ])('is refused with exactly Unauthorized, which API Gateway turns into a 401, when $when', async ({ headers }) => {
    await expect(handler(call(headers))).rejects.toEqual(new Error('Unauthorized'));
  });

  it('is refused when it was revoked', async () => {
    const { entity, secret, keyId } = await keyed();
    await admin.revokeKey({ entity, keyId });
    await expect(handler(call({ 'x-api-key': secret }))).rejects.toEqual(new Error('Unauthorized'));
  });

  it('is refused once it has expired, though it was let in before', async () => {
    const { entity } = await keyed();
    const expiresAt = new Date(Date.now() + 3_600_000);
    const { secret } = await admin.createKey({ entity, expiresAt });
    // Its clock never goes back: it is nobody else's.
    const ageing = await coldStart(() => import('../../lambda/authorizer.js'));
    expect((await decided({ 'x-api-key': secret }, {}, ageing.handler)).effect).toBe('Allow');
    atBothEnds(expiresAt.getTime() - 1);
    expect((await decided({ 'x-api-key': secret }, {}, ageing.handler)).effect).toBe('Allow');
    atBothEnds(expiresAt.getTime());
    await expect(ageing.handler(call({ 'x-api-key': secret }))).rejects.toEqual(new Error('Unauthorized'));
  });

  it('that was rotated lets its entity in beside the new one until the overlap is over, and then only the new one does', async () => {
    const { entity, secret, keyId } = await keyed();
    // Its clock never goes back: it is nobody else's.
    const ageing = await coldStart(() => import('../../lambda/authorizer.js'));
    expect((await decided({ 'x-api-key': secret }, {}, ageing.handler)).effect).toBe('Allow');
    const rotated = await admin.rotateKey({ entity, keyId, overlapMs: 3_600_000 });
    const end = Date.parse(rotated.replaced.expiresAt ?? '');
    const letIn = async (key: string) => (await decided({ 'x-api-key': key }, {}, ageing.handler)).context.entity;

    expect(await letIn(rotated.secret)).toBe(entity);
    // What it read before the rotation is older than a minute by then.
    atBothEnds(end - 1);
    expect([await letIn(secret), await letIn(rotated.secret)]).toEqual([entity, entity]);
    atBothEnds(end);
    await expect(ageing.handler(call({ 'x-api-key': secret }))).rejects.toEqual(new Error('Unauthorized'));
    expect(await letIn(rotated.secret)).toBe(entity);
  });

  it('that was replaced without an overlap is refused at once where it was not used before', async () => {
    const { entity, secret, keyId } = await keyed();
    const rotated = await admin.rotateKey({ entity, keyId, overlapMs: 0 });
    await expect(handler(call({ 'x-api-key': secret }))).rejects.toEqual(new Error('Unauthorized'));
    expect((await decided({ 'x-api-key': rotated.secret })).effect).toBe('Allow');
  });

  it('draws on nothing when it is refused', async () => {
    const { entity, secret, keyId } = await keyed();
    await admin.revokeKey({ entity, keyId });
    await handler(call({ 'x-api-key': secret })).catch(() => {});
    expect(await available(entity)).toEqual({ rpm: 3 });
  });
});

describe('a call that is let in', () => {
  it('carries the lease of what was drawn: one request, and tokens by the length of the body and 200 for the answer', async () => {
    const { entity, secret } = await keyed([slow('rpm', 3), slow('tpm', 1_000), slow('itpm', 1_000), slow('otpm', 1_000)]);
    const { context } = await decided({ 'x-api-key': secret, 'Content-Length': '401' });
    expect(Object.keys(context).sort()).toEqual(['entity', 'lease']);
    const lease = tokens.verify(context.lease, Date.now());
    expect(lease).toMatchObject({ entity, resource: 'openai' });
    expect(lease.grants.flatMap(({ charges }) => charges.map((charge) => [charge.name, charge.tokens]))).toEqual([
      ['rpm', 1],
      ['tpm', 301],
      ['itpm', 101],
      ['otpm', 200],
    ]);
    expect(await available(entity)).toEqual({ rpm: 2, tpm: 699, itpm: 899, otpm: 800 });
  });

  it.each<{ when: string; headers: Record<string, string>; tpm: number }>([
    { when: 'nothing is known', headers: {}, tpm: 200 },
    { when: 'the client states it', headers: { 'X-Headgate-Estimated-Tokens': '37', 'Content-Length': '400' }, tpm: 37 },
    { when: 'the client states none', headers: { 'x-headgate-estimated-tokens': '0' }, tpm: 0 },
    { when: 'the client states nonsense', headers: { 'x-headgate-estimated-tokens': '-5', 'content-length': '40' }, tpm: 210 },
    { when: 'the client states a fraction', headers: { 'x-headgate-estimated-tokens': '1.5' }, tpm: 200 },
    { when: 'the length is no number', headers: { 'content-length': 'long' }, tpm: 200 },
    { when: 'the length is negative', headers: { 'content-length': '-4000' }, tpm: 200 },
    { when: 'the length is beyond all numbers', headers: { 'content-length': '9'.repeat(400) }, tpm: 200 },
    { when: 'the client states an empty text', headers: { 'x-headgate-estimated-tokens': '' }, tpm: 200 },
    { when: 'the client states more than a number holds', headers: { 'x-headgate-estimated-tokens': '1e999' }, tpm: 200 },
  ])('is estimated at $tpm tokens when $when', async ({ headers, tpm }) => {
    const { entity, secret } = await keyed([slow('tpm', 1_000)]);
    expect((await decided({ 'x-api-key': secret, ...headers })).effect).toBe('Allow');
    expect(await available(entity)).toEqual({ tpm: 1_000 - tpm });
  });

  it.each([
    { when: 'by length', headers: { 'content-length': '400' }, spent: { tpm: 100 + 5 * 200, itpm: 100, otpm: 200 } },
    {
      when: 'by the client, which knows of less input than its length says',
      headers: { 'x-headgate-estimated-tokens': '37', 'content-length': '400' },
      spent: { tpm: 37, itpm: 37, otpm: 0 },
    },
  ])('is charged by weight when it is estimated $when', async ({ headers, spent }) => {
    const weighted = Limit.custom({
      name: 'tpm',
      capacity: 2_000,
      refillAmount: 1,
      refillPeriodMs: 86_400_000,
      weights: { output: 5 },
    });
    const { entity, secret } = await keyed([weighted, slow('itpm', 2_000), slow('otpm', 2_000)]);
    expect((await decided({ 'x-api-key': secret, ...headers })).effect).toBe('Allow');
    const left = await available(entity);
    expect(left).toEqual({ tpm: 2_000 - spent.tpm, itpm: 2_000 - spent.itpm, otpm: 2_000 - spent.otpm });
  });

  it('draws on the provider that its path names, decoded', async () => {
    const { entity, secret } = await keyed();
    await admin.setLimits({ entity, resource: 'my/azure' }, [slow('rpm', 9)]);
    const { context } = await decided({ 'x-api-key': secret }, { pathParameters: { provider: 'my%2Fazure', path: 'v1/models' } });
    expect(tokens.verify(context.lease, Date.now()).resource).toBe('my/azure');
  });
});

describe('a call that is denied', () => {
  it('is a Deny whose context holds the headers and the body of the 429', async () => {
    const { entity, secret } = await keyed([slow('rpm', 1), slow('tpm', 1_000)]);
    expect((await decided({ 'x-api-key': secret })).effect).toBe('Allow');
    const { effect, context } = await decided({ 'x-api-key': secret });
    expect(effect).toBe('Deny');
    expect(Object.keys(context).sort()).toEqual(['entity', 'problem', 'rateLimit', 'rateLimitPolicy', 'reason', 'retryAfter']);
    expect(context).toMatchObject({
      entity,
      reason: 'RateLimitExceeded',
      retryAfter: expect.stringMatching(/^\d+$/),
      rateLimit: expect.stringMatching(/^"rpm";r=0;t=\d+, "tpm";r=800;t=\d+$/),
      rateLimitPolicy: '"rpm";q=1;w=86400, "tpm";q=1000;w=86400000',
    });
    expect(Number(context.retryAfter)).toBeGreaterThan(86_300);
    expect(Number(context.retryAfter)).toBeLessThanOrEqual(86_400);
    expect(JSON.parse(context.problem ?? '')).toMatchObject({
      status: 429,
      code: 'RateLimitExceeded',
      violations: [{ limit: 'rpm' }],
      error: { code: 'RateLimitExceeded', message: expect.stringMatching(/^Rate limit exceeded, retry after \d+ ms: rpm of /) },
    });
    expect(await available(entity)).toEqual({ rpm: 0, tpm: 800 });
  });
});

describe('what is no 429', () => {
  it.each<{ when: string; limits: readonly Limit[]; more: Request; decision: string; status: string }>([
    { when: 'nothing limits the provider', limits: [], more: {}, decision: 'NoLimitsConfigured', status: '400' },
    {
      when: 'the tokens that the client states are above what the limit ever holds',
      limits: [slow('tpm', 199)],
      more: { headers: { 'x-headgate-estimated-tokens': '200' } },
      decision: 'CostExceedsCapacity',
      status: '400',
    },
    {
      when: 'the provider is not percent-encoded UTF-8',
      limits: [],
      more: { pathParameters: { provider: '%FF', path: 'x' } },
      decision: 'InvalidArgument',
      status: '400',
    },
    { when: 'there is no provider', limits: [], more: { pathParameters: null }, decision: 'InvalidArgument', status: '400' },
  ])(
    'is an Allow with the decision for the integration to answer with when $when',
    async ({ limits, more, decision, status }) => {
      const { entity, secret } = await keyed(limits);
      const { headers, ...rest } = more;
      const { effect, context } = await decided({ 'x-api-key': secret, ...headers }, rest);
      expect(effect).toBe('Allow');
      expect(context).toMatchObject({ entity, decision, status });
      expect(context).not.toHaveProperty('lease');
      expect(JSON.parse(context.problem ?? '')).toMatchObject({ status: Number(status), code: decision });
    },
  );

  it.each<{ when: string; prepare: (entity: string) => Promise<unknown>; headers?: object; decision: string; status: string }>([
    {
      when: 'the provider is disabled for the entity',
      prepare: (entity) => admin.setLimits({ entity, resource: 'openai' }, [slow('rpm', 3)], { disabled: true }),
      decision: 'ResourceDisabled',
      status: '403',
    },
    {
      when: 'the tier does not allow the provider',
      prepare: (entity) => admin.createEntity({ entity, tier: 'models-only' }),
      decision: 'ResourceNotAllowed',
      status: '403',
    },
    {
      when: 'the client states more tokens than the tier allows',
      prepare: (entity) => admin.createEntity({ entity, tier: 'short' }),
      headers: { 'x-headgate-estimated-tokens': '1001' },
      decision: 'ContextTooLong',
      status: '400',
    },
  ])('is an Allow with the decision, and draws on nothing, when $when', async ({ prepare, headers, decision, status }) => {
    await admin.setLimits({ tier: 'models-only' }, [], { allowedResources: ['gpt-*'] });
    await admin.setLimits({ tier: 'short' }, [], { maxContextTokens: 1_000 });
    const { entity, secret } = await keyed();
    await prepare(entity);

    const { effect, context } = await decided({ 'x-api-key': secret, ...headers });

    expect(effect).toBe('Allow');
    expect(context).toMatchObject({ entity, decision, status });
    expect(context).not.toHaveProperty('lease');
    expect(JSON.parse(context.problem ?? '')).toMatchObject({
      status: Number(status),
      code: decision,
      title: expect.any(String),
    });
  });

  it('does not keep out for good by a guess alone what its limits never hold: all there is is drawn', async () => {
    const { entity, secret } = await keyed([slow('tpm', 199)]);
    expect((await decided({ 'x-api-key': secret })).context).toHaveProperty('lease');
    expect(await available(entity)).toEqual({ tpm: 0 });
  });

  it('does not call a request too long by its length alone: the gateway knows better', async () => {
    await admin.setLimits({ tier: 'short' }, [], { maxContextTokens: 1_000 });
    const { entity, secret } = await keyed();
    await admin.createEntity({ entity, tier: 'short' });

    const { effect, context } = await decided({ 'x-api-key': secret, 'content-length': '400000' });

    expect(effect).toBe('Allow');
    expect(context).toHaveProperty('lease');
  });

  it('is an Allow with LimiterUnavailable while DynamoDB gives no answer to an unknown key', async () => {
    const logged = silenced();
    const cut = await coldStart(() => import('../../lambda/authorizer.js'), await unreachable());
    const { effect, context } = await decided({ 'x-api-key': `hg_${'w'.repeat(43)}` }, {}, cut.handler);
    expect(effect).toBe('Allow');
    expect(context).toMatchObject({ entity: 'unknown', decision: 'LimiterUnavailable', status: '503' });
    expect(JSON.parse(context.problem ?? '')).toMatchObject({ status: 503, code: 'LimiterUnavailable' });
    expect(context).not.toHaveProperty('lease');
    expect(logged).toHaveBeenCalledTimes(1);
  });

  it('draws on nothing when the lease could not be signed', async () => {
    silenced();
    const { entity, secret } = await keyed();
    const unsigned = await coldStart(() => import('../../lambda/authorizer.js'), { HEADGATE_LEASE_KEY: 'too-short' });
    const { effect, context } = await decided({ 'x-api-key': secret }, {}, unsigned.handler);
    expect([effect, context.status]).toEqual(['Allow', '500']);
    expect(JSON.stringify(context)).not.toContain('too-short');
    expect(await available(entity)).toEqual({ rpm: 3 });
  });
});
