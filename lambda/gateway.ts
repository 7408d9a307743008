import type { APIGatewayProxyEvent } from 'aws-lambda';
import { type LimitedCall, limitCall } from '../lib/clients/limited-call.js';
import { refusalOf, waitHeaders } from '../lib/clients/refusal.js';
import { nowMs } from '../lib/clock.js';
import { type Problem, problem } from '../lib/http/problem.js';
import type { Lease } from '../lib/lease.js';
import { NO_TOKENS, settledCosts } from '../lib/llm/costs.js';
import { byCharacters, estimateOf } from '../lib/llm/estimate.js';
import { type Ended, type Meter, metered, meterOf } from '../lib/llm/metered-stream.js';
import { openAiApi } from '../lib/llm/openai.js';
import type { PriceTable } from '../lib/llm/prices.js';
import type { PreparedCall, ProviderApi } from '../lib/llm/provider-api.js';
import { apiOfPath, apiSpokenIn } from '../lib/llm/provider-apis.js';
import { rateLimitHeaders } from '../lib/rate-limit-headers.js';
import type { LimitReport } from '../lib/report.js';
import { compose, composedBefore } from './compose.js';
import { bodyBytes, headerValues, pathParameter, problemOfLogged, tooLarge } from './http-event.js';
import { printMetrics } from './measured.js';
import { pricesOf } from './prices.js';
import { type Invocation, type StreamedResponse, streamed } from './response-stream.js';
import { answerOf } from './upstream-request.js';
import { type Upstream, upstreamsOf } from './upstreams.js';

/**
 * Forwards a call to its provider and settles it by the answer's real usage. The model's limits are acquired with an estimate from the body, and the
 * provider's beside them where the authorizer left them to this function; where it acquired them itself, its lease is settled with the model's. That is
 * at the end of the answer, also when the client has gone by then. Limits that count money are charged by the price of the model; on a lease of the
 * authorizer only at the end, for it does not know the model.
 */
export const handler = streamed(respond, printMetrics);

const estimate = byCharacters();
const MOST_BODY_BYTES = 4 * 1_024 * 1_024;

let upstreams: ReadonlyMap<string, Upstream> | undefined;
let prices: PriceTable | undefined;

/** A call that is not forwarded, with its answer. */
class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.status.toString());
  }
}

async function respond(event: APIGatewayProxyEvent, invocation: Invocation): Promise<StreamedResponse> {
  const context: Record<string, string | undefined> = event.requestContext.authorizer ?? {};
  const leases: Lease[] = [];
  let limited: LimitedCall | undefined;
  try {
    if (context.lease !== undefined) leases.push(await reopened(context.lease));
    const upstream = upstreamOf(event);
    const entity = admitted(context);
    const target = targetUrl(event, upstream);
    const metering = meteringOf(event, target);
    limited = await limitedBy(entity, metering?.call, { leases, left: context.resource, upstream });
    return await forwarded(event, { upstream, target, metering, ends: limited ?? only(leases), invocation });
  } catch (error) {
    // A request that was not made consumed nothing: neither here nor with the authorizer.
    await (limited ?? only(leases)).release();
    const refused = error instanceof Refused ? error.problem : problemOfLogged(error);
    if (refused.status >= 500) composedBefore()?.metrics?.add('Faults', 1, 'gateway');
    return answered(refused, apiOf(event), only(leases).limits);
  }
}

/** What a call is settled by at its end. */
type Ends = Pick<LimitedCall, 'end' | 'limits' | 'release'> & Partial<Pick<LimitedCall, 'feedback'>>;

/** Leases of the authorizer alone, for what costs no tokens, such as a list of models. */
const only = (leases: readonly Lease[]): Ends => ({
  limits: leases.flatMap((lease) => lease.limits),
  end: async () => {
    await Promise.all(leases.map((lease) => lease.end(settledCosts(lease.counts, NO_TOKENS))));
  },
  release: async () => {
    await Promise.all(leases.map((lease) => lease.release()));
  },
});

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

/** What costs tokens: the call, and how its answer is read. */
interface Metering {
  readonly api: ProviderApi;
  readonly call: PreparedCall;
}

/** The call in the body; undefined where there is none, as for the list of models: nothing to read, nothing to settle. */
function meteringOf(event: APIGatewayProxyEvent, target: URL): Metering | undefined {
  const bytes = bodyBytes(event);
  const path = pathOf(target);
  if (bytes.byteLength === 0 || COUNTS_ONLY.test(path)) return undefined;
  const refused = tooLarge(bytes, MOST_BODY_BYTES);
  if (refused !== undefined) throw new Refused(refused);
  const api = apiOfPath(path) ?? openAiApi;
  const call = api.prepare(bytes, path);
  if (call.ok) return { api, call };
  throw new Refused(problem(400, 'InvalidArgument', 'Bad request', call.message, { details: { field: 'body' } }));
}

/** A provider counts what a call would take, and makes none. */
const COUNTS_ONLY = /(\/count[_-]tokens|:countTokens|\/input_tokens)\/*$/;

async function reopened(token: string): Promise<Lease> {
  const { limiter, tokens, clock } = compose();
  return limiter.reopen((await tokens()).verify(token, nowMs(clock)));
}

interface Before {
  /** Of the authorizer. */
  readonly leases: readonly Lease[];
  /** The resource, such as the provider, that the authorizer left to be acquired here. Undefined: none. */
  readonly left: string | undefined;
  readonly upstream: Upstream;
}

