import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import middy from '@middy/core';
import express from 'express';
import fastify from 'fastify';
import { type Context, Hono } from 'hono';
import * as onExpress from '../../lib/frameworks/express.js';
import * as onFastify from '../../lib/frameworks/fastify.js';
import * as onHono from '../../lib/frameworks/hono.js';
import type { LimitedRequestOptions } from '../../lib/frameworks/limited-request.js';
import * as onMiddy from '../../lib/frameworks/middy.js';
import type { Lease } from '../../lib/lease.js';

/** What every framework's request is to the options of a test. */
export interface Asked {
  readonly path: string;
  readonly header: (name: string) => string | undefined;
}

export type Options = LimitedRequestOptions<Asked>;
export type Answer =
  | { readonly status: number; readonly text: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly chunks: AsyncIterable<string> };

/** What a test's application does with a request that was let through. */
export type Work = (lease: Lease | undefined) => Promise<Answer>;

export interface Served {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** A framework with an application of one route behind its middleware; what is thrown it answers itself, by 500 and `{ thrown }`. */
export interface Framework {
  readonly name: string;
  /** Whether it is told, while a request waits, that its client has left. */
  readonly seesWaitersLeave: boolean;
  readonly serve: (options: Options, work: Work) => Promise<Served>;
}

const thrown = (error: unknown) => ({ thrown: error instanceof Error ? error.message : String(error) });

async function served(server: Server): Promise<Served> {
  if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The options of a test as those of a framework, by what its request is to the test. */
export function optionsFor<Request>(options: Options, asked: (request: Request) => Asked): LimitedRequestOptions<Request> {
  const translated = Object.entries(options).map(([name, option]) => {
    if (name === 'onDenied')
      return [name, (denied: { readonly request: Request }) => option({ ...denied, request: asked(denied.request) })];
    return [name, typeof option === 'function' ? (request: Request) => option(asked(request)) : option];
  });
  return Object.fromEntries(translated);
}

const ofNode = ({ url = '', headers }: IncomingMessage): Asked => ({ path: url, header: (name) => headers[name]?.toString() });

const withExpress: Framework = {
  name: 'Express',
  seesWaitersLeave: true,
  serve: (options, work) => {
    const app = express();
    app.use(onExpress.rateLimit(optionsFor(options, ofNode)));
    app.use(async (request, response) => {
      const answer = await work(request.lease);
      if ('chunks' in answer) pipeline(Readable.from(answer.chunks), response, () => {});
      else
        response
          .status(answer.status)
          .set(answer.headers ?? {})
          .send(answer.text);
    });
    app.use(((error, _request, response, _next) => {
      response.status(500).json(thrown(error));
    }) satisfies express.ErrorRequestHandler);
    return served(createServer(app));
  },
};

const withFastify: Framework = {
  name: 'Fastify',
  seesWaitersLeave: true,
  serve: async (options, work) => {
    const app = fastify();
    await app.register(
      onFastify.rateLimit,
      optionsFor(options, ({ raw }) => ofNode(raw)),
    );
    app.setErrorHandler((error, _request, reply) => reply.code(500).send(thrown(error)));
    app.get('/*', async (request, reply) => {
      const answer = await work(request.lease);
      if ('chunks' in answer) return reply.send(Readable.from(answer.chunks));
      return reply
        .code(answer.status)
        .headers(answer.headers ?? {})
        .send(answer.text);
    });
    await app.listen({ port: 0, host: '127.0.0.1' });
    return {
      ...(await served(app.server)),
      close: async () => {
        app.server.closeAllConnections();
        await app.close();
      },
    };
  },
};

const withHono: Framework = {
  name: 'Hono',
  seesWaitersLeave: true,
  serve: (options, work) => {
    const app = new Hono();
    app.use(
      onHono.rateLimit(optionsFor(options, ({ req }: Context) => ({ path: req.path, header: (name) => req.header(name) }))),
    );
    app.onError((error, c) => c.json(thrown(error), 500));
    app.get('/*', async (c) => {
      const answer = await work(c.get('lease'));
      if ('chunks' in answer) return c.body(ReadableStream.from(encoded(answer.chunks)));
      return c.body(answer.text, answer.status as 200, answer.headers);
    });
    return served(createServer(fetching((request) => app.fetch(request))));
  },
};

async function* encoded(chunks: AsyncIterable<string>) {
  for await (const chunk of chunks) yield new TextEncoder().encode(chunk);
}

/** Serves what answers as `fetch` does, as the servers under Hono do: a client that leaves aborts its request and cancels what it is sent. */
function fetching(answer: (request: Request) => Promise<Response> | Response): RequestListener {
  return async (incoming, outgoing) => {
    const left = new AbortController();
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) left.abort();
    });
    const request = new Request(`http://${incoming.headers.host}${incoming.url}`, {
      method: incoming.method ?? 'GET',
      headers: incoming.headers as Record<string, string>,
      signal: left.signal,
    });
    const { status, headers, body } = await answer(request);
    outgoing.writeHead(status, Object.fromEntries(headers));
    if (body === null) outgoing.end();
    else pipeline(Readable.fromWeb(body), outgoing, () => {});
  };
}

interface HttpEvent {
  readonly rawPath: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Middy's handler as a function URL with response streaming calls it. */
const withMiddy: Framework = {
  name: 'Middy',
  seesWaitersLeave: false,
  serve: (options, work) => {
    Object.assign(globalThis, { awslambda: lambdaRuntime });
    const handler = middy<HttpEvent, unknown, Error, onMiddy.LimitedContext>({ streamifyResponse: true })
      .use(
        onMiddy.rateLimit(
          optionsFor(options, ({ event }: onMiddy.MiddyRequest<HttpEvent>) => ({
            path: event.rawPath,
            header: (name) => event.headers[name],
          })),
        ),
      )
      .onError((request) => {
        if (request.error !== null) request.response ??= { statusCode: 500, body: JSON.stringify(thrown(request.error)) };
      })
      .handler(async (_event: HttpEvent, context: onMiddy.LimitedContext) => {
        const answer = await work(context.lease);
        if ('chunks' in answer) return { statusCode: 200, body: Readable.from(answer.chunks) };
        return { statusCode: answer.status, headers: answer.headers ?? {}, body: answer.text };
      }) as unknown as StreamingHandler;
    return served(
      createServer((incoming, outgoing) => {
        const { url: rawPath, headers } = incoming;
        const event = { version: '2.0', rawPath, headers, requestContext: { http: { method: incoming.method } } };
        handler(event, outgoing, {}).catch(() => outgoing.destroy());
      }),
    );
  },
};

type StreamingHandler = (event: unknown, response: ServerResponse, context: object) => Promise<void>;

const lambdaRuntime = {
  streamifyResponse: (handler: StreamingHandler): StreamingHandler => handler,
  HttpResponseStream: {
    from: (response: ServerResponse, { statusCode, headers = {} }: { statusCode: number; headers?: Record<string, string> }) =>
      response.writeHead(statusCode, headers),
  },
};

export const FRAMEWORKS: readonly Framework[] = [withHono, withExpress, withFastify, withMiddy];
