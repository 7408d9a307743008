import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { APIGatewayProxyEvent, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ApiGateway, type Functions, serveApi } from '../../local/api-gateway.js';
import type { Handler } from '../../local/lambda-runtime.js';

let served: ApiGateway | undefined;

afterEach(async () => {
  await served?.stop();
  served = undefined;
  vi.restoreAllMocks();
});

const done = { statusCode: 200, headers: { 'Content-Type': 'application/json' }, body: '{}' };

function policy(effect: 'Allow' | 'Deny', context: Record<string, unknown> = {}) {
  const Statement = [{ Action: 'execute-api:Invoke', Effect: effect, Resource: '*' }];
  return { principalId: 'key-1', policyDocument: { Version: '2012-10-17', Statement }, context };
}

/** Serves functions of the test, and answers its URL: those not given allow everything, and answer `{}`. */
async function serving(functions: { readonly [name in keyof Functions]?: (event: never) => unknown }): Promise<string> {
  const handler = (answer: (event: never) => unknown) => (async (event: never) => answer(event)) as Handler;
  served = await serveApi(
    {
      authorizer: handler(functions.authorizer ?? (() => policy('Allow'))),
      api: handler(functions.api ?? (() => done)),
      gateway: handler(functions.gateway ?? (() => done)),
    },
    0,
  );
  return served.url;
}

const silenced = () => vi.spyOn(console, 'error').mockImplementation(() => {});

describe('a protected route', () => {
  it('asks its authorizer first, with the request and without its body', async () => {
    let seen: APIGatewayRequestAuthorizerEvent | undefined;
    const url = await serving({
      authorizer: (event: APIGatewayRequestAuthorizerEvent) => {
        seen = event;
        return policy('Allow');
      },
    });
    await fetch(`${url}/llm/openai/v1/chat?x=1`, {
      method: 'POST',
      body: '{"secret":1}',
      headers: { authorization: 'Bearer hg' },
    });
    expect(seen).toMatchObject({
      type: 'REQUEST',
      methodArn: expect.stringMatching(/^arn:aws:execute-api:[^/]*\/local\/POST\/llm\/openai\/v1\/chat$/),
      resource: '/llm/{provider}/{path+}',
      path: '/llm/openai/v1/chat',
      pathParameters: { provider: 'openai', path: 'v1/chat' },
      headers: { authorization: 'Bearer hg' },
      queryStringParameters: { x: '1' },
    });
    expect(JSON.stringify(seen)).not.toContain('secret');
  });

  it('hands what the authorizer found on to its function, as strings', async () => {
    let seen: APIGatewayProxyEvent | undefined;
    const url = await serving({
      authorizer: () => policy('Allow', { entity: 'acme', count: 3, admin: false }),
      gateway: (event: APIGatewayProxyEvent) => {
        seen = event;
        return done;
      },
    });
    await fetch(`${url}/llm/openai/v1/models`);
    expect(seen?.requestContext.authorizer).toEqual({ entity: 'acme', count: '3', admin: 'false', principalId: 'key-1' });
  });

  it('answers a Deny as 429, with headers and the very body of the authorizer’s context, and asks no function', async () => {
    const problem = '{"code":"RateLimitExceeded",  "detail":"as it is"}';
    const gateway = vi.fn(() => done);
    const url = await serving({
      authorizer: () =>
        policy('Deny', { retryAfter: 7, rateLimit: '"tpm";r=0;t=7', rateLimitPolicy: '"tpm";q=10000;w=60', problem }),
      gateway,
    });
    const response = await fetch(`${url}/llm/openai/v1/chat/completions`, { method: 'POST', body: '{}' });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('7');
    expect(response.headers.get('ratelimit')).toBe('"tpm";r=0;t=7');
    expect(response.headers.get('ratelimit-policy')).toBe('"tpm";q=10000;w=60');
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.text()).toBe(problem);
    expect(gateway).not.toHaveBeenCalled();
  });

  it('denies by a policy that allows nothing', async () => {
    const url = await serving({
      authorizer: () => ({ principalId: 'x', policyDocument: { Version: '2012-10-17', Statement: [] } }),
    });
    expect((await fetch(`${url}/llm/openai/v1/models`)).status).toBe(429);
  });

  it.each([
    { when: 'it throws Unauthorized', message: 'Unauthorized', status: 401, code: 'Unauthorized' },
    { when: 'it throws anything else', message: 'unauthorized, perhaps', status: 500, code: 'InternalError' },
  ])('answers for its authorizer when $when, and asks no function', async ({ message, status, code }) => {
    silenced();
    const gateway = vi.fn(() => done);
    const url = await serving({
      authorizer: () => {
        throw new Error(message);
      },
      gateway,
    });
    const response = await fetch(`${url}/llm/openai/v1/models`);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({ code, status });
    expect(gateway).not.toHaveBeenCalled();
  });

  it('is the gateway’s only: the routes of /v1 ask no authorizer', async () => {
    const authorizer = vi.fn(() => policy('Deny'));
    const url = await serving({ authorizer });
    expect((await fetch(`${url}/v1/usage/a`)).status).toBe(200);
    expect(authorizer).not.toHaveBeenCalled();
  });
});

