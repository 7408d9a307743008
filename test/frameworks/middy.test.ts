import middy from '@middy/core';
import type { APIGatewayProxyEvent, APIGatewayProxyEventV2, Context, SQSEvent } from 'aws-lambda';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { InvalidArgument } from '../../lib/errors.js';
import { type LimitedContext, rateLimit } from '../../lib/frameworks/middy.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { dynamo } from '../support/stores.js';

const KEY = { entity: 'key-123', resource: 'api' };
const LIMITS = [Limit.perMinute('rpm', 1), Limit.concurrent('inflight', 1, { leaseMs: 60_000 })];
const REST = {
  httpMethod: 'GET',
  path: '/',
  requestContext: { authorizer: { principalId: 'key-123' } },
} as never as APIGatewayProxyEvent;
const HTTP = { version: '2.0', rawPath: '/', requestContext: { http: { method: 'GET' } } } as never as APIGatewayProxyEventV2;
const QUEUE = { Records: [{ messageId: '1', messageAttributes: { tenant: { stringValue: 'key-123' } } }] } as never as SQSEvent;
const CONTEXT = (): Context => ({}) as Context;

let limiter: RateLimiter;
beforeEach(async () => {
  limiter = (await dynamo.fresh()).limiter();
});
const available = () => limiter.available({ ...KEY, limits: LIMITS });

