import { InvalidArgument } from '../lib/errors.js';
import { checkName } from '../lib/names.js';
import { type CallEstimates, estimatesOf } from './call-estimate.js';
import type { KeyFormat } from './key-lookup.js';

/** Who may call, and what names the entity that is limited. Of keys and tokens at least one; a header instead of both. */
export interface CallerSettings {
  readonly keys: { readonly format: KeyFormat; readonly unknownPerSecond: number } | undefined;
  readonly jwt: JwtSettings | undefined;
  readonly proxy: ProxySettings | undefined;
}

/** The JSON Web Tokens that are accepted. */
export interface JwtSettings {
  readonly issuer: string;
  /** A token must be for one of these. */
  readonly audiences: readonly string[];
  /** Where the issuer's keys are; undefined: where the issuer says. */
  readonly keysUrl: URL | undefined;
  readonly algorithms: readonly string[];
  readonly clockToleranceSeconds: number;
  /** The claim that holds the entity. */
  readonly entityClaim: string;
}

/** A proxy in front of the API that has authenticated the caller, and says in a header who that is. */
export interface ProxySettings {
  readonly entityHeader: string;
  /** SHA-256 of what the proxy proves itself by; undefined: nothing can reach the API but the proxy. */
  readonly secretSha256: Buffer | undefined;
}

/** Where the name of the resource is found. */
export interface ResourceSource {
  readonly from: 'path' | 'header' | 'claim' | 'fixed';
  /** Of the path parameter, header or claim; or the resource itself. */
  readonly name: string;
}

/**
 * Who answers a call that is refused with anything but a 429: the integration, which is let through to with the `decision`, or the authorizer itself,
 * so that no call goes through that was not admitted.
 */
export type RefusedBy = 'integration' | 'authorizer';

/** Who acquires what a call draws on: the authorizer, before the body is seen, or the integration, which is told the resource in the context. */
export type AcquiredBy = 'authorizer' | 'integration';

