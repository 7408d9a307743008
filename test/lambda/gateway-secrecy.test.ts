import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { nowhere } from './cold-start.js';
import { DeployedGateway, jsonOf } from './deployed-gateway.js';
import type { Request } from './events.js';
import { HandMadeUpstream } from './hand-made-upstream.js';

const PROVIDERS_KEY = 'sk-of-the-provider-0123456789';
const CALLERS_KEY = 'hg_the-callers-own-key';

/** What Secrets Manager has. */
const SECRETS: Readonly<Record<string, string>> = { whole: PROVIDERS_KEY, broken: `${PROVIDERS_KEY}\n{"and":"more"}` };

let secrets: HandMadeUpstream;
let gateway: DeployedGateway;
/** All that the function has written. */
let log: string[];

beforeAll(async () => {
  secrets = await HandMadeUpstream.start();
  secrets.answer = (response, { body }) => {
    const SecretString = SECRETS[JSON.parse(body.toString()).SecretId];
    if (SecretString === undefined) response.writeHead(400, { 'x-amzn-errortype': 'ResourceNotFoundException' });
    response.end(JSON.stringify(SecretString === undefined ? { message: 'No such secret' } : { SecretString }));
  };
  const unreachable = await nowhere();
  gateway = await DeployedGateway.start('buffered', (baseUrl) => ({
    upstreams: {
      openai: { baseUrl, apiKeySecret: 'whole', timeoutMs: 10_000 },
      gemini: { baseUrl, apiKeySecret: 'whole', keyHeader: 'x-goog-api-key' },
      slow: { baseUrl, apiKeySecret: 'whole', timeoutMs: 30 },
      nowhere: { baseUrl: unreachable, apiKeySecret: 'whole' },
      broken: { baseUrl, apiKeySecret: 'broken' },
      missing: { baseUrl, apiKeySecret: 'missing' },
    },
    environment: { AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url, HEADGATE_METRICS: 'on' },
  }));
});

beforeEach(() => {
  log = [];
  gateway.upstream.reset();
  for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const)
    vi.spyOn(console, method).mockImplementation((...written) => void log.push(written.map(shown).join(' ')));
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, 'write').mockImplementation((written) => {
      log.push(String(written));
      return true;
    });
});

afterAll(async () => {
  vi.restoreAllMocks();
  await gateway.stop();
  await secrets.stop();
});

/** As a log has it, and deeper. */
const shown = (value: unknown): string => (typeof value === 'string' ? value : inspect(value, { depth: 8 }));

async function call(provider: string, request: Request = {}) {
  const entity = await gateway.limited();
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${CALLERS_KEY}`, 'x-api-key': CALLERS_KEY };
  const context = await gateway.admitted(entity);
  const path = 'v1/chat/completions';
  const answer = await gateway.call({ entity, authorizer: context, headers, pathParameters: { provider, path }, ...request });
  return { answer, lease: String(context.lease) };
}

const providersKey = () =>
  [gateway.upstream.last.headers.authorization, gateway.upstream.last.headers['x-goog-api-key']].join('');

describe.each([
  { what: 'succeeds', provider: 'openai', status: 200 },
  { what: 'the provider refuses with 401 and the key in its error', provider: 'openai', status: 401, failWith: 401 },
  { what: 'the provider answers 500 to', provider: 'openai', status: 500, failWith: 500 },
  { what: 'the provider does not answer in time', provider: 'slow', status: 504, silent: true },
  { what: 'finds no provider', provider: 'nowhere', status: 502 },
  { what: 'finds no secret', provider: 'missing', status: 500 },
  { what: 'finds a secret that cannot stand in a header', provider: 'broken', status: 500 },
  { what: 'is no JSON', provider: 'openai', status: 400, body: `{"key":"${CALLERS_KEY}"` },
  { what: 'goes to an unknown provider', provider: 'unknown', status: 404 },
])('the log of a call that $what', ({ provider, status, failWith, silent, body }) => {
  it('has neither the provider’s key nor the caller’s, nor the lease', async () => {
    if (failWith !== undefined)
      gateway.upstream.answer = (response) => {
        response.writeHead(failWith, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ error: { message: `Incorrect API key provided: ${PROVIDERS_KEY}` } }));
      };
    if (silent) gateway.upstream.answer = () => {};

    const { answer, lease } = await call(provider, body === undefined ? {} : { body });

    expect(answer.status).toBe(status);
    expect(log.length).toBeGreaterThan(0);
    const written = log.join('\n');
    for (const secret of [PROVIDERS_KEY, CALLERS_KEY, lease]) expect(written).not.toContain(secret);
  });
});

it('a key in the query, as Gemini’s clients may send it, is neither forwarded nor logged; the provider’s is sent in a header', async () => {
  const { answer } = await call('gemini', {
    pathParameters: { provider: 'gemini', path: 'v1beta/models/gpt-4:generateContent' },
    query: { key: CALLERS_KEY, alt: 'json' },
    body: JSON.stringify({ contents: [{ parts: [{ text: 'Hello' }] }] }),
  });
  expect(answer.status).toBe(200);
  expect(gateway.upstream.last.url).toBe('/v1beta/models/gpt-4:generateContent?alt=json');
  expect(providersKey()).toBe(PROVIDERS_KEY);
  expect(log.join('\n')).not.toContain(CALLERS_KEY);
});

it('a secret that is no key is named in the answer, and not shown', async () => {
  const { answer } = await call('broken');
  expect(jsonOf(answer)).toMatchObject({ code: 'InvalidArgument', detail: expect.stringContaining('got "broken"') });
});
