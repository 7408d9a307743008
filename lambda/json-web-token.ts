import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
  type RemoteJWKSet,
} from 'jose';
import { type Clock, nowMs, steadyMs } from '../lib/clock.js';
import { LimiterUnavailable, shown } from '../lib/errors.js';
import type { JwtSettings } from './authorizer-settings.js';

/** The claims of a token that is accepted; undefined: it is not. Throws `LimiterUnavailable` when the issuer's keys cannot be had. */
export type VerifyToken = (token: string) => Promise<JWTPayload | undefined>;

/** The longest that a fetch from the issuer may take. */
const FETCH_MS = 3_000;
/** After this time keys are fetched again. */
const KEYS_MS = 600_000;
/** How long keys serve while the issuer gives no others. */
const STALE_KEYS_MS = 3_600_000;
/** A token with an unknown key id makes the keys be fetched again, but not more often than this. */
const COOLDOWN_MS = 30_000;
/** How long the issuer is left alone after it gave no answer. */
const PAUSE_MS = 5_000;

/** Verifies tokens of one issuer: signature, algorithm, issuer, audience and times; a token must expire. In a module of its own because it loads jose. */
export function tokenVerifier(settings: JwtSettings, clock: Clock): VerifyToken {
  const key = issuerKeys(settings, clock);
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, key, {
        issuer: settings.issuer,
        audience: [...settings.audiences],
        algorithms: [...settings.algorithms],
        clockTolerance: settings.clockToleranceSeconds,
        currentDate: new Date(nowMs(clock)),
        requiredClaims: ['exp'],
      });
      return payload;
    } catch (error) {
      if (error instanceof KeysUnavailable)
        throw new LimiterUnavailable(`The token could not be checked: ${error.message}`, { cause: error.cause });
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  };
}

/** The issuer's keys could not be fetched, or are none: that is no fault of the token. */
class KeysUnavailable extends Error {}

/** Finds the key of a token among the issuer's, which are fetched when first needed, then every ten minutes, and for key ids that are new. */
function issuerKeys({ issuer, keysUrl }: JwtSettings, clock: Clock): JWTVerifyGetKey {
  let pending: Promise<RemoteJWKSet> | undefined;
  let fetchedAtMs = Number.NEGATIVE_INFINITY;
  let failed: { readonly atMs: number; readonly cause: unknown } | undefined;

  const fetched: FetchJson = async (url, isRight, absent) => {
    if (failed !== undefined && steadyMs(clock) - failed.atMs < PAUSE_MS) throw failed.cause;
    try {
      const answer = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(FETCH_MS) });
      if (answer.status === 404 && absent !== undefined) return absent;
      if (answer.status !== 200) throw new Error(`Expected ${url} to answer 200, got ${answer.status}`);
      const json: unknown = Object(await answer.json());
      if (!isRight(json)) throw new Error(`Expected ${url} to answer with what is asked of it, got ${shown(json)}`);
      failed = undefined;
      return json;
    } catch (cause) {
      failed = { atMs: steadyMs(clock), cause };
      throw cause;
    }
  };

  const keySet = async (): Promise<RemoteJWKSet> => {
    const url = keysUrl ?? (await announcedUrl(issuer, fetched));
    return createRemoteJWKSet(url, {
      timeoutDuration: FETCH_MS,
      cooldownDuration: COOLDOWN_MS,
      cacheMaxAge: KEYS_MS,
      [customFetch]: async (href) => {
        const json = await fetched(href, isKeySet);
        fetchedAtMs = steadyMs(clock);
        return Response.json(json);
      },
    });
  };

  return async (header, token) => {
    let keys: RemoteJWKSet | undefined;
    try {
      pending ??= keySet();
      keys = await pending;
      return await keys(header, token);
    } catch (error) {
      if (keys === undefined) pending = undefined;
      if (isAboutTheToken(error)) throw error;
      const known = steadyMs(clock) - fetchedAtMs < STALE_KEYS_MS ? keys?.jwks() : undefined;
      try {
        if (known !== undefined) return await createLocalJWKSet(known)(header, token);
      } catch {
        // Its key may be among those that could not be fetched.
      }
      throw new KeysUnavailable(`the keys of ${issuer} could not be fetched`, { cause: error });
    }
  };
}

/** The JSON object at a URL, if it is the right one; `absent` where there is none (404). Throws at once while the issuer is left alone. */
type FetchJson = (url: string, isRight: (json: unknown) => boolean, absent?: unknown) => Promise<unknown>;

const isAboutTheToken = (error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey ||
  error instanceof errors.JWKSMultipleMatchingKeys ||
  error instanceof errors.JOSENotSupported;

const isKeySet = (json: unknown): boolean => Array.isArray((json as JSONWebKeySet).keys);

/**
 * Where the issuer says that its keys are, by https or from itself (OpenID Connect Discovery 1.0, section 4); where it says nothing, where they usually
 * are.
 */
async function announcedUrl(issuer: string, fetched: FetchJson): Promise<URL> {
  const base = issuer.replace(/\/$/, '');
  const keysUrl = (json: unknown): URL | undefined => {
    const found = json as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
    if (found.issuer !== issuer || typeof found.jwks_uri !== 'string' || !URL.canParse(found.jwks_uri)) return undefined;
    const url = new URL(found.jwks_uri);
    return url.protocol === 'https:' || url.origin === new URL(issuer).origin ? url : undefined;
  };
  const found = await fetched(`${base}/.well-known/openid-configuration`, (json) => keysUrl(json) !== undefined, {});
  return keysUrl(found) ?? new URL(`${base}/.well-known/jwks.json`);
}
