import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { finished } from 'node:stream/promises';
import type { APIGatewayAuthorizerResult, APIGatewayProxyResult } from 'aws-lambda';
import { API_ROUTES } from '../lib/http/routes.js';
import { openAiError } from '../lib/llm/openai-error.js';
import { authorizerEvent, type MatchedRequest, proxyEvent } from './api-event.js';
import { type Handler, lambdaContext, type Metadata, ResponseStream, streams } from './lambda-runtime.js';

/** The functions behind the API. */
export interface Functions {
  readonly authorizer: Handler;
  readonly api: Handler;
  readonly gateway: Handler;
}

export interface ApiGateway {
  readonly url: string;
  /** Takes no new requests, and waits for the functions that run. */
  stop(): Promise<void>;
}

interface Route {
  readonly method: string;
  readonly path: string;
  readonly function: 'api' | 'gateway';
  readonly authorized: boolean;
}

const ROUTES: readonly Route[] = [
  ...API_ROUTES.map((route): Route => {
    const [method = '', path = ''] = route.split(' ');
    return { method, path, function: 'api', authorized: false };
  }),
  { method: 'ANY', path: '/llm/{provider}/{path+}', function: 'gateway', authorized: true },
];

/** API Gateway's own limit of a request's body. */
const MOST_BODY_BYTES = 10 * 1_024 * 1_024;
const FUNCTION_TIMEOUT_MS = 900_000;
const STOP_WITHIN_MS = 10_000;

/**
 * Serves the REST API on this machine by invoking the handlers the way API Gateway does: the authorizer first where a route has one, its Deny as
 * 429 with the headers of the deployed gateway response, streamed answers chunk by chunk. IAM routes need no signature here.
 */
export async function serveApi(functions: Functions, port: number): Promise<ApiGateway> {
  const running = new Set<Promise<void>>();
  const server = createServer((request, response) => {
    const served = serve(functions, request, response).catch((error: unknown) => {
      console.error(error);
      if (!response.headersSent) problem(response, 500, 'InternalError', 'A function failed; the log has the error');
      else if (!response.writableEnded) response.destroy();
    });
    running.add(served);
    void served.finally(() => running.delete(served));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    async stop() {
      const closed = once(server, 'close');
      server.close();
      const late = new Promise((resolve) => setTimeout(resolve, STOP_WITHIN_MS).unref());
      await Promise.race([Promise.allSettled(running), late]);
      server.closeAllConnections();
      await closed;
    },
  };
}

async function serve(functions: Functions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = rawUrl(request.url ?? '/');
  if (pathname === '/healthz') return json(response, 200, { status: 'ok' });
  const matches = ROUTES.flatMap((route) => {
    const pathParameters = matched(route.path, pathname);
    return pathParameters ? [{ route, pathParameters }] : [];
  });
  if (matches.length === 0)
    return problem(
      response,
      404,
      'NotFound',
      `No route ${pathname}; there are ${[...new Set(ROUTES.map(({ path }) => path))].join(', ')}`,
    );
  const match = matches.find(({ route }) => route.method === 'ANY' || route.method === request.method);
  if (match === undefined) {
    const allowed = matches.map(({ route }) => route.method).join(', ');
    response.setHeader('Allow', allowed);
    return problem(response, 405, 'MethodNotAllowed', `${pathname} takes ${allowed}`);
  }
  const body = await bodyOf(request);
  if (body === 'gone') return;
  if (body === 'too large')
    return problem(response, 413, 'ContentTooLarge', `Expected a body of at most ${MOST_BODY_BYTES} bytes`);
  const { route, pathParameters } = match;
  const call: MatchedRequest = {
    request,
    requestId: randomUUID(),
    resource: route.path,
    path: pathname,
    pathParameters: Object.keys(pathParameters).length > 0 ? pathParameters : null,
    query: searchParams,
    body,
  };
  const authorizer = route.authorized ? await authorized(functions.authorizer, call, response) : undefined;
  if (route.authorized && authorizer === undefined) return;
  await invoked(functions[route.function], call, authorizer, response);
}

/** The authorizer's context, or undefined when it has answered for the API. */
async function authorized(
  authorizer: Handler,
  call: MatchedRequest,
  response: ServerResponse,
): Promise<Record<string, string> | undefined> {
  let result: APIGatewayAuthorizerResult;
  try {
    result = (await authorizer(
      authorizerEvent(call) as never,
      lambdaContext('authorizer', call.requestId, 30_000),
    )) as APIGatewayAuthorizerResult;
  } catch (error) {
    if (!(error instanceof Error && error.message === 'Unauthorized')) throw error;
    response.setHeader('WWW-Authenticate', 'Bearer');
    problem(response, 401, 'Unauthorized', 'The request carries no valid Headgate key or token.');
    return undefined;
  }
  const context = Object.fromEntries(Object.entries(result.context ?? {}).map(([name, value]) => [name, String(value)]));
  const effects = result.policyDocument.Statement.map(({ Effect }) => Effect);
  if (effects.includes('Allow') && !effects.includes('Deny')) return { ...context, principalId: result.principalId };
  // The deployed ACCESS_DENIED gateway response, header by header (infra/limit-responses.ts).
  response.writeHead(429, {
    'Content-Type': 'application/problem+json',
    'Retry-After': context.retryAfter ?? '',
    RateLimit: context.rateLimit ?? '',
    'RateLimit-Policy': context.rateLimitPolicy ?? '',
  });
  response.end(context.problem ?? '');
  return undefined;
}

async function invoked(
  handler: Handler,
  call: MatchedRequest,
  authorizer: Record<string, string> | undefined,
  response: ServerResponse,
): Promise<void> {
  const event = proxyEvent(call, authorizer) as never;
  const context = lambdaContext(call.resource, call.requestId, FUNCTION_TIMEOUT_MS);
  if (!streams(handler)) {
    const { body, isBase64Encoded, ...head } = (await handler(event, context)) as APIGatewayProxyResult;
    response.writeHead(head.statusCode, headersOf(head as Metadata));
    response.end(Buffer.from(body ?? '', isBase64Encoded ? 'base64' : 'utf8'));
    return;
  }
  const stream = new ResponseStream({
    head(metadata) {
      response.writeHead(metadata.statusCode, headersOf(metadata));
      response.flushHeaders();
    },
    async chunk(bytes) {
      if (response.destroyed || bytes.length === 0 || response.write(bytes)) return;
      await drainedOrClosed(response);
    },
  });
  // The end of the answer is not the end of the function: that one may go on, and is waited for.
  const results = await Promise.allSettled([
    handler(event, stream, context).then(
      () => {
        if (!stream.writableEnded) stream.destroy(new Error('A function returned before it ended its answer'));
      },
      (error: Error) => {
        stream.destroy(error);
        throw error;
      },
    ),
    finished(stream).then(() => response.end()),
  ]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Resolves when more may be written, or nobody reads any more. */
function drainedOrClosed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      response.off('drain', settle).off('close', settle);
      resolve();
    };
    response.on('drain', settle).on('close', settle);
  });
}

