import type { APIGatewayProxyEvent } from 'aws-lambda';
import { nowMs } from '../lib/clock.js';
import { type Problem, problem } from '../lib/http/problem.js';
import type { Lease } from '../lib/lease.js';
import type { CallTokens } from '../lib/llm/call-tokens.js';
import { costsOf, NO_TOKENS, settledCosts } from '../lib/llm/costs.js';
import { estimateOpenAi } from '../lib/llm/estimate.js';
import { meterOpenAiStream } from '../lib/llm/metered-stream.js';
import { type PreparedOpenAiRequest, prepareOpenAiRequest } from '../lib/llm/openai-request.js';
import type { PriceTable } from '../lib/llm/prices.js';
import { usageOfOpenAi } from '../lib/llm/usage.js';
import { RateLimitExceeded } from '../lib/rate-limit-exceeded.js';
import { rateLimitHeaders } from '../lib/rate-limit-headers.js';
import { type CallPrice, callPrice, countsMoney, pricesOf } from './call-prices.js';
import { compose } from './compose.js';
import { bodyBytes, pathParameter, problemOfLogged, tooLarge } from './http-event.js';
import { type StreamedResponse, streamed } from './response-stream.js';
import { type Upstream, upstreamsOf } from './upstreams.js';

/**
 * Forwards a call to its provider and settles it by the answer's real usage. The authorizer acquired the provider's limits; here the model's are
 * acquired with an estimate from the body, and both leases are settled at the end of the answer, also when the client has gone by then. Limits that count
 * money are charged by the price of the model; the provider's only then, for the authorizer does not know the model.
 */
export const handler = streamed(async (event) => {
  try {
    return await respond(event);
  } catch (error) {
    return answered(error instanceof Refused ? error.problem : problemOfLogged(error));
  }
});

const MOST_BODY_BYTES = 4 * 1_024 * 1_024;

let upstreams: ReadonlyMap<string, Upstream> | undefined;
let prices: PriceTable | undefined;

/** A call that is not forwarded, with its answer. */
class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.status.toString());
  }
}

async function respond(event: APIGatewayProxyEvent): Promise<StreamedResponse> {
  const context: Record<string, string | undefined> = event.requestContext.authorizer ?? {};
  const leases: Lease[] = [];
  try {
    if (context.lease !== undefined) leases.push(await reopened(context.lease));
    const upstream = upstreamOf(event);
    const entity = admitted(context);
    const target = targetUrl(event, upstream);
    const call = callOf(event, target);
    const costing = call === undefined ? undefined : await acquire(entity, call, leases);
    return await forwarded(event, { upstream, target, call, costing, leases: leases.splice(0) });
  } catch (error) {
    // A request that was not made consumed nothing: neither here nor with the authorizer.
    await Promise.all(leases.map((lease) => lease.release()));
    throw error;
  }
}

function upstreamOf(event: APIGatewayProxyEvent): Upstream {
  upstreams ??= upstreamsOf(process.env.HEADGATE_UPSTREAMS);
  const provider = pathParameter(event, 'provider');
  const upstream = upstreams.get(provider);
  if (upstream !== undefined) return upstream;
  const known = [...upstreams.keys()].join(', ');
  throw new Refused(problem(404, 'NotFound', 'Not found', `No provider ${provider}: this gateway forwards to ${known}`));
}

/** The entity that the authorizer let in. Throws what the authorizer found and could not say itself. */
function admitted({ entity, decision, status, problem: body }: Record<string, string | undefined>): string {
  if (decision !== undefined) {
    const headers = { 'Content-Type': 'application/problem+json' };
    throw new Refused({ status: Number(status), headers, body: JSON.parse(body ?? '{}') as Problem['body'] });
  }
  if (entity !== undefined) return entity;
  throw new Refused(problem(401, 'Unauthorized', 'Unauthorized', 'Expected an authorizer in front of this function'));
}

/** The call in the body; undefined where there is none, as for the list of models: nothing to read, nothing to settle. */
function callOf(event: APIGatewayProxyEvent, target: URL): PreparedOpenAiRequest | undefined {
  const bytes = bodyBytes(event);
  if (bytes.byteLength === 0) return undefined;
  const refused = tooLarge(bytes, MOST_BODY_BYTES);
  if (refused !== undefined) throw new Refused(refused);
  const request = prepareOpenAiRequest(bytes, pathOf(target));
  if (request.ok) return request;
  throw new Refused(problem(400, 'InvalidArgument', 'Bad request', request.message, { details: { field: 'body' } }));
}

async function reopened(token: string): Promise<Lease> {
  const { limiter, tokens, clock } = compose();
  return limiter.reopen((await tokens()).verify(token, nowMs(clock)));
}

/** What a call is settled by. */
interface Costing {
  readonly estimate: CallTokens;
  /** Undefined: no limit counts money. */
  readonly price: CallPrice | undefined;
}

/** Acquires the model's limits beside the leases there are, with an estimate of the call. */
async function acquire(entity: string, call: PreparedOpenAiRequest, leases: Lease[]): Promise<Costing> {
  const { limiter } = compose();
  const { model } = call;
  const levelsOn = (resource: string) => limiter.limits({ entity, resource });
  const levels = await levelsOn(model);
  const limits = levels.flatMap((level) => level.limits);
  const estimate = estimateOpenAi(call.parsed, { endpoint: call.endpoint });
  const price = await callPrice(
    model,
    [...limits, ...leases.flatMap((lease) => lease.counts)],
    () => {
      prices ??= pricesOf(process.env.HEADGATE_PRICES);
      return prices;
    },
    async () => [...levels, ...(await Promise.all(leases.map(({ resource }) => levelsOn(resource)))).flat()],
  );
  const outcome = await limiter.tryAcquire({
    entity,
    resource: model,
    contextTokens: estimate.totalTokens,
    consume: costsOf(limits, estimate, price?.(estimate)),
  });
  if (!outcome.granted) throw new RateLimitExceeded(outcome.denial);
  leases.push(outcome.lease);
  return { estimate, price };
}

