import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { authorizerSettings } from '../../lambda/authorizer-settings.js';
import { InvalidArgument } from '../../lib/errors.js';

const JWT = { HEADGATE_JWT_ISSUER: 'https://id.example.com', HEADGATE_JWT_AUDIENCE: 'us' };
type Environment = Readonly<Record<string, string>>;

describe('without any variable', () => {
  it('keys of any form name the entity, the path parameter {provider} the resource, and no lease is signed', () => {
    expect(authorizerSettings({})).toEqual({
      acquiredBy: 'authorizer',
      caller: { keys: { format: 'any', unknownPerSecond: 10 }, jwt: undefined, proxy: undefined },
      resource: { from: 'path', name: 'provider' },
      estimates: new Map(),
      believesClients: false,
      refusedBy: 'integration',
      signsLeases: false,
    });
  });
});

it.each<{ when: string; env: Environment; believed: boolean }>([
  { when: 'its lease will be settled', env: { HEADGATE_LEASE_KEY: 'a signing key of a test' }, believed: true },
  { when: 'nothing will be settled', env: {}, believed: false },
  { when: 'that is set up', env: { HEADGATE_CLIENT_ESTIMATES: 'believed' }, believed: true },
  { when: 'the contrary is set up', env: { HEADGATE_LEASE_KEY: 'k', HEADGATE_CLIENT_ESTIMATES: 'ignored' }, believed: false },
])('whether a client’s own estimate is believed is $believed when $when', ({ env, believed }) => {
  expect(authorizerSettings(env).believesClients).toBe(believed);
});

describe('with an issuer', () => {
  it('its tokens are accepted beside keys, signed by RS256 or ES256, ten seconds tolerant, and their subject is the entity', () => {
    const { caller } = authorizerSettings(JWT);
    expect(caller.keys).toEqual({ format: 'any', unknownPerSecond: 10 });
    expect(caller.jwt).toEqual({
      issuer: 'https://id.example.com',
      audiences: ['us'],
      keysUrl: undefined,
      algorithms: ['RS256', 'ES256'],
      clockToleranceSeconds: 10,
      entityClaim: 'sub',
    });
  });

  it('tokens alone are accepted where only a claim names the entity', () => {
    const { caller } = authorizerSettings({ ...JWT, HEADGATE_ENTITY: 'claim:custom:tenant' });
    expect([caller.keys, caller.jwt?.entityClaim]).toEqual([undefined, 'custom:tenant']);
  });
});

