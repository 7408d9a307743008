import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../lib/clock.js';
import { InvalidArgument, LimiterUnavailable } from '../lib/errors.js';
import { checkName } from '../lib/names.js';
import { type Store, StoreFailure } from '../lib/store/store.js';
import type { CallerSettings, JwtSettings, ProxySettings } from './authorizer-settings.js';
import { type HeaderedEvent, headerValues } from './http-event.js';
import type { VerifyToken } from './json-web-token.js';
import { KeyLookup } from './key-lookup.js';

/** Who calls. */
export interface Caller {
  readonly entity: string;
  /** What the caller's token says; empty where it showed none. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Undefined: nobody who may call. Throws `LimiterUnavailable` when that cannot be told now. */
export type Authenticate = (event: HeaderedEvent) => Promise<Caller | undefined>;

/** The header by which a trusted proxy proves itself. */
const PROXY_SECRET_HEADER = 'x-headgate-proxy-secret';
/** Longer than any token that API Gateway lets through. */
const LONGEST_TOKEN = 10_240;

interface CallerParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly namespace: string;
  readonly deadlineMs: number;
}

/** Tells callers by their key or token, or by what a proxy says. A header that was sent twice with different values says nothing. */
export function authentication(settings: CallerSettings, parts: CallerParts): Authenticate {
  const { keys, jwt, proxy } = settings;
  if (proxy !== undefined) return async (event) => proxied(event, proxy);
  const lookup = keys && new KeyLookup({ ...parts, ...keys });
  const claimsOf = jwt && verifier(jwt, parts.clock);
  return async (event) => {
    const bearer = /^Bearer +(\S+)$/i.exec(only(headerValues(event, 'authorization')) ?? '')?.[1];
    if (bearer !== undefined && claimsOf !== undefined && (lookup === undefined || looksLikeToken(bearer))) {
      const claims = bearer.length > LONGEST_TOKEN ? undefined : await claimsOf(bearer);
      return claims && calling(claims[jwt?.entityClaim ?? ''], claims);
    }
    const secret = bearer ?? KEY_HEADERS.map((name) => only(headerValues(event, name))).find((value) => value);
    if (lookup === undefined || secret === undefined) return undefined;
    return calling(await entityOf(lookup, secret), {});
  };
}

/** Where the clients of Anthropic, Azure and Google send a key. */
const KEY_HEADERS = ['x-api-key', 'api-key', 'x-goog-api-key'];

/** The only value; undefined where there is none, or several. */
const only = (values: readonly string[]): string | undefined => (values.length === 1 ? values[0] : undefined);

/** A JSON object in base64url, and a dot: no key that Headgate makes looks like that. */
const looksLikeToken = (bearer: string): boolean => bearer.startsWith('eyJ') && bearer.includes('.');

/** A caller of this name, if it is one. */
function calling(entity: unknown, claims: Caller['claims']): Caller | undefined {
  if (entity === undefined) return undefined;
  try {
    checkName(entity, 'entity');
  } catch (error) {
    if (error instanceof InvalidArgument) return undefined;
    throw error;
  }
  return { entity, claims };
}

async function entityOf(lookup: KeyLookup, secret: string): Promise<string | undefined> {
  try {
    return await lookup.entityOf(secret);
  } catch (error) {
    if (!(error instanceof StoreFailure)) throw error;
    throw new LimiterUnavailable(`The key could not be checked: ${error.message}`, { cause: error });
  }
}

/** Loads what verifies tokens with the first of them. */
function verifier(settings: JwtSettings, clock: Clock): VerifyToken {
  let loading: Promise<VerifyToken> | undefined;
  return async (token) => {
    loading ??= import('./json-web-token.js').then(({ tokenVerifier }) => tokenVerifier(settings, clock));
    return (await loading)(token);
  };
}

function proxied(event: HeaderedEvent, { entityHeader, secretSha256 }: ProxySettings): Caller | undefined {
  const secret = only(headerValues(event, PROXY_SECRET_HEADER)) ?? '';
  // Of one length whatever was sent, so that the time of the comparison tells nothing.
  const isProxy = secretSha256 === undefined || timingSafeEqual(createHash('sha256').update(secret).digest(), secretSha256);
  return isProxy ? calling(only(headerValues(event, entityHeader)), {}) : undefined;
}