/** A header with several values keeps them all, and wins over one value of the same name, as in API Gateway. */
function headersOf({ headers, multiValueHeaders }: Metadata): OutgoingHttpHeaders {
  const all: OutgoingHttpHeaders = { ...headers };
  for (const [name, values] of Object.entries(multiValueHeaders ?? {})) {
    for (const same of Object.keys(all)) if (same.toLowerCase() === name.toLowerCase()) delete all[same];
    all[name] = [...values];
  }
  return all;
}

/** The path parameters of a path that a route's template matches, still percent-encoded. */
function matched(template: string, pathname: string): Record<string, string> | undefined {
  const wanted = template.split('/').slice(1);
  const given = pathname.split('/').slice(1);
  const parameters: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index];
    if (value === undefined || value === '') return undefined;
    if (part.endsWith('+}')) {
      parameters[part.slice(1, -2)] = given.slice(index).join('/');
      return parameters;
    }
    if (part.startsWith('{')) parameters[part.slice(1, -1)] = value;
    else if (part !== value) return undefined;
  }
  return given.length === wanted.length ? parameters : undefined;
}

/** Path and query as they came: URL would resolve dots and re-encode. */
function rawUrl(url: string): { pathname: string; searchParams: URLSearchParams } {
  const mark = url.indexOf('?');
  return mark < 0
    ? { pathname: url, searchParams: new URLSearchParams() }
    : { pathname: url.slice(0, mark), searchParams: new URLSearchParams(url.slice(mark + 1)) };
}

/** The body. One larger than API Gateway takes is read to its end all the same, so that the answer can be read. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | 'too large' | 'gone'> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size <= MOST_BODY_BYTES) chunks.push(chunk);
    }
  } catch (error) {
    if (request.complete) throw error;
    return 'gone';
  }
  return size > MOST_BODY_BYTES ? 'too large' : Buffer.concat(chunks);
}

function problem(response: ServerResponse, status: number, code: string, detail: string): void {
  json(
    response,
    status,
    { type: 'about:blank', title: code, status, code, detail, ...openAiError(code, detail) },
    'application/problem+json',
  );
}

function json(response: ServerResponse, status: number, body: unknown, type = 'application/json'): void {
  response.writeHead(status, { 'Content-Type': type });
  response.end(JSON.stringify(body));
}