it.each<{ variable: string; when: string; env: Environment }>([
  { variable: 'HEADGATE_ENTITY', when: 'is of an unknown kind', env: { HEADGATE_ENTITY: 'cookie:id' } },
  { variable: 'HEADGATE_ENTITY', when: 'is only commas', env: { HEADGATE_ENTITY: ',' } },
  { variable: 'HEADGATE_ENTITY', when: 'names no claim', env: { ...JWT, HEADGATE_ENTITY: 'claim:' } },
  { variable: 'HEADGATE_ENTITY', when: 'names two claims', env: { ...JWT, HEADGATE_ENTITY: 'claim:a,claim:b' } },
  { variable: 'HEADGATE_ENTITY', when: 'gives keys a name', env: { HEADGATE_ENTITY: 'key:x' } },
  { variable: 'HEADGATE_ENTITY', when: 'opens a door beside keys', env: { HEADGATE_ENTITY: 'key,header:x-tenant' } },
  { variable: 'HEADGATE_ENTITY', when: 'names no header', env: { HEADGATE_ENTITY: 'header:' } },
  { variable: 'HEADGATE_ENTITY', when: 'is no name of a header', env: { HEADGATE_ENTITY: 'header:x tenant' } },
  { variable: 'HEADGATE_ENTITY', when: 'leaves the issuer out', env: { ...JWT, HEADGATE_ENTITY: 'key' } },
  { variable: 'HEADGATE_JWT_ISSUER', when: 'is missing for a claim', env: { HEADGATE_ENTITY: 'claim:sub' } },
  { variable: 'HEADGATE_JWT_ISSUER', when: 'is no URL to find keys at', env: { ...JWT, HEADGATE_JWT_ISSUER: 'me' } },
  { variable: 'HEADGATE_JWT_ISSUER', when: 'is plain HTTP', env: { ...JWT, HEADGATE_JWT_ISSUER: 'http://id.example.com' } },
  { variable: 'HEADGATE_JWT_AUDIENCE', when: 'is missing', env: { HEADGATE_JWT_ISSUER: 'https://id.example.com' } },
  { variable: 'HEADGATE_JWT_AUDIENCE', when: 'is only commas', env: { ...JWT, HEADGATE_JWT_AUDIENCE: ' , ' } },
  { variable: 'HEADGATE_JWT_ALGORITHMS', when: 'allows none', env: { ...JWT, HEADGATE_JWT_ALGORITHMS: 'RS256,none' } },
  { variable: 'HEADGATE_JWT_ALGORITHMS', when: 'allows HMAC', env: { ...JWT, HEADGATE_JWT_ALGORITHMS: 'HS256' } },
  { variable: 'HEADGATE_JWT_ALGORITHMS', when: 'is in lower case', env: { ...JWT, HEADGATE_JWT_ALGORITHMS: 'rs256' } },
  { variable: 'HEADGATE_JWT_JWKS_URL', when: 'is plain HTTP', env: { ...JWT, HEADGATE_JWT_JWKS_URL: 'http://id.example.com/k' } },
  {
    variable: 'HEADGATE_JWT_CLOCK_TOLERANCE_SECONDS',
    when: 'is above five minutes',
    env: { ...JWT, HEADGATE_JWT_CLOCK_TOLERANCE_SECONDS: '301' },
  },
  { variable: 'HEADGATE_KEYS', when: 'is another', env: { HEADGATE_KEYS: 'some' } },
  { variable: 'HEADGATE_UNKNOWN_KEYS_PER_SECOND', when: 'is 0', env: { HEADGATE_UNKNOWN_KEYS_PER_SECOND: '0' } },
  { variable: 'HEADGATE_RESOURCE', when: 'is of an unknown kind', env: { HEADGATE_RESOURCE: 'body:model' } },
  { variable: 'HEADGATE_RESOURCE', when: 'has no name', env: { HEADGATE_RESOURCE: 'path' } },
  { variable: 'HEADGATE_RESOURCE', when: 'is no resource', env: { HEADGATE_RESOURCE: 'fixed:a#b' } },
  { variable: 'HEADGATE_RESOURCE', when: 'is a claim of no token', env: { HEADGATE_RESOURCE: 'claim:model' } },
  { variable: 'HEADGATE_ACQUIRED_BY', when: 'is another', env: { HEADGATE_ACQUIRED_BY: 'gateway' } },
  { variable: 'HEADGATE_REFUSED_BY', when: 'is another', env: { HEADGATE_REFUSED_BY: 'nobody' } },
  { variable: 'HEADGATE_CLIENT_ESTIMATES', when: 'is another', env: { HEADGATE_CLIENT_ESTIMATES: 'true' } },
  { variable: 'HEADGATE_ESTIMATES', when: 'is no JSON', env: { HEADGATE_ESTIMATES: '{' } },
  { variable: 'HEADGATE_ESTIMATES', when: 'is a list', env: { HEADGATE_ESTIMATES: '[1]' } },
  { variable: 'HEADGATE_ESTIMATES', when: 'has a fraction', env: { HEADGATE_ESTIMATES: '{"openai":1.5}' } },
  { variable: 'HEADGATE_ESTIMATES', when: 'has an unknown part', env: { HEADGATE_ESTIMATES: '{"openai":{"output":1}}' } },
  { variable: 'HEADGATE_ESTIMATES', when: 'names no resource', env: { HEADGATE_ESTIMATES: '{"a#b":1}' } },
  {
    variable: 'HEADGATE_PROXY_SECRET_SHA256',
    when: 'is the secret itself',
    env: { HEADGATE_ENTITY: 'header:x-tenant', HEADGATE_PROXY_SECRET_SHA256: 'a proxy secret of thirty-two char' },
  },
])('$variable is refused when it $when', ({ variable, env }) => {
  const refused = () => authorizerSettings(env);
  expect(refused).toThrow(InvalidArgument);
  expect(refused).toThrow(expect.objectContaining({ field: variable }));
});

it('a secret of the proxy that was given where its hash belongs is not repeated', () => {
  const env = { HEADGATE_ENTITY: 'header:x-tenant', HEADGATE_PROXY_SECRET_SHA256: 'hunter2' };
  expect(() => authorizerSettings(env)).toThrow(/^(?!.*hunter2)/);
});

it('docs/authorizer.md lists every variable that is read, and no other', () => {
  const text = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const read = ['lambda/authorizer-settings.ts', 'lambda/compose.ts'].flatMap((path) =>
    text(path).match(/(?<=env\.)HEADGATE_\w+/g),
  );
  const listed = (text('docs/authorizer.md').match(/^\| `HEADGATE_.*$/gm) ?? []).flatMap((row) =>
    row.split('|')[1]?.match(/HEADGATE_\w+/g),
  );
  expect(new Set(listed)).toEqual(new Set(read));
});
