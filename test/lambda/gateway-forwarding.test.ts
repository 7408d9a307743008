import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { slow } from './cold-start.js';
import { CHAT, DeployedGateway, forms, jsonOf, textOf } from './deployed-gateway.js';
import type { Request } from './events.js';
import { HandMadeUpstream } from './hand-made-upstream.js';

describe.each(forms)('a call through the gateway, its answer %s', (form) => {
  let gateway: DeployedGateway;
  /** A Secrets Manager where every secret is `sk-of-` and its id. */
  let secrets: HandMadeUpstream;

  beforeAll(async () => {
    secrets = await HandMadeUpstream.start();
    secrets.answer = (response, { body }) => {
      response.end(JSON.stringify({ SecretString: `sk-of-${JSON.parse(body.toString()).SecretId}` }));
    };
    gateway = await DeployedGateway.start(form, (url) => ({
      upstreams: {
        keyed: { baseUrl: url, apiKeySecret: 'the-provider' },
        'my/azure': { baseUrl: `${url}/openai/deployments/mine//` },
      },
      environment: { AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url },
    }));
  });

  afterEach(() => gateway.upstream.reset());

  afterAll(async () => {
    await gateway.stop();
    await secrets.stop();
  });

  const call = async (request: Request = {}) => gateway.call({ entity: await gateway.limited(), ...request });
  const through = (provider: string, path = 'v1/chat/completions'): Request => ({ pathParameters: { provider, path } });

  it('arrives with its method, path, query and every byte of its body', async () => {
    const body = ` { "model":"gpt-4" ,"seed":12345678901234567890, "messages":[{"role":"user","content":"Grüße \\u00fc"}]}\n`;
    await call({
      ...through('openai', 'v1/files/ft%3Agpt%2F4/content'),
      method: 'PUT',
      query: { 'api-version': '2026-01-01', tag: ['a/b c', 'd&e=f'] },
      body,
    });
    const { method, url, body: arrived } = gateway.upstream.last;
    expect([method, url]).toEqual(['PUT', '/v1/files/ft%3Agpt%2F4/content?api-version=2026-01-01&tag=a%2Fb+c&tag=d%26e%3Df']);
    expect(arrived.toString()).toBe(body);
  });

  it('arrives as it was when API Gateway handed it on in base64', async () => {
    const body = JSON.stringify({ ...CHAT, user: 'Zürich' });
    await call({ body: Buffer.from(body).toString('base64'), isBase64Encoded: true });
    expect(gateway.upstream.last.body.toString()).toBe(body);
  });

  it('arrives with the client’s headers, every value of each, and asks for bytes that are not compressed', async () => {
    await call({
      headers: {
        'Content-Type': 'application/json; charset=utf-8',
        'OpenAI-Beta': ['assistants=v2', 'realtime=v1'],
        'X-Stainless-Retry-Count': '0',
        'Accept-Encoding': 'gzip, br',
        'Content-Length': '7',
      },
    });
    const { headers } = gateway.upstream.last;
    expect(headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'openai-beta': 'assistants=v2, realtime=v1',
      'x-stainless-retry-count': '0',
      'accept-encoding': 'identity',
      'content-length': String(JSON.stringify(CHAT).length),
      host: new URL(gateway.upstream.url).host,
    });
  });

  it('brings no key of the client, no cookie, and nothing of the way it took, whatever their headers are called', async () => {
    await call({
      headers: {
        Authorization: 'Bearer hg_client_secret',
        'X-API-KEY': 'hg_client_secret',
        'Api-Key': 'hg_client_secret',
        Cookie: 'session=hg_client_secret',
        'Proxy-Authorization': 'Basic hg_client_secret',
        'X-Headgate-Estimated-Tokens': '12',
        'X-Amz-Security-Token': 'hg_client_secret',
        Forwarded: 'for=203.0.113.7',
      },
    });
    const { rawHeaders, headers, body } = gateway.upstream.last;
    expect(rawHeaders.join('\n') + body.toString()).not.toMatch(/secret|203\.0\.113\.7|cloudfront\.net|headgate/i);
    expect(headers).not.toHaveProperty('authorization');
  });

  it('brings the provider’s own key, read from its secret once', async () => {
    const entity = await gateway.limited();
    await gateway.admin.setLimits({ entity, resource: 'keyed' }, [slow('rpm', 9)]);
    secrets.arrived.length = 0;
    for (let time = 0; time < 2; time += 1) {
      await gateway.call({ entity, ...through('keyed'), headers: { Authorization: 'Bearer hg_client_secret' } });
      expect(gateway.upstream.last.headers.authorization).toBe('Bearer sk-of-the-provider');
    }
    expect(secrets.arrived.length).toBeLessThanOrEqual(1);
  });

  it('reaches a provider by a name with a slash, below its base path', async () => {
    await call(through('my%2Fazure', 'chat/completions'));
    expect(gateway.upstream.last.url).toBe('/openai/deployments/mine/chat/completions');
  });

  it.each(['../theirs/chat', '%2e%2e/theirs/chat', 'a/../../theirs', '..%5ctheirs/../../x'])(
    'never leaves the base path of its provider: %s',
    async (path) => {
      const entity = await gateway.limited();
      const answer = await gateway.call({ entity, ...through('my%2Fazure', path) });
      for (const { url } of gateway.upstream.arrived) expect(url).toMatch(/^\/openai\/deployments\/mine\//);
      if (gateway.upstream.arrived.length === 0) {
        expect(answer.status).toBe(404);
        expect(await gateway.left(entity)).toEqual({ model: { rpm: 5, tpm: 1_000 }, provider: { rpm: 9 } });
      }
    },
  );

  it('without a body passes, and draws on no model', async () => {
    gateway.upstream.answer = (response) => response.end('{"object":"list","data":[]}');
    const entity = await gateway.limited();
    const answer = await gateway.call({ entity, ...through('openai', 'v1/models'), method: 'GET', body: null });
    expect(answer.status).toBe(200);
    expect(jsonOf(answer)).toEqual({ object: 'list', data: [] });
    expect(gateway.upstream.last).toMatchObject({ method: 'GET', url: '/v1/models', body: Buffer.alloc(0) });
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 5, tpm: 1_000 }, provider: { rpm: 8 } });
  });

  it('is answered with the provider’s status and headers, and our limits instead of the provider’s', async () => {
    gateway.upstream.answer = (response) => {
      response.writeHead(201, {
        'Content-Type': 'application/json',
        'OpenAI-Processing-Ms': '12',
        'Set-Cookie': 'session=provider',
        'X-RateLimit-Remaining-Requests': '9999',
        RateLimit: '"theirs";r=1;t=1',
      });
      response.end('{}');
    };
    const { status, headers } = await call();
    expect([status, headers.get('openai-processing-ms')]).toEqual([201, '12']);
    expect(headers.get('set-cookie')).toBeNull();
    expect(headers.get('ratelimit')).toMatch(/^"rpm";r=4;t=\d+, "tpm";r=900;t=\d+$/);
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('4');
    expect(headers.get('x-ratelimit-remaining-tokens')).toBe('900');
  });

  it.each([
    { what: 'an image', type: 'image/png', bytes: Buffer.from([0x89, 0x50, 0x00, 0xff, 0xfe, 0x0a]) },
    { what: 'bytes of no stated kind', type: undefined, bytes: Buffer.from([0x00, 0xff, 0x80]) },
    { what: 'text beyond ASCII', type: 'application/json', bytes: Buffer.from('{"a":"Grüße, 日本"}') },
    { what: 'nothing', type: 'application/json', bytes: Buffer.alloc(0) },
  ])('is answered with the very bytes of $what', async ({ type, bytes }) => {
    gateway.upstream.answer = (response) => {
      response.writeHead(200, type === undefined ? {} : { 'Content-Type': type });
      response.end(bytes);
    };
    expect((await call()).bytes).toEqual(bytes);
  });

  it.each([
    { status: 204, request: {} },
    { status: 304, request: { method: 'GET', body: null } },
    { status: 200, request: { method: 'HEAD', body: null } },
  ])('is answered with $status where the provider’s answer has no body', async ({ status, request }) => {
    gateway.upstream.answer = (response) => response.writeHead(status, { 'X-Kind': 'empty' }).end();
    const answer = await call(request);
    expect([answer.status, answer.headers.get('x-kind'), answer.bytes.length]).toEqual([status, 'empty', 0]);
  });

  it('is answered with a redirection, which is not followed', async () => {
    gateway.upstream.answer = (response) => response.writeHead(307, { Location: '/elsewhere' }).end('moved');
    const answer = await call();
    expect([answer.status, answer.headers.get('location'), textOf(answer)]).toEqual([307, '/elsewhere', 'moved']);
    expect(gateway.upstream.arrived).toHaveLength(1);
  });
});