export interface AuthorizerSettings {
  readonly acquiredBy: AcquiredBy;
  readonly caller: CallerSettings;
  readonly resource: ResourceSource;
  readonly estimates: CallEstimates;
  /** Whether a client is believed that says how many tokens its call will take. */
  readonly believesClients: boolean;
  readonly refusedBy: RefusedBy;
  /** Whether a lease can be signed, to be passed on. */
  readonly signsLeases: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ALGORITHMS = 'RS256,ES256';
/** Signatures by a private key only: a public key that is known to all must never pass for a shared secret, and `none` is no signature. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/** The settings that the environment amounts to; docs/authorizer.md lists the variables. Throws `InvalidArgument` naming the variable. */
export function authorizerSettings(env: Environment): AuthorizerSettings {
  const caller = callerSettings(env);
  const resource = resourceSource(env.HEADGATE_RESOURCE || 'path:provider');
  if (resource.from === 'claim' && caller.jwt === undefined)
    throw refused('HEADGATE_RESOURCE', env.HEADGATE_RESOURCE, 'a claim only where tokens are accepted (HEADGATE_JWT_ISSUER)');
  const signsLeases = Boolean(env.HEADGATE_LEASE_KEY || env.HEADGATE_LEASE_KEY_SECRET);
  // Where nothing is settled, a client that says 0 would never pay.
  const usual = signsLeases ? 'believed' : 'ignored';
  const stated = oneOf('HEADGATE_CLIENT_ESTIMATES', env.HEADGATE_CLIENT_ESTIMATES || usual, ['believed', 'ignored']);
  return {
    acquiredBy: oneOf('HEADGATE_ACQUIRED_BY', env.HEADGATE_ACQUIRED_BY || 'authorizer', ['authorizer', 'integration']),
    caller,
    resource,
    estimates: estimatesOf(env.HEADGATE_ESTIMATES),
    believesClients: stated === 'believed',
    refusedBy: oneOf('HEADGATE_REFUSED_BY', env.HEADGATE_REFUSED_BY || 'integration', ['integration', 'authorizer']),
    signsLeases,
  };
}

function callerSettings(env: Environment): CallerSettings {
  const given = env.HEADGATE_ENTITY || (env.HEADGATE_JWT_ISSUER ? 'key,claim:sub' : 'key');
  const sources = list(given).map(named);
  const wrong = () => refused('HEADGATE_ENTITY', given, 'key, claim:NAME, both separated by a comma, or header:NAME alone');
  const kinds = sources.map(({ kind }) => kind);
  if (sources.length === 0 || new Set(kinds).size < kinds.length) throw wrong();
  if (kinds.includes('header')) {
    if (kinds.length > 1) throw wrong();
    return { keys: undefined, jwt: undefined, proxy: proxySettings(env, sources[0]?.name ?? '') };
  }
  if (sources.some(({ kind, name }) => !((kind === 'key' && name === '') || (kind === 'claim' && name !== '')))) throw wrong();
  const claim = sources.find(({ kind }) => kind === 'claim')?.name;
  if (claim === undefined && env.HEADGATE_JWT_ISSUER)
    throw refused('HEADGATE_ENTITY', given, 'a list with claim:NAME, because HEADGATE_JWT_ISSUER is set');
  return {
    keys: kinds.includes('key') ? keySettings(env) : undefined,
    jwt: claim === undefined ? undefined : jwtSettings(env, claim),
    proxy: undefined,
  };
}

const keySettings = (env: Environment): CallerSettings['keys'] => ({
  format: oneOf('HEADGATE_KEYS', env.HEADGATE_KEYS || 'any', ['any', 'generated']),
  unknownPerSecond: integer('HEADGATE_UNKNOWN_KEYS_PER_SECOND', env.HEADGATE_UNKNOWN_KEYS_PER_SECOND || '10', 1, 1_000),
});

function jwtSettings(env: Environment, entityClaim: string): JwtSettings {
  const issuer = env.HEADGATE_JWT_ISSUER;
  if (!issuer) throw refused('HEADGATE_JWT_ISSUER', issuer, 'the issuer whose tokens are accepted');
  const audiences = list(env.HEADGATE_JWT_AUDIENCE ?? '');
  if (audiences.length === 0)
    throw refused('HEADGATE_JWT_AUDIENCE', env.HEADGATE_JWT_AUDIENCE, 'whom tokens must be for, several separated by commas');
  const algorithms = list(env.HEADGATE_JWT_ALGORITHMS || DEFAULT_ALGORITHMS);
  if (algorithms.length === 0 || algorithms.some((algorithm) => !ALGORITHMS.includes(algorithm)))
    throw refused(
      'HEADGATE_JWT_ALGORITHMS',
      env.HEADGATE_JWT_ALGORITHMS,
      `some of ${ALGORITHMS.join(', ')}, separated by commas`,
    );
  const keysUrl = env.HEADGATE_JWT_JWKS_URL ? secureUrl('HEADGATE_JWT_JWKS_URL', env.HEADGATE_JWT_JWKS_URL) : undefined;
  if (keysUrl === undefined) secureUrl('HEADGATE_JWT_ISSUER', issuer);
  const tolerance = env.HEADGATE_JWT_CLOCK_TOLERANCE_SECONDS || '10';
  return {
    issuer,
    audiences,
    keysUrl,
    algorithms,
    clockToleranceSeconds: integer('HEADGATE_JWT_CLOCK_TOLERANCE_SECONDS', tolerance, 0, 300),
    entityClaim,
  };
}

function proxySettings(env: Environment, entityHeader: string): ProxySettings {
  const header = headerName('HEADGATE_ENTITY', entityHeader);
  const sha256 = env.HEADGATE_PROXY_SECRET_SHA256;
  if (!sha256) return { entityHeader: header, secretSha256: undefined };
  if (!/^[0-9a-f]{64}$/i.test(sha256))
    throw refused('HEADGATE_PROXY_SECRET_SHA256', 'a value not shown here', 'the SHA-256 of a secret, 64 hexadecimal digits');
  return { entityHeader: header, secretSha256: Buffer.from(sha256, 'hex') };
}

function resourceSource(text: string): ResourceSource {
  const { kind, name } = named(text);
  const from = oneOf('HEADGATE_RESOURCE', kind, ['path', 'header', 'claim', 'fixed']);
  if (name === '') throw refused('HEADGATE_RESOURCE', text, 'path:NAME, header:NAME, claim:NAME or fixed:RESOURCE');
  if (from === 'header') headerName('HEADGATE_RESOURCE', name);
  if (from === 'fixed') checkName(name, 'HEADGATE_RESOURCE');
  return { from, name };
}

/** `claim:custom:tenant` is of the kind `claim`, and its name is `custom:tenant`. */
function named(text: string): { readonly kind: string; readonly name: string } {
  const colon = text.indexOf(':');
  return colon < 0 ? { kind: text, name: '' } : { kind: text.slice(0, colon), name: text.slice(colon + 1) };
}

const list = (text: string): readonly string[] =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');

function oneOf<const T extends string>(field: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw refused(field, value, `one of ${known.join(', ')}`);
  return found;
}

function integer(field: string, text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) throw refused(field, text, `an integer from ${least} to ${most}`);
  return value;
}

function headerName(field: string, name: string): string {
  if (!HEADER_NAME.test(name)) throw refused(field, name, 'the name of a header');
  return name;
}

/** Keys that came over plain HTTP could be anybody's; on this machine itself it is allowed, for tests. */
function secureUrl(field: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const local = url?.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url === undefined || (url.protocol !== 'https:' && !local)) throw refused(field, text, 'an https URL');
  return url;
}

const refused = (field: string, value: unknown, expected: string): InvalidArgument =>
  new InvalidArgument({ field, value, expected });
