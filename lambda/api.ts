import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { nowFs, nowMs } from '../lib/clock.js';
import { HeadgateError, InvalidArgument, LimiterUnavailable } from '../lib/errors.js';
import { problem } from '../lib/http/problem.js';
import { ROUTE_CONTRACTS } from '../lib/http/route-contracts.js';
import type { ApiRoute } from '../lib/http/routes.js';
import { BODIES, fieldsOf } from '../lib/http/schemas.js';
import { type Ending, endOnce } from '../lib/http/settle-once.js';
import type { Tokens } from '../lib/lease.js';
import { checkFields, checkName } from '../lib/names.js';
import { RateLimitExceeded } from '../lib/rate-limit-exceeded.js';
import { rateLimitHeaders } from '../lib/rate-limit-headers.js';
import { ceilMs } from '../lib/report.js';
import type { AcquireRequest } from '../lib/request.js';
import { failure } from '../lib/store/dynamo-send.js';
import { StoreFailure } from '../lib/store/store.js';
import { readUsage } from '../lib/usage/read-usage.js';
import type { UsageRangeQuery } from '../lib/usage/usage-range.js';
import { adminRoutes } from './admin-routes.js';
import { compose } from './compose.js';
import { asResult, bodyBytes, json, jsonObject, pathParameter, problemOfLogged, tooLarge } from './http-event.js';
import { measured } from './measured.js';

/** Acquire, adjust, release, status, usage and administration over HTTP: the SDK for callers in any language. Errors are problem+json. */
export const handler = measured(answer, (metrics, _event, { statusCode }) => {
  if (statusCode >= 500) metrics.add('Faults', 1, 'api');
});

async function answer(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
  const route = (ROUTES as Partial<typeof ROUTES>)[`${event.httpMethod} ${event.resource}` as ApiRoute];
  if (route === undefined) {
    return asResult(
      problem(
        404,
        'NotFound',
        'Not found',
        `No route ${event.httpMethod} ${event.path}; there are ${Object.keys(ROUTES).join(', ')}`,
      ),
    );
  }
  const refused = tooLarge(bodyBytes(event), MOST_BODY_BYTES);
  if (refused) return asResult(refused);
  try {
    return await route(event);
  } catch (error) {
    return asResult(problemOfLogged(error));
  }
}

const MOST_BODY_BYTES = 64 * 1_024;

const ROUTES: Readonly<Record<ApiRoute, (event: APIGatewayProxyEvent) => Promise<APIGatewayProxyResult>>> = {
  ...adminRoutes,
  'POST /v1/acquire': acquire,
  'POST /v1/adjust': adjust,
  'POST /v1/release': release,
  'GET /v1/status/{entity}/{resource}': status,
  'GET /v1/usage/{entity}': usage,
};

async function acquire(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
  const body = jsonObject(bodyBytes(event));
  checkFields(body, fieldsOf(BODIES.acquire), 'body');
  const { limiter, tokens, clock } = compose();
  // Before anything is charged: a lease that cannot be signed could never be given back.
  const signer = await tokens();
  const outcome = await limiter.reserve(body as unknown as AcquireRequest);
  if (!outcome.granted) throw new RateLimitExceeded(outcome.denial);
  const startsInMs = outcome.lease.queuedAheadMs;
  // Its lifetime begins with its start: a place far back in the queue is settled when it has come.
  const lease = signer.sign(outcome.lease, nowMs(clock) + startsInMs);
  return json({ lease, startsInMs, limits: outcome.lease.limits }, rateLimitHeaders(outcome.lease.limits));
}

async function adjust(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
  const body = jsonObject(bodyBytes(event));
  checkFields(body, fieldsOf(BODIES.adjust), 'body');
  if (body.actual === undefined)
    throw new InvalidArgument({ field: 'actual', value: undefined, expected: 'an object of tokens by limit name' });
  return ended(body.lease, { kind: 'adjust', actual: body.actual as Tokens });
}

async function release(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
  const body = jsonObject(bodyBytes(event));
  checkFields(body, fieldsOf(BODIES.release), 'body');
  return ended(body.lease, { kind: 'release' });
}

async function ended(token: unknown, ending: Ending): Promise<APIGatewayProxyResult> {
  const { tokens, store, clock, namespace, deadlineMs, metrics } = compose();
  const state = (await tokens()).verify(token, nowMs(clock));
  await endOnce({ store, clock, namespace, deadlineMs }, state, ending);
  for (const { acquiredAtFs } of state.grants) metrics?.add('SettleLag', Math.max(0, ceilMs(nowFs(clock) - acquiredAtFs)));
  return json(ending.kind === 'release' ? { leaseId: state.id, released: true } : { leaseId: state.id, actual: ending.actual });
}

async function status(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
  const subject = { entity: pathParameter(event, 'entity'), resource: pathParameter(event, 'resource') };
  return json(await compose().limiter.status(subject));
}

async function usage(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
  const { client, tableName, namespace, clock } = compose();
  const entity = pathParameter(event, 'entity');
  checkName(entity, 'entity');
  const query = event.queryStringParameters ?? {};
  checkFields(query, ROUTE_CONTRACTS['GET /v1/usage/{entity}'].query ?? [], 'query');
  const range = query as UsageRangeQuery & { resource?: string };
  try {
    return json(await readUsage(client, tableName, namespace, { ...range, entity }, new Date(nowMs(clock))));
  } catch (error) {
    if (error instanceof HeadgateError) throw error;
    const cause = await failure(error, client, tableName);
    if (!(cause instanceof StoreFailure)) throw cause;
    throw new LimiterUnavailable(`The usage could not be read: ${cause.message}`, { cause });
  }
}