interface Forwarded {
  readonly upstream: Upstream;
  readonly target: URL;
  readonly call: PreparedOpenAiRequest | undefined;
  readonly costing: Costing | undefined;
  readonly leases: readonly Lease[];
}

async function forwarded(
  event: APIGatewayProxyEvent,
  { upstream, target, call, costing, leases }: Forwarded,
): Promise<StreamedResponse> {
  const end = (usage: CallTokens | undefined) => ended(leases, costing, usage);
  let answer: Response;
  try {
    answer = await fetch(target, {
      method: event.httpMethod,
      headers: await forwardedHeaders(event, upstream),
      body: call === undefined ? null : Buffer.from(call.body),
      redirect: 'manual',
    });
  } catch (error) {
    console.error(error);
    await end(NO_TOKENS);
    return answered(
      problem(502, 'UpstreamUnreachable', 'Bad gateway', 'The provider could not be reached; no tokens were charged'),
    );
  }
  const limits = leases.flatMap((lease) => lease.limits);
  const headers = { ...answeredHeaders(answer), ...rateLimitHeaders(limits) };
  return { statusCode: answer.status, headers, body: relayed(answer, call?.addedUsage === true, end) };
}

/** The answer's bytes, and at their end, whichever it is, the settlement. */
async function* relayed(
  answer: Response,
  dropUsageChunk: boolean,
  end: (usage: CallTokens | undefined) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  let usage: CallTokens | undefined = answer.ok ? undefined : NO_TOKENS;
  try {
    if (answer.body === null) return;
    if (answer.headers.get('content-type')?.includes('text/event-stream')) {
      const metered = meterOpenAiStream(answer.body, { dropUsageChunk });
      try {
        for await (const chunk of metered.body) yield chunk;
      } finally {
        usage ??= await metered.usage;
      }
    } else {
      const bytes = new Uint8Array(await answer.arrayBuffer());
      usage ??= usageOfOpenAi(jsonOf(bytes));
      yield bytes;
    }
  } finally {
    await end(usage);
  }
}

/** Settles by the usage; without one in the answer the estimate stays charged, and its price is too. Slots are free again either way. */
async function ended(leases: readonly Lease[], costing: Costing | undefined, usage: CallTokens | undefined): Promise<void> {
  const actual = ({ counts }: Lease) =>
    usage === undefined
      ? settledCosts(counts.filter(countsMoney), NO_TOKENS, costing?.price?.(costing.estimate))
      : settledCosts(counts, usage, costing?.price?.(usage));
  await Promise.all(leases.map((lease) => lease.end(actual(lease))));
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** A refusal in both shapes that clients read: problem+json, and the `error` of OpenAI's clients. */
function answered({ status, headers, body }: Problem): StreamedResponse {
  const error = { message: body.detail, type: body.code, param: body.field ?? null, code: body.code };
  const bytes = Buffer.from(JSON.stringify({ ...body, error }));
  return { statusCode: status, headers, body: once(bytes) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Where a call goes. Dots in its path are resolved, escaped ones too; throws for a path that would leave the provider's base so. */
function targetUrl(event: APIGatewayProxyEvent, { baseUrl }: Upstream): URL {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(event.multiValueQueryStringParameters ?? {}))
    for (const value of values ?? []) query.append(name, value);
  const text = query.toString();
  const path = event.pathParameters?.path ?? '';
  const target = new URL(`${baseUrl}/${path}${text && `?${text}`}`);
  if (target.href.startsWith(new URL(`${baseUrl}/`).href)) return target;
  throw new Refused(problem(404, 'NotFound', 'Not found', `Expected a path below the provider's own, got ${path}`));
}

/** The path as the provider reads it, however the client wrote it: which call it is decides whether usage must be asked for. */
function pathOf({ pathname }: URL): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname;
  }
}

/** Of one connection only, or ours: not for the provider. */
const NOT_FORWARDED =
  /^(host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|proxy-.*|expect|content-length|accept-encoding|authorization|x-api-key|api-key|forwarded|via|x-forwarded-.*|x-amz.*|x-headgate-.*|cookie)$/;
const NOT_ANSWERED =
  /^(connection|keep-alive|transfer-encoding|trailer|upgrade|content-encoding|content-length|set-cookie|ratelimit.*|x-ratelimit-.*)$/;

async function forwardedHeaders(event: APIGatewayProxyEvent, upstream: Upstream): Promise<Headers> {
  const headers = new Headers();
  for (const [name, values] of Object.entries(event.multiValueHeaders ?? {})) {
    if (!NOT_FORWARDED.test(name.toLowerCase())) for (const value of values ?? []) headers.append(name, value);
  }
  // Usage is read from the bytes as they pass.
  headers.set('accept-encoding', 'identity');
  const key = await upstream.apiKey();
  if (key !== undefined) headers.set('authorization', `Bearer ${key}`);
  return headers;
}

function answeredHeaders(answer: Response): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of answer.headers) if (!NOT_ANSWERED.test(name)) headers[name] = value;
  return headers;
}