describe('a function with Middy', () => {
  it('answers a REST API, and holds its slot no longer than the work takes', async () => {
    const held: unknown[] = [];
    const handler = middy<APIGatewayProxyEvent>()
      .use(
        rateLimit<APIGatewayProxyEvent>({
          limiter,
          entity: ({ event }) => event.requestContext.authorizer?.principalId as string,
          limits: LIMITS,
        }),
      )
      .handler(async (_event: APIGatewayProxyEvent, context: LimitedContext) => {
        held.push((await available()).inflight);
        return { statusCode: 200, body: String(context.lease?.entity), multiValueHeaders: { 'Set-Cookie': ['a=1', 'b=2'] } };
      });

    expect(await handler(REST, CONTEXT())).toEqual({
      statusCode: 200,
      body: 'key-123',
      headers: expect.objectContaining({ RateLimit: '"rpm";r=0;t=60, "inflight";r=0;t=60' }),
      multiValueHeaders: { 'Set-Cookie': ['a=1', 'b=2'] },
    });
    expect([held, await available()]).toEqual([[0], { rpm: 0, inflight: 1 }]);
    expect(await handler(REST, CONTEXT())).toEqual({
      statusCode: 429,
      headers: expect.objectContaining({ 'Content-Type': 'application/problem+json', 'Retry-After': '60' }),
      body: expect.stringContaining('"code":"RateLimitExceeded"'),
    });
  });

  it('leaves to an HTTP API what it makes of an answer that is no response', async () => {
    const handler = middy<APIGatewayProxyEventV2>()
      .use(rateLimit<APIGatewayProxyEventV2>({ limiter, entity: 'key-123', limits: LIMITS }))
      .handler(async () => ({ message: 'hello' }));

    expect(await handler(HTTP, CONTEXT())).toEqual({ message: 'hello' });
    expect(await handler(HTTP, CONTEXT())).toMatchObject({ statusCode: 429 });
  });

  it('throws what keeps out an event that is not of HTTP, so that its source brings it again', async () => {
    const work = vi.fn(async () => {});
    const handler = middy<SQSEvent>()
      .use(
        rateLimit<SQSEvent>({
          limiter,
          entity: ({ event }) => event.Records[0]?.messageAttributes.tenant?.stringValue,
          limits: LIMITS,
        }),
      )
      .handler(work);
    await handler(QUEUE, CONTEXT());

    await expect(handler(QUEUE, CONTEXT())).rejects.toThrow(RateLimitExceeded);
    await expect(handler({ Records: [] }, CONTEXT())).rejects.toThrow(InvalidArgument);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it.each([
    { what: 'an error', error: new Error('broken'), rpm: 1 },
    { what: 'an error to be answered by 404', error: Object.assign(new Error('no'), { statusCode: 404 }), rpm: 0 },
    { what: 'an error to be answered by 502', error: Object.assign(new Error('no'), { status: 502 }), rpm: 1 },
    { what: 'a string', error: 'broken', rpm: 1 },
  ])('that throws $what leaves $rpm, and frees its slot', async ({ error, rpm }) => {
    const handler = middy()
      .use(rateLimit({ limiter, entity: 'key-123', limits: LIMITS }))
      .handler(async () => {
        throw error;
      });
    await expect(handler(HTTP, CONTEXT())).rejects.toBe(error);

    expect(await available()).toEqual({ rpm, inflight: 1 });
  });

  it('is charged once where middleware that comes after the answer fails', async () => {
    const handler = middy()
      .use({
        after: () => {
          throw new Error('cannot compress');
        },
      })
      .use(rateLimit({ limiter, entity: 'key-123', limits: LIMITS }))
      .handler(async () => ({ statusCode: 200 }));
    await expect(handler(HTTP, CONTEXT())).rejects.toThrow('cannot compress');

    expect(await available()).toEqual({ rpm: 0, inflight: 1 });
  });

  it('streams what its handler streams, a stream of the web as well, and has freed its slot by the end', async () => {
    const sent: string[] = [];
    const response = new WritableStream<Uint8Array>({ write: (chunk) => void sent.push(Buffer.from(chunk).toString()) });
    Object.assign(globalThis, { awslambda: { streamifyResponse: (handler: unknown) => handler } });
    const handler = middy({ streamifyResponse: true })
      .use(rateLimit({ limiter, entity: 'key-123', limits: LIMITS }))
      .handler(async () => ReadableStream.from(['first ', 'last'])) as unknown as (...args: readonly unknown[]) => Promise<void>;
    const ended: unknown[] = [];
    await handler(HTTP, response, CONTEXT()).then(async () => ended.push(await available()));

    expect([sent.join(''), ended]).toEqual(['first last', [{ rpm: 0, inflight: 1 }]]);
  });

  it.each([
    { when: 'the same object each time', answer: { statusCode: 200, body: 'hello' } },
    { when: 'an object that is frozen', answer: Object.freeze({ statusCode: 200, body: 'hello' }) },
  ])('tells each caller what is left to it where the handler answers with $when', async ({ answer }) => {
    const limits = [Limit.perMinute('rpm', 2)];
    const handler = middy<APIGatewayProxyEvent>()
      .use(rateLimit({ limiter, entity: 'key-123', limits }))
      .handler(async () => answer);

    expect(await handler(REST, CONTEXT())).toMatchObject({ body: 'hello', headers: { RateLimit: '"rpm";r=1;t=30' } });
    expect(await handler(REST, CONTEXT())).toMatchObject({ body: 'hello', headers: { RateLimit: '"rpm";r=0;t=60' } });
    expect(answer).toEqual({ statusCode: 200, body: 'hello' });
  });

  it('holds no slot for a request that the next of two in a row denies', async () => {
    const slots = [Limit.concurrent('inflight', 1, { leaseMs: 60_000 })];
    const handler = middy<APIGatewayProxyEvent>()
      .use(rateLimit({ limiter, entity: 'key-123', resource: 'slots', limits: slots }))
      .use(rateLimit({ limiter, entity: 'key-123', limits: [Limit.perMinute('rpm', 1)] }))
      .handler(async () => ({ statusCode: 200, body: 'hello' }));
    await handler(REST, CONTEXT());

    expect(await handler(REST, CONTEXT())).toMatchObject({ statusCode: 429, body: expect.stringContaining('"limit":"rpm"') });
    expect(await limiter.available({ entity: 'key-123', resource: 'slots', limits: slots })).toEqual({ inflight: 1 });
  });
});
