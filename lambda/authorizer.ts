import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { nowMs } from '../lib/clock.js';
import { InvalidArgument, LimiterUnavailable } from '../lib/errors.js';
import type { Problem } from '../lib/http/problem.js';
import { type Lease, type Tokens, tokensOf } from '../lib/lease.js';
import { costsOf } from '../lib/llm/costs.js';
import { openAiError } from '../lib/llm/openai-error.js';
import { checkName } from '../lib/names.js';
import { RateLimitExceeded } from '../lib/rate-limit-exceeded.js';
import { type AuthorizerSettings, authorizerSettings, type ResourceSource } from './authorizer-settings.js';
import { callEstimate } from './call-estimate.js';
import { type Authenticate, authentication, type Caller } from './caller.js';
import { compose } from './compose.js';
import { headerValues, pathParameter, problemOfLogged } from './http-event.js';
import { measured } from './measured.js';

type Event = APIGatewayRequestAuthorizerEvent;

/**
 * Tells who calls and acquires what can be known without a body: the limits of the resource that the path names, or what else is set up. Allow carries
 * the lease in its context; or, where it is left to the integration to acquire, the resource. A denial leaves as Deny, which the API's gateway response
 * turns into a 429 with the headers in the context. What is no 429 (nothing configured, no answer from the database) is allowed with the problem in the
 * context, for the integration to answer with; or, where the integration does not do that, kept out here. Throws `Unauthorized` (a 401) for a missing,
 * unknown, revoked or expired key or token.
 */
export const handler = measured(
  authorize,
  (metrics, _event, { context }) => {
    if (Number(context?.status) >= 500) metrics.add('Faults', 1, 'authorizer');
  },
  (metrics, error) => {
    if (error instanceof Error && error.message === UNAUTHORIZED) metrics.add('Unauthorized', 1);
  },
);

/** What API Gateway makes a 401 of. */
const UNAUTHORIZED = 'Unauthorized';

async function authorize(event: Event): Promise<APIGatewayAuthorizerResult> {
  const { settings, authenticate } = setUp();
  let caller: Caller | undefined;
  try {
    caller = await authenticate(event);
  } catch (error) {
    return refused(event, 'unknown', error, settings);
  }
  if (caller === undefined) throw new Error(UNAUTHORIZED);
  try {
    return await admitted(event, caller, settings);
  } catch (error) {
    return refused(event, caller.entity, error, settings);
  }
}

interface SetUp {
  readonly settings: AuthorizerSettings;
  readonly authenticate: Authenticate;
}

let ready: SetUp | undefined;

/** Made once per cold start from the environment. */
function setUp(): SetUp {
  if (ready === undefined) {
    const settings = authorizerSettings(process.env);
    ready = { settings, authenticate: authentication(settings.caller, compose()) };
  }
  return ready;
}

async function admitted(event: Event, caller: Caller, settings: AuthorizerSettings): Promise<APIGatewayAuthorizerResult> {
  const { limiter, tokens, clock, onUnavailable, metrics } = compose();
  const { entity } = caller;
  const resource = resourceOf(event, caller, settings.resource);
  if (settings.acquiredBy === 'integration') {
    checkName(resource, 'resource');
    return policy(event, 'Allow', entity, { resource });
  }
  // Before anything is charged: a lease that cannot be signed could never be given back.
  const signer = settings.signsLeases ? await tokens() : undefined;
  const estimate = callEstimate(event, resource, settings);
  let lease: Lease;
  try {
    const { levels, most } = await limiter.limitsFor({ entity, resource });
    const costs = costsOf(
      levels.flatMap(({ limits }) => limits),
      estimate,
    );
    // A guess alone keeps no call out for good.
    const consume = estimate.statedTokens === undefined ? atMost(costs, most) : costs;
    // Whether a call is too long, an estimate from its length does not tell: unless the client says, the gateway finds out from the body.
    const outcome = await limiter.tryAcquire({ entity, resource, consume, contextTokens: estimate.statedTokens ?? 0 });
    if (!outcome.granted) return policy(event, 'Deny', entity, denialContext(new RateLimitExceeded(outcome.denial)));
    lease = outcome.lease;
  } catch (error) {
    // Where not even its limits are known, a call is let through uncounted as well.
    if (!(error instanceof LimiterUnavailable) || onUnavailable !== 'allow') throw error;
    metrics?.add('Unavailable', 1, 'allow');
    return policy(event, 'Allow', entity, { decidedBy: 'allow' });
  }
  // What was drawn in this process, or not at all, is nothing that others could settle.
  if (lease.decidedBy !== 'store') return policy(event, 'Allow', entity, { decidedBy: lease.decidedBy });
  return policy(event, 'Allow', entity, signer === undefined ? {} : { lease: signer.sign(lease, nowMs(clock)) });
}

const atMost = (costs: Tokens, most: Tokens): Tokens =>
  Object.fromEntries(Object.entries(costs).map(([name, cost]) => [name, Math.min(cost, tokensOf(most, name) ?? cost)]));

function resourceOf(event: Event, { claims }: Caller, { from, name }: ResourceSource): string {
  if (from === 'path') return pathParameter(event, name);
  if (from === 'fixed') return name;
  const found = from === 'claim' ? [claims[name]] : headerValues(event, name);
  const [resource] = found;
  if (typeof resource === 'string' && found.length === 1) return resource;
  throw new InvalidArgument({
    field: name,
    value: found.length > 1 ? found : resource,
    expected: `a ${from} that names the resource`,
  });
}

type Context = Record<string, string>;

function denialContext(error: RateLimitExceeded): Context {
  const { headers, body } = problemOfLogged(error);
  return {
    reason: error.code,
    retryAfter: headers['Retry-After'] ?? '1',
    rateLimit: headers.RateLimit ?? '',
    rateLimitPolicy: headers['RateLimit-Policy'] ?? '',
    problem: problemText(body),
  };
}

/** A problem with what clients of LLM providers read of it: in front of an API of anybody's it is all that they are told. */
const problemText = (body: Problem['body']): string =>
  JSON.stringify({ ...body, ...openAiError(String(body.code), String(body.detail)) });

/**
 * The answer to a call that is refused, but not by a limit. Where the authorizer itself keeps it out, a fault of the server is an error, which API
 * Gateway has a response for; all else is a Deny, which has one status only, so that the body says what it is.
 */
function refused(event: Event, entity: string, error: unknown, { refusedBy }: AuthorizerSettings): APIGatewayAuthorizerResult {
  const { status, headers, body } = problemOfLogged(error);
  if (refusedBy === 'integration')
    return policy(event, 'Allow', entity, { decision: String(body.code), status: String(status), problem: JSON.stringify(body) });
  if (status >= 500) throw new Error(String(body.code));
  return policy(event, 'Deny', entity, {
    reason: String(body.code),
    ...(headers['Retry-After'] && { retryAfter: headers['Retry-After'] }),
    problem: problemText({ ...body, status: 429 }),
  });
}

function policy(event: Event, effect: 'Allow' | 'Deny', entity: string, context: Context): APIGatewayAuthorizerResult {
  return {
    principalId: entity,
    policyDocument: {
      Version: '2012-10-17',
      Statement: [{ Action: 'execute-api:Invoke', Effect: effect, Resource: event.methodArn }],
    },
    context: { entity, ...context },
  };
}
