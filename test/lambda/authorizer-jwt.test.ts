import { createHmac, createPublicKey, randomUUID } from 'node:crypto';
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { CompactSign, type CryptoKey, exportJWK, importJWK, type JWTPayload } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { coldStart, deployed, redeployed, slow } from './cold-start.js';
import { authorizerEvent } from './events.js';
import { type SigningKey, signed, signingKey, type TokenIssuer, tokenIssuer } from './token-issuer.js';

type Handler = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;

const AUDIENCE = 'https://llm.example.com';
let admin: HeadgateAdmin;
let issuer: TokenIssuer;
let rsa: SigningKey;
let ec: SigningKey;
/** The RSA key once more, given out without saying which algorithm it is for. */
let unbound: SigningKey;
let handler: Handler;

beforeAll(async () => {
  admin = await deployed();
  await admin.setLimits({ resource: 'openai' }, [slow('rpm', 1_000)]);
  issuer = await tokenIssuer();
  [rsa, ec] = await Promise.all([signingKey('rsa-1'), signingKey('ec-1', 'ES256')]);
  const { alg: _, ...anyAlgorithm } = rsa.publicJwk;
  unbound = { ...rsa, kid: 'rsa-any', publicJwk: { ...anyAlgorithm, kid: 'rsa-any' } };
  issuer.keys = [rsa, ec, unbound];
  handler = await withTokens();
  // The environment is read at the first call.
  await outcome(await signed({ key: rsa, claims: claims() }));
});

afterAll(() => issuer.stop());

