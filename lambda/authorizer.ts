import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { nowMs } from '../lib/clock.js';
import { LimiterUnavailable } from '../lib/errors.js';
import { costsOf } from '../lib/llm/costs.js';
import { CHARACTERS_PER_TOKEN } from '../lib/llm/estimate.js';
import { RateLimitExceeded } from '../lib/rate-limit-exceeded.js';
import { StoreFailure } from '../lib/store/store.js';
import { compose } from './compose.js';
import { header, pathParameter, problemOfLogged } from './http-event.js';

/** Sent by clients that know how many tokens their call will take. */
const ESTIMATE_HEADER = 'x-headgate-estimated-tokens';
/** Answer tokens added to what the length of the request says. */
const DEFAULT_OUTPUT_TOKENS = 200;

/**
 * Authenticates an API key and acquires what can be known without a body: the limits of the provider that the path names. Allow carries the
 * lease in its context. A denial leaves as Deny, which the API's gateway response turns into a 429 with the headers in the context. What is no
 * 429 (nothing configured, no answer from the database) is allowed with the problem in the context, for the integration to answer with.
 * Throws `Unauthorized` (a 401) for a missing, unknown, revoked or expired key.
 */
export async function handler(event: APIGatewayRequestAuthorizerEvent): Promise<APIGatewayAuthorizerResult> {
  const { limiter, tokens, clock, entityOfKey } = compose();
  const secret = apiKey(event.headers);
  let entity: string | undefined;
  try {
    entity = secret === undefined ? undefined : await entityOfKey(secret);
  } catch (error) {
    if (!(error instanceof StoreFailure)) throw error;
    return policy(
      event,
      'Allow',
      'unknown',
      problemContext(new LimiterUnavailable(`The key could not be checked: ${error.message}`, { cause: error })),
    );
  }
  if (entity === undefined) throw new Error('Unauthorized');
  try {
    // Before anything is charged: a lease that cannot be signed could never be given back.
    const signer = await tokens();
    const resource = pathParameter(event, 'provider');
    const levels = await limiter.limits({ entity, resource });
    const consume = costsOf(
      levels.flatMap(({ limits }) => limits),
      estimate(event.headers),
    );
    // Whether a call is too long, an estimate from its length does not tell: unless the client says, the gateway finds out from the body.
    const contextTokens = countIn(event.headers, ESTIMATE_HEADER) ?? 0;
    const outcome = await limiter.tryAcquire({ entity, resource, consume, contextTokens });
    if (!outcome.granted) return policy(event, 'Deny', entity, denialContext(new RateLimitExceeded(outcome.denial)));
    return policy(event, 'Allow', entity, { lease: signer.sign(outcome.lease, nowMs(clock)) });
  } catch (error) {
    return policy(event, 'Allow', entity, problemContext(error));
  }
}

type Headers = APIGatewayRequestAuthorizerEvent['headers'];

/** The key as OpenAI's, Anthropic's and Azure's clients send it. */
function apiKey(headers: Headers): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(header(headers, 'authorization') ?? '')?.[1];
  return bearer ?? header(headers, 'x-api-key') ?? header(headers, 'api-key');
}

function estimate(headers: Headers) {
  const byLength = Math.ceil((countIn(headers, 'content-length') ?? 0) / CHARACTERS_PER_TOKEN);
  const totalTokens = countIn(headers, ESTIMATE_HEADER) ?? byLength + DEFAULT_OUTPUT_TOKENS;
  const inputTokens = Math.min(byLength, totalTokens);
  return { inputTokens, outputTokens: totalTokens - inputTokens, totalTokens };
}

/** The whole number that a header says; undefined for anything else. */
function countIn(headers: Headers, name: string): number | undefined {
  const text = header(headers, name) ?? '';
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(count) ? count : undefined;
}

type Context = Record<string, string>;

function denialContext(error: RateLimitExceeded): Context {
  const { headers, body } = problemOfLogged(error);
  return {
    reason: error.code,
    retryAfter: headers['Retry-After'] ?? '1',
    rateLimit: headers.RateLimit ?? '',
    rateLimitPolicy: headers['RateLimit-Policy'] ?? '',
    problem: JSON.stringify(body),
  };
}

function problemContext(error: unknown): Context {
  const { status, body } = problemOfLogged(error);
  return { decision: String(body.code), status: String(status), problem: JSON.stringify(body) };
}

function policy(
  event: APIGatewayRequestAuthorizerEvent,
  effect: 'Allow' | 'Deny',
  entity: string,
  context: Context,
): APIGatewayAuthorizerResult {
  return {
    principalId: entity,
    policyDocument: {
      Version: '2012-10-17',
      Statement: [{ Action: 'execute-api:Invoke', Effect: effect, Resource: event.methodArn }],
    },
    context: { entity, ...context },
  };
}
