import { createHash, randomUUID } from 'node:crypto';
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { RateLimiter } from '../../lib/limiter.js';
import { testClient } from '../support/dynamodb.js';
import { coldStart, deployed, NAMESPACE, redeployed, slow, tokens } from './cold-start.js';
import { authorizerEvent, type Request } from './events.js';

type Handler = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;

let admin: HeadgateAdmin;

beforeAll(async () => {
  admin = await deployed();
});

afterEach(() => {
  vi.unstubAllEnvs();
  redeployed();
});

const configured = async (environment: Record<string, string>): Promise<Handler> =>
  (await coldStart(() => import('../../lambda/authorizer.js'), environment)).handler;

const call = (headers: NonNullable<Request['headers']>, more: Request = {}): APIGatewayRequestAuthorizerEvent =>
  authorizerEvent({
    method: 'POST',
    resource: '/v1/{tenant}/{model}',
    path: '/v1/acme/gpt-4o',
    pathParameters: { tenant: 'acme', model: 'gpt-4o' },
    headers,
    ...more,
  });

const entityOf = async (result: Promise<APIGatewayAuthorizerResult>): Promise<unknown> => (await result).context?.entity;
const resourceOf = ({ context }: APIGatewayAuthorizerResult): unknown =>
  context?.lease === undefined ? context?.decision : tokens.verify(context.lease, Date.now()).resource;

describe('the entity in a header', () => {
  const SECRET = 'a proxy secret of enough characters';
  const trusting = { HEADGATE_ENTITY: 'header:X-Tenant', HEADGATE_RESOURCE: 'fixed:llm' };
  const proving = { ...trusting, HEADGATE_PROXY_SECRET_SHA256: createHash('sha256').update(SECRET).digest('hex') };

  it.each([
    { when: 'it is written as it is set up', headers: { 'X-Tenant': 'acme' } },
    { when: 'it is in lower case', headers: { 'x-tenant': 'acme' } },
    { when: 'it is in upper case', headers: { 'X-TENANT': 'acme' } },
    { when: 'it is sent twice, the same', headers: { 'x-tenant': ['acme', 'acme'] } },
  ])('is believed of a trusted proxy when $when', async ({ headers }) => {
    expect(await entityOf((await configured(trusting))(call(headers)))).toBe('acme');
  });

  it('is believed where API Gateway recorded one value of each header only', async () => {
    const { multiValueHeaders: _, ...event } = call({ 'x-tenant': 'acme' });
    const handler = await configured(trusting);
    expect(await entityOf(handler(event as APIGatewayRequestAuthorizerEvent))).toBe('acme');
    expect(await entityOf(handler({ ...event, multiValueHeaders: null }))).toBe('acme');
  });

  it.each<{ when: string; headers: NonNullable<Request['headers']> }>([
    { when: 'is missing', headers: {} },
    { when: 'is empty', headers: { 'x-tenant': '' } },
    { when: 'is sent twice, differently', headers: { 'x-tenant': ['acme', 'root'] } },
    { when: 'is sent in two cases, differently', headers: { 'x-tenant': 'acme', 'X-Tenant': 'root' } },
    { when: 'is no name of an entity', headers: { 'x-tenant': 'a#b' } },
  ])('is a 401 when it $when', async ({ headers }) => {
    await expect((await configured(trusting))(call(headers))).rejects.toEqual(new Error('Unauthorized'));
  });

  it('is believed of a proxy that proves itself, and of nobody else', async () => {
    const handler = await configured(proving);
    expect(await entityOf(handler(call({ 'x-tenant': 'acme', 'X-Headgate-Proxy-Secret': SECRET })))).toBe('acme');
    for (const secret of ['', 'guess', `${SECRET} `, SECRET.toUpperCase()])
      await expect(handler(call({ 'x-tenant': 'acme', 'x-headgate-proxy-secret': secret }))).rejects.toThrow('Unauthorized');
    await expect(handler(call({ 'x-tenant': 'acme' }))).rejects.toThrow('Unauthorized');
  });

  it('is not looked at where keys are what tells callers', async () => {
    const handler = await configured({ HEADGATE_RESOURCE: 'fixed:llm' });
    await expect(handler(call({ 'x-tenant': 'acme' }))).rejects.toThrow('Unauthorized');
  });

  it('leaves keys without effect', async () => {
    const { secret } = await admin.createKey({ entity: 'holder' });
    await expect((await configured(trusting))(call({ 'x-api-key': secret }))).rejects.toThrow('Unauthorized');
  });
});

