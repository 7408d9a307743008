/** The public names of `headgate/middy`. */
import { PassThrough, pipeline, Readable } from 'node:stream';
import type middy from '@middy/core';
import type { Lease } from '../lease.js';
import { type AdmittedRequest, type LimitedRequestOptions, RequestLimits } from './limited-request.js';

export type { DeniedAnswer, DeniedRequest, LimitedRequestOptions, PerRequest } from './limited-request.js';

/** Middy's request, as `entity` and the others are given it. */
export type MiddyRequest<Event> = Pick<middy.Request<Event>, 'event' | 'context'>;

/** The context that handlers are given. */
export type LimitedContext = middy.Request['context'] & {
  /** What the request was admitted with. Undefined where it was not limited. */
  lease?: Lease | undefined;
};

/** What a request was admitted with so far: where one of several denies it, those before it are told of no end by Middy. */
const admittedBefore = new WeakMap<object, AdmittedRequest[]>();

/**
 * A middleware that lets invocations through, one by one: `context.lease` is what each was admitted with. To be used last, next to the handler.
 * An event of HTTP (REST and HTTP APIs, function URLs, load balancers) that is kept out is answered; of any other event the reason is thrown, such as
 * `RateLimitExceeded`. Throws `InvalidArgument` for wrong options.
 */
export function rateLimit<Event = unknown>(
  options: LimitedRequestOptions<MiddyRequest<Event>>,
  // biome-ignore lint/suspicious/noExplicitAny: whatever the handler answers
): middy.MiddlewareObj<Event, any, Error, LimitedContext> {
  const limits = new RequestLimits(options);
  const underWay = new WeakMap<object, AdmittedRequest>();
  return {
    name: 'headgate',
    async before(request) {
      const passage = await limits.ask(request);
      if (passage.kind === 'skipped') return undefined;
      if (passage.kind === 'denied') {
        if (!isHttp(request.event)) throw passage.error;
        const { status, headers, body } = passage.answer;
        await Promise.all((admittedBefore.get(request) ?? []).map((admitted) => admitted.end(status)));
        return { statusCode: status, headers, body: JSON.stringify(body) };
      }
      underWay.set(request, passage.admitted);
      admittedBefore.set(request, [...(admittedBefore.get(request) ?? []), passage.admitted]);
      request.context.lease = passage.admitted.lease;
      return undefined;
    },
    async after(request) {
      const admitted = underWay.get(request);
      if (admitted === undefined) return;
      const { response } = request;
      // A handler may answer with the same object again and again, or a frozen one: it stays as it is.
      const told = isAnswer(response) && { ...response, headers: { ...notIn(response, admitted.headers), ...response.headers } };
      if (told) request.response = told;
      const status = isAnswer(response) ? response.statusCode : 200;
      const body = isAnswer(response) ? response.body : response;
      if (!isStream(body) || status >= 500) return admitted.end(status);
      const ending = endingWith(body, admitted, status);
      request.response = told ? { ...told, body: ending } : ending;
    },
    async onError(request) {
      await underWay.get(request)?.end(statusOf(request.error));
    },
  };
}

interface Answer {
  readonly statusCode: number;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null;
const isAnswer = (response: unknown): response is Answer => isObject(response) && typeof response.statusCode === 'number';
const isStream = (body: unknown): body is Readable | ReadableStream =>
  body instanceof ReadableStream || (isObject(body) && '_readableState' in body);

function isHttp(event: unknown): boolean {
  if (!isObject(event)) return false;
  return typeof event.httpMethod === 'string' || (isObject(event.requestContext) && isObject(event.requestContext.http));
}

/** The headers that an answer does not have itself, under whatever case. */
function notIn({ headers = {} }: Answer, more: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const own = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  return Object.fromEntries(Object.entries(more).filter(([name]) => !own.has(name.toLowerCase())));
}

/** The status that an error asks for, if it is one of those that are thrown to be answered; else 500. */
function statusOf(error: unknown): number {
  const { statusCode, status = statusCode } = isObject(error) ? error : {};
  return typeof status === 'number' ? status : 500;
}

/** The body, whose end or break ends what was let through; its end before whoever reads it is told. */
function endingWith(body: Readable | ReadableStream, admitted: AdmittedRequest, status: number): Readable {
  const through = new PassThrough({ flush: (done) => void admitted.end(status).then(() => done(), done) });
  pipeline(body instanceof ReadableStream ? Readable.fromWeb(body) : body, through, () => void admitted.end(status));
  return through;
}