/** Acquires the model's limits, with an estimate of the call, and those that the authorizer left; undefined where there are neither. */
async function limitedBy(
  entity: string,
  call: PreparedCall | undefined,
  { leases, left, upstream }: Before,
): Promise<LimitedCall | undefined> {
  const { limiter } = compose();
  if (call !== undefined) {
    const { model, content } = call;
    const { feedback } = upstream;
    const priced = { model, content, estimate: estimate(content), prices: pricesGiven };
    return limitCall({ limiter, entity, resource: model, alsoOn: left, ...priced, leases, feedback });
  }
  if (left === undefined) return undefined;
  return limitCall({
    limiter,
    entity,
    resource: left,
    model: left,
    ...FREE,
    prices: () => ({ [left]: { input: 0, output: 0 } }),
  });
}

/** A call that costs no tokens, such as for the list of models. */
const FREE = { content: { statedOutputTokens: undefined, answers: 1, hasOutput: false }, estimate: estimateOf(0, 0) };

function pricesGiven(): PriceTable {
  prices ??= pricesOf(process.env.HEADGATE_PRICES);
  return prices;
}

interface Forwarded {
  readonly upstream: Upstream;
  readonly target: URL;
  readonly metering: Metering | undefined;
  readonly ends: Ends;
  readonly invocation: Invocation;
}

async function forwarded(event: APIGatewayProxyEvent, call: Forwarded): Promise<StreamedResponse> {
  const { upstream, target, metering, ends, invocation } = call;
  const body = metering?.call.body ?? bodyBytes(event);
  const method = event.httpMethod;
  const headers = await upstream.authorized({ method, target, headers: forwardedHeaders(event), body });
  const sends = { method, headers, body: body.byteLength === 0 ? null : Buffer.from(body) };
  const { timeoutMs, whenClientLeaves } = upstream;
  ends.feedback?.sent();
  const answer = await answerOf(target, sends, {
    timeoutMs,
    remainingMs: invocation.remainingMs(),
    left: whenClientLeaves === 'cancel' ? invocation.left : undefined,
  });
  if (!(answer instanceof Response)) {
    await ends.end(NO_TOKENS);
    return answered(answer, apiOf(event), ends.limits);
  }
  ends.feedback?.answered(answer.headers);
  return {
    statusCode: answer.status,
    headers: { ...answeredHeaders(answer), ...rateLimitHeaders(ends.limits) },
    body: relayed(answer, call),
    readOn: whenClientLeaves === 'readOn',
  };
}

/** The answer's bytes, and at their end, whichever it is, the settlement. */
function relayed(answer: Response, { metering, ends, upstream: { idleTimeoutMs } }: Forwarded): ReadableStream<Uint8Array> {
  const end: Ended = (usage) => ends.end(answer.ok ? usage : NO_TOKENS);
  const meter = metering === undefined ? PASSED_ON : meterOf(metering.api, metering.call, answer);
  return metered(answer.body ?? new Blob([]).stream(), meter, end, { idleTimeoutMs });
}

/** Of answers that cost no tokens nothing is read. */
const PASSED_ON: Meter = { usage: undefined, passOn: (chunk) => chunk, passOnRest: () => new Uint8Array() };

/** A refusal in both shapes that clients read: problem+json, and the error of the provider's own clients. */
function answered(refused: Problem, api: ProviderApi, limits: readonly LimitReport[] = []): StreamedResponse {
  const refusal = refusalOf(refused);
  const bytes = Buffer.from(JSON.stringify({ ...refused.body, ...api.refusalBody(refusal) }));
  const headers = { ...rateLimitHeaders(limits), ...refused.headers, ...waitHeaders(refusal), ...api.refusalHeaders?.(refusal) };
  return { statusCode: refused.status, headers, body: new Blob([bytes]).stream() };
}

/** The API in whose shape a call is refused. */
const apiOf = (event: APIGatewayProxyEvent): ProviderApi =>
  apiSpokenIn(event.pathParameters?.path ?? '', (name) => headerValues(event, name).length > 0);

/** Where a call goes. Dots in its path are resolved, escaped ones too; throws for a path that would leave the provider's base so. */
function targetUrl(event: APIGatewayProxyEvent, { baseUrl }: Upstream): URL {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(event.multiValueQueryStringParameters ?? {}))
    if (name !== KEY_PARAMETER) for (const value of values ?? []) query.append(name, value);
  const text = query.toString();
  const path = event.pathParameters?.path ?? '';
  const target = new URL(`${baseUrl}/${path}${text && `?${text}`}`);
  if (target.href.startsWith(new URL(`${baseUrl}/`).href)) return target;
  throw new Refused(problem(404, 'NotFound', 'Not found', `Expected a path below the provider's own, got ${path}`));
}

/** As Gemini's clients may send the caller's own key: not for the provider. */
const KEY_PARAMETER = 'key';

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
  /^(host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|proxy-.*|expect|content-length|accept-encoding|authorization|x-api-key|api-key|x-goog-api-key|forwarded|via|x-forwarded-.*|x-amz(?!n-bedrock-).*|x-headgate-.*|cookie)$/;
const NOT_ANSWERED =
  /^(connection|keep-alive|transfer-encoding|trailer|upgrade|content-encoding|content-length|set-cookie|ratelimit.*|x-ratelimit-.*)$/;

function forwardedHeaders(event: APIGatewayProxyEvent): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(event.multiValueHeaders ?? {})) {
    if (!NOT_FORWARDED.test(name.toLowerCase())) for (const value of values ?? []) headers.append(name, value);
  }
  // Usage is read from the bytes as they pass.
  headers.set('accept-encoding', 'identity');
  return headers;
}

function answeredHeaders(answer: Response): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of answer.headers) if (!NOT_ANSWERED.test(name)) headers[name] = value;
  return headers;
}