describe('the resource', () => {
  it.each<{ from: string; source: string; headers?: NonNullable<Request['headers']>; resource: string }>([
    { from: 'another path parameter', source: 'path:model', resource: 'gpt-4o' },
    { from: 'the settings', source: 'fixed:llm', resource: 'llm' },
    { from: 'a header', source: 'header:X-Model', headers: { 'x-model': 'gpt-4o-mini' }, resource: 'gpt-4o-mini' },
    { from: 'a missing header', source: 'header:x-model', resource: 'InvalidArgument' },
    { from: 'a header sent twice', source: 'header:x-model', headers: { 'x-model': ['a', 'b'] }, resource: 'InvalidArgument' },
    { from: 'a path parameter that the route lacks', source: 'path:provider', resource: 'InvalidArgument' },
  ])('comes from $from', async ({ source, headers, resource }) => {
    const entity = randomUUID();
    await admin.setLimits({ entity }, [slow('rpm', 10)]);
    const { secret } = await admin.createKey({ entity });
    const handler = await configured({ HEADGATE_RESOURCE: source });
    expect(resourceOf(await handler(call({ 'x-api-key': secret, ...headers })))).toBe(resource);
  });
});

describe('the estimate', () => {
  const ESTIMATES = { 'gpt-4o': 700, o3: { outputTokens: 900 }, embed: { inputTokens: 50, outputTokens: 0 } };

  it.each<{ when: string; model: string; headers: NonNullable<Request['headers']>; itpm: number; otpm: number }>([
    { when: 'the client states it', model: 'gpt-4o', headers: { 'x-headgate-estimated-tokens': '40' }, itpm: 0, otpm: 40 },
    {
      when: 'all tokens of the resource are set up',
      model: 'gpt-4o',
      headers: { 'content-length': '400' },
      itpm: 100,
      otpm: 600,
    },
    { when: 'its output is set up', model: 'o3', headers: { 'content-length': '400' }, itpm: 100, otpm: 900 },
    { when: 'input and output are set up', model: 'embed', headers: { 'content-length': '400' }, itpm: 50, otpm: 0 },
    { when: 'nothing is set up', model: 'other', headers: { 'content-length': '400' }, itpm: 100, otpm: 200 },
    { when: 'the length was sent twice', model: 'other', headers: { 'Content-Length': ['400', '800'] }, itpm: 200, otpm: 200 },
    {
      when: 'the statement was sent twice',
      model: 'o3',
      headers: { 'x-headgate-estimated-tokens': ['5', '9'] },
      itpm: 0,
      otpm: 9,
    },
    {
      when: 'the statement is no number',
      model: 'gpt-4o',
      headers: { 'x-headgate-estimated-tokens': 'many' },
      itpm: 0,
      otpm: 700,
    },
  ])('is $itpm in and $otpm out when $when', async ({ model, headers, itpm, otpm }) => {
    const entity = randomUUID();
    await admin.setLimits({ entity }, [slow('itpm', 1_000), slow('otpm', 1_000), slow('tpm', 2_000)]);
    const { secret } = await admin.createKey({ entity });
    const handler = await configured({ HEADGATE_RESOURCE: 'path:model', HEADGATE_ESTIMATES: JSON.stringify(ESTIMATES) });
    await handler(call({ 'x-api-key': secret, ...headers }, { pathParameters: { model } }));
    const limiter = new RateLimiter({
      deadlineMs: 30_000,
      tableName: process.env.HEADGATE_TABLE ?? '',
      client: testClient(),
      namespace: NAMESPACE,
    });
    const left = await limiter.available({ entity, resource: model });
    expect(left).toEqual({ itpm: 1_000 - itpm, otpm: 1_000 - otpm, tpm: 2_000 - itpm - otpm });
  });

  it('is not what the client states where it is not believed', async () => {
    const entity = randomUUID();
    await admin.setLimits({ entity }, [slow('tpm', 1_000)]);
    const { secret } = await admin.createKey({ entity });
    const handler = await configured({ HEADGATE_RESOURCE: 'path:model', HEADGATE_CLIENT_ESTIMATES: 'ignored' });
    await handler(call({ 'x-api-key': secret, 'x-headgate-estimated-tokens': '0' }));
    const limiter = new RateLimiter({
      deadlineMs: 30_000,
      tableName: process.env.HEADGATE_TABLE ?? '',
      client: testClient(),
      namespace: NAMESPACE,
    });
    expect(await limiter.available({ entity, resource: 'gpt-4o' })).toEqual({ tpm: 800 });
  });
});