describe('the routes', () => {
  it.each([
    { method: 'POST', path: '/v1/acquire', status: 200 },
    { method: 'POST', path: '/v1/adjust', status: 200 },
    { method: 'POST', path: '/v1/release', status: 200 },
    { method: 'GET', path: '/v1/status/a/b', status: 200 },
    { method: 'GET', path: '/v1/usage/a', status: 200 },
    { method: 'DELETE', path: '/llm/openai/v1/files/1', status: 200 },
    { method: 'GET', path: '/healthz', status: 200 },
    { method: 'GET', path: '/v1/status/a', status: 404 },
    { method: 'GET', path: '/v1/status/a/b/c', status: 404 },
    { method: 'GET', path: '/v1/usage/', status: 404 },
    { method: 'GET', path: '/llm/openai', status: 404 },
    { method: 'GET', path: '/', status: 404 },
    { method: 'GET', path: '/v1/acquire', status: 405 },
    { method: 'PUT', path: '/v1/usage/a', status: 405 },
  ])('answer $method $path with $status', async ({ method, path, status }) => {
    const response = await fetch((await serving({})) + path, { method });
    expect(response.status).toBe(status);
    if (status > 200) {
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(await response.json()).toMatchObject({ status, title: status === 404 ? 'NotFound' : 'MethodNotAllowed' });
    }
  });

  it('name the methods they take in a 405', async () => {
    expect((await fetch(`${await serving({})}/v1/acquire`)).headers.get('allow')).toBe('POST');
  });

  it('say that all is up', async () => {
    expect(await (await fetch(`${await serving({})}/healthz`)).json()).toEqual({ status: 'ok' });
  });

  it('take a body of 10 MB, and answer 413 to one byte more', async () => {
    const url = await serving({ api: ({ body }: APIGatewayProxyEvent) => ({ ...done, body: String(body?.length) }) });
    const post = (bytes: number) => fetch(`${url}/v1/acquire`, { method: 'POST', body: 'x'.repeat(bytes) });
    expect(await (await post(10_485_760)).text()).toBe('10485760');
    const refused = await post(10_485_761);
    expect(refused.status).toBe(413);
    expect(await refused.json()).toMatchObject({ code: 'ContentTooLarge' });
  });

  it('ask no function for a request that its client broke off, and log nothing', async () => {
    const logged = silenced();
    const api = vi.fn(() => done);
    const url = await serving({ api });
    const headers = { 'content-length': '100', expect: '100-continue' };
    const request = httpRequest(`${url}/v1/acquire`, { method: 'POST', headers }).on('error', () => {});
    request.flushHeaders();
    // Then it is being read.
    await once(request, 'continue');
    request.write('{', () => request.destroy());
    await new Promise((resolve) => request.on('close', resolve));
    await served?.stop();
    expect(api).not.toHaveBeenCalled();
    expect(logged).not.toHaveBeenCalled();
  });
});

describe('the answer of a function', () => {
  it('keeps every value of a header, and prefers several to one', async () => {
    const url = await serving({
      api: () => ({
        statusCode: 201,
        headers: { 'x-one': '1', 'x-list': 'single' },
        multiValueHeaders: { 'X-List': ['a', 'b'] },
        body: '',
      }),
    });
    const response = await fetch(`${url}/v1/usage/a`);
    expect(response.status).toBe(201);
    expect(response.headers.get('x-one')).toBe('1');
    expect(response.headers.get('x-list')).toBe('a, b');
  });

  it('is decoded from base64', async () => {
    const url = await serving({ api: () => ({ statusCode: 200, headers: {}, body: '/wD+', isBase64Encoded: true }) });
    expect(new Uint8Array(await (await fetch(`${url}/v1/usage/a`)).arrayBuffer())).toEqual(new Uint8Array([0xff, 0x00, 0xfe]));
  });

  it('may have no headers and no body', async () => {
    const url = await serving({ api: () => ({ statusCode: 204 }) });
    expect((await fetch(`${url}/v1/usage/a`)).status).toBe(204);
  });

  it('is a 500 when it throws, and the log has the error', async () => {
    const logged = silenced();
    const failure = new Error('a bug');
    const url = await serving({
      api: () => {
        throw failure;
      },
    });
    expect((await fetch(`${url}/v1/usage/a`)).status).toBe(500);
    expect(logged).toHaveBeenCalledWith(failure);
  });
});

describe('stopping', () => {
  it('waits for the functions that run, whose answers still arrive, and takes no new requests', async () => {
    let answer: (value: typeof done) => void = () => {};
    let running: () => void = () => {};
    const started = new Promise<void>((resolve) => {
      running = resolve;
    });
    const url = await serving({
      api: () => {
        running();
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
    });
    const slow = fetch(`${url}/v1/usage/a`);
    await started;
    let stopped = false;
    const stopping = served!.stop().then(() => {
      stopped = true;
    });
    await expect(fetch(`${url}/healthz`)).rejects.toThrow('fetch failed');
    expect(stopped).toBe(false);
    answer({ ...done, body: '"late"' });
    expect(await (await slow).text()).toBe('"late"');
    await stopping;
    served = undefined;
  });
});