beforeEach(async () => {
  Object.assign(issuer, {
    keys: [rsa, ec, unbound],
    fault: undefined,
    announcement: { issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/keys` },
  });
  issuer.asked.length = 0;
});

afterEach(() => {
  redeployed();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** A cold start that accepts the issuer's tokens. */
async function withTokens(more: Record<string, string> = {}): Promise<Handler> {
  redeployed();
  const environment = { HEADGATE_JWT_ISSUER: issuer.issuer, HEADGATE_JWT_AUDIENCE: AUDIENCE, ...more };
  return (await coldStart(() => import('../../lambda/authorizer.js'), environment)).handler;
}

const call = (authorization: string, more: { readonly provider?: string } = {}): APIGatewayRequestAuthorizerEvent =>
  authorizerEvent({
    method: 'POST',
    resource: '/llm/{provider}/{path+}',
    path: '/llm/openai/v1/chat/completions',
    pathParameters: { provider: more.provider ?? 'openai', path: 'v1/chat/completions' },
    headers: { Authorization: authorization },
  });

/** What comes of a token: the entity that it lets in, `401`, or the decision that is passed on. */
async function outcome(token: string, by: Handler = handler): Promise<string> {
  try {
    const { context } = await by(call(`Bearer ${token}`));
    return String(context?.decision ?? context?.entity);
  } catch (error) {
    if (error instanceof Error && error.message === 'Unauthorized') return '401';
    throw error;
  }
}

const nowSeconds = () => Math.floor(Date.now() / 1_000);
const claims = (more: JWTPayload = {}): JWTPayload => ({
  iss: issuer.issuer,
  aud: AUDIENCE,
  sub: 'ann',
  exp: nowSeconds() + 300,
  iat: nowSeconds(),
  ...more,
});
const without = (name: string): JWTPayload => Object.fromEntries(Object.entries(claims()).filter(([key]) => key !== name));
const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a token', () => {
  it.each([
    { by: 'RS256', key: () => rsa },
    { by: 'ES256', key: () => ec },
  ])('of the issuer, signed by $by, lets its subject in', async ({ key }) => {
    const { principalId, policyDocument, context } = await handler(
      call(`Bearer ${await signed({ key: key(), claims: claims() })}`),
    );
    expect([principalId, policyDocument.Statement[0]?.Effect, context?.entity]).toEqual(['ann', 'Allow', 'ann']);
    expect(context).toHaveProperty('lease');
  });

  it('may be for several audiences, of which one is ours', async () => {
    expect(await outcome(await signed({ key: rsa, claims: claims({ aud: ['other', AUDIENCE] }) }))).toBe('ann');
    const either = await withTokens({ HEADGATE_JWT_AUDIENCE: 'first, second' });
    expect(await outcome(await signed({ key: rsa, claims: claims({ aud: 'second' }) }), either)).toBe('ann');
  });

  it.each<{ when: string; claims: () => JWTPayload }>([
    { when: 'it is of another issuer', claims: () => claims({ iss: 'https://elsewhere.example.com' }) },
    { when: 'its issuer has a slash more', claims: () => claims({ iss: `${issuer.issuer}/` }) },
    { when: 'it has no issuer', claims: () => without('iss') },
    { when: 'it is for somebody else', claims: () => claims({ aud: 'https://other.example.com' }) },
    { when: 'it is for nobody', claims: () => without('aud') },
    { when: 'it expired eleven seconds ago', claims: () => claims({ exp: nowSeconds() - 11 }) },
    { when: 'it never expires', claims: () => without('exp') },
    { when: 'it is not valid for a minute yet', claims: () => claims({ nbf: nowSeconds() + 60 }) },
    { when: 'its expiry is a text', claims: () => claims({ exp: '9999999999' as unknown as number }) },
    { when: 'it has no subject', claims: () => without('sub') },
    { when: 'its subject is empty', claims: () => claims({ sub: '' }) },
    { when: 'its subject has the separator of keys', claims: () => claims({ sub: 'ann#b' }) },
    { when: 'its subject is a number', claims: () => claims({ sub: 7 as unknown as string }) },
    { when: 'its subject has 257 bytes', claims: () => claims({ sub: 'a'.repeat(257) }) },
  ])('is a 401 when $when', async ({ claims: given }) => {
    expect(await outcome(await signed({ key: rsa, claims: given() }))).toBe('401');
  });

  it('is accepted within ten seconds of its times, and with another tolerance within that', async () => {
    const justExpired = await signed({ key: rsa, claims: claims({ exp: nowSeconds() - 5 }) });
    expect(await outcome(justExpired)).toBe('ann');
    expect(await outcome(justExpired, await withTokens({ HEADGATE_JWT_CLOCK_TOLERANCE_SECONDS: '0' }))).toBe('401');
  });

  it('is signed by an algorithm on the list, or is a 401, though its key could do more', async () => {
    const privateKey = await importJWK(await exportJWK(rsa.privateKey), 'RS512');
    const token = await signed({ key: { ...unbound, alg: 'RS512', privateKey: privateKey as CryptoKey }, claims: claims() });
    expect(await outcome(token)).toBe('401');
    const other = await withTokens({ HEADGATE_JWT_ALGORITHMS: 'RS512' });
    expect(await outcome(token, other)).toBe('ann');
    expect(await outcome(await signed({ key: unbound, claims: claims() }), other)).toBe('401');
  });

  it.each<{ when: string; token: () => Promise<string> | string }>([
    { when: 'it is not signed (alg none)', token: () => `${base64url({ alg: 'none' })}.${base64url(claims())}.` },
    {
      when: 'it is not signed, and names a key',
      token: () => `${base64url({ alg: 'none', kid: 'rsa-1' })}.${base64url(claims())}.`,
    },
    { when: 'it is signed by HS256 with the public key as PEM', token: () => hmacSigned('pem') },
    { when: 'it is signed by HS256 with the public key as JWK', token: () => hmacSigned('jwk') },
    {
      when: 'it is signed by another key of the same id',
      token: async () => signed({ key: await signingKey('rsa-1'), claims: claims() }),
    },
    {
      when: 'it brings its own key',
      token: async () => {
        const key = await signingKey('mine');
        return signed({
          key,
          claims: claims(),
          header: { jwk: await exportJWK(key.privateKey), jku: 'https://evil.example.com' },
        });
      },
    },
    {
      when: 'its claims were changed',
      token: async () => {
        const [header, , signature] = (await signed({ key: rsa, claims: claims() })).split('.');
        return `${header}.${base64url(claims({ sub: 'root' }))}.${signature}`;
      },
    },
    {
      when: 'it demands an extension that nobody knows',
      token: () =>
        signed({ key: rsa, claims: claims(), header: { crit: ['x'], x: 1 } }).catch(
          () => `${base64url({ alg: 'RS256', crit: ['x'], x: 1 })}.${base64url(claims())}.AAAA`,
        ),
    },
    {
      when: 'its claims are no object',
      token: () => new CompactSign(Buffer.from('"ann"')).setProtectedHeader({ alg: 'RS256', kid: 'rsa-1' }).sign(rsa.privateKey),
    },
    {
      when: 'it is longer than any header',
      token: async () => signed({ key: rsa, claims: claims({ more: 'x'.repeat(12_000) }) }),
    },
  ])('is a 401 when $when', async ({ token }) => {
    expect(await outcome(await token())).toBe('401');
  });
});

/** Signed by HMAC with what everybody knows: the public key. */
function hmacSigned(form: 'pem' | 'jwk'): string {
  const { kid, alg: _, use: __, ...jwk } = rsa.publicJwk;
  const pem = createPublicKey({ key: jwk as never, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const secret = form === 'pem' ? pem : JSON.stringify(rsa.publicJwk);
  const body = `${base64url({ alg: 'HS256', kid })}.${base64url(claims())}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

describe('the issuer’s keys', () => {
  const token = () => signed({ key: rsa, claims: claims() });
  let cold: Handler;

  beforeEach(async () => {
    cold = await withTokens();
  });

  it('are looked for where the issuer announces them, once for many tokens', async () => {
    for (let time = 0; time < 5; time += 1) expect(await outcome(await token(), cold)).toBe('ann');
    expect(issuer.asked).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  it('are looked for in the usual place when the issuer announces nothing, and only where they are said to be when that is set', async () => {
    issuer.announcement = undefined;
    expect(await outcome(await token(), cold)).toBe('ann');
    expect(issuer.asked).toEqual(['/.well-known/openid-configuration', '/.well-known/jwks.json']);
    issuer.asked.length = 0;
    const told = await withTokens({ HEADGATE_JWT_JWKS_URL: `${issuer.issuer}/elsewhere` });
    expect(await outcome(await token(), told)).toBe('ann');
    expect(issuer.asked).toEqual(['/elsewhere']);
  });

  it('are fetched by no token of an algorithm that is refused, and by none that is no token', async () => {
    await outcome(hmacSigned('pem'), cold);
    await outcome('eyJ.nonsense', cold);
    await outcome(`eyJ${'x'.repeat(50)}.eyJ${'x'.repeat(50)}.${'x'.repeat(50)}`, cold);
    expect(issuer.asked).toEqual([]);
  });

  it.each<{ when: string; fault: TokenIssuer['fault'] }>([
    { when: 'answers 500', fault: 500 },
    { when: 'redirects', fault: 302 },
    { when: 'answers nonsense', fault: 'garbage' },
    { when: 'gives no answer', fault: 'silence' },
  ])('that cannot be had are no fault of the token while the issuer $when: unavailable, and not 401', async ({ fault }) => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const impatient = AbortSignal.timeout(200);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => impatient);
    issuer.fault = fault;
    const result = await cold(call(`Bearer ${await token()}`));
    expect(result.policyDocument.Statement[0]?.Effect).toBe('Allow');
    expect(result.context).toMatchObject({ entity: 'unknown', decision: 'LimiterUnavailable', status: '503' });
    expect(result.context).not.toHaveProperty('lease');
  });

  it('are not asked for again within five seconds of a failure, and then serve as before', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    issuer.fault = 500;
    for (let time = 0; time < 5; time += 1) expect(await outcome(await token(), cold)).toBe('LimiterUnavailable');
    expect(issuer.asked).toEqual(['/.well-known/openid-configuration']);
    issuer.fault = undefined;
    later(5_001);
    expect(await outcome(await token(), cold)).toBe('ann');
  });

  it('that another announces are not trusted', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    issuer.announcement = { issuer: 'https://elsewhere.example.com', jwks_uri: `${issuer.issuer}/keys` };
    expect(await outcome(await token(), cold)).toBe('LimiterUnavailable');
    expect(issuer.asked).toEqual(['/.well-known/openid-configuration']);
  });

  it('are fetched again for a key id that is unknown, but not twice in half a minute', async () => {
    expect(await outcome(await token(), cold)).toBe('ann');
    const rotated = await signingKey('ec-2', 'ES256');
    issuer.keys = [rotated];
    const next = () => signed({ key: rotated, claims: claims() });
    expect(await outcome(await next(), cold)).toBe('401');
    expect(issuer.asked).toHaveLength(2);
    later(30_001);
    expect(await outcome(await next(), cold)).toBe('ann');
    expect(issuer.asked).toHaveLength(3);
    for (let time = 0; time < 20; time += 1)
      expect(await outcome(await signed({ key: await signingKey(randomUUID(), 'ES256'), claims: claims() }), cold)).toBe('401');
    expect(issuer.asked).toHaveLength(3);
    expect(await outcome(await token(), cold)).toBe('401');
  });

  it('that are ten minutes old serve for an hour while the issuer gives no others', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    expect(await outcome(await token(), cold)).toBe('ann');
    issuer.fault = 500;
    later(3_590_000);
    const lasting = await signed({ key: rsa, claims: claims({ exp: nowSeconds() + 86_400 }) });
    expect(await outcome(lasting, cold)).toBe('ann');
    expect(await outcome(await signed({ key: await signingKey('new', 'ES256'), claims: claims() }), cold)).toBe(
      'LimiterUnavailable',
    );
    later(3_600_001);
    expect(await outcome(lasting, cold)).toBe('LimiterUnavailable');
  });
});

const { now, parse } = Date;

/** It is that much later than it really is, for everybody. */
function later(ms: number): void {
  vi.spyOn(Date, 'now').mockImplementation(() => now() + ms);
  // The table's answers say so too, or the clock would take itself for fast.
  vi.spyOn(Date, 'parse').mockImplementation((text) => parse(text) + (text.endsWith('GMT') ? ms : 0));
}

describe('beside keys', () => {
  it('a token is taken for a token and a key for a key', async () => {
    const entity = randomUUID();
    const { secret } = await admin.createKey({ entity });
    expect(await outcome(secret)).toBe(entity);
    expect(await outcome(await signed({ key: rsa, claims: claims() }))).toBe('ann');
  });

  it('neither is taken where only the other is accepted', async () => {
    const { secret } = await admin.createKey({ entity: 'holder' });
    const tokensOnly = await withTokens({ HEADGATE_ENTITY: 'claim:sub' });
    expect(await outcome(secret, tokensOnly)).toBe('401');
    expect(await outcome(await signed({ key: rsa, claims: claims() }), tokensOnly)).toBe('ann');
  });

  it('the entity is the claim that is set up, colons and all', async () => {
    const mapped = await withTokens({ HEADGATE_ENTITY: 'key, claim:custom:tenant' });
    expect(await outcome(await signed({ key: rsa, claims: claims({ 'custom:tenant': 'acme' }) }), mapped)).toBe('acme');
    expect(await outcome(await signed({ key: rsa, claims: claims() }), mapped)).toBe('401');
  });

  it('the resource is the claim that is set up', async () => {
    const mapped = await withTokens({ HEADGATE_RESOURCE: 'claim:model' });
    await admin.setLimits({ resource: 'claimed' }, [slow('rpm', 1)]);
    const token = await signed({ key: rsa, claims: claims({ sub: randomUUID(), model: 'claimed' }) });
    const effects = [await mapped(call(`Bearer ${token}`)), await mapped(call(`Bearer ${token}`))];
    expect(effects.map(({ policyDocument }) => policyDocument.Statement[0]?.Effect)).toEqual(['Allow', 'Deny']);
    expect(await outcome(await signed({ key: rsa, claims: claims() }), mapped)).toBe('InvalidArgument');
  });
});
