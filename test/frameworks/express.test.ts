import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { PassThrough, pipeline } from 'node:stream';
import express, { type ErrorRequestHandler } from 'express';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { rateLimit } from '../../lib/frameworks/express.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { dynamo } from '../support/stores.js';
import { eventually } from './eventually.js';

const KEY = { entity: 'key-123', resource: 'api' };
const LIMITS = [Limit.perMinute('rpm', 10), Limit.concurrent('inflight', 2, { leaseMs: 60_000 })];

let limiter: RateLimiter;
let app: express.Express;
let server: Server;
beforeEach(async () => {
  limiter = (await dynamo.fresh()).limiter();
  app = express();
  server = createServer(app);
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const limited = () => rateLimit({ limiter, entity: 'key-123', limits: LIMITS });
const port = () => (server.address() as AddressInfo).port;
const ask = (path = '/') => fetch(`http://127.0.0.1:${port()}${path}`);
const comesTo = (available: object) =>
  eventually(async () => expect(await limiter.available({ ...KEY, limits: LIMITS })).toEqual(available));

describe('an application of Express', () => {
  it.each([
    { status: 404, rpm: 9 },
    { status: 502, rpm: 10 },
  ])('charges by the status that its error handler gives an error: $status leaves $rpm', async ({ status, rpm }) => {
    app.get('/', limited(), (_request, _response, next) => next(Object.assign(new Error('no'), { status })));
    app.use(((error, _request, response, _next) => response.sendStatus(error.status)) satisfies ErrorRequestHandler);
    expect((await ask()).status).toBe(status);

    await comesTo({ rpm, inflight: 2 });
  });

  it('charges for an answer that breaks off', async () => {
    app.get('/', limited(), (_request, response) => {
      const source = new PassThrough();
      pipeline(source, response, () => {});
      source.write('first');
      setImmediate(() => source.destroy(new Error('upstream is gone')));
    });
    await expect(ask().then((answer) => answer.text())).rejects.toThrow(TypeError);

    await comesTo({ rpm: 9, inflight: 2 });
  });

  it('lets nobody through whose client had left before: all is as it was, and nobody works for it', async () => {
    const work = vi.fn();
    const arrived = deferred();
    app.get('/', async (_request, response, next) => {
      arrived.resolve();
      await once(response, 'close');
      next();
    });
    app.get('/', limited(), work);
    const asked = vi.spyOn(limiter, 'tryAcquire');
    const socket = connect(port(), '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await arrived.promise;
    socket.destroy();
    await eventually(() => expect(asked).toHaveBeenCalledTimes(1));

    await comesTo({ rpm: 10, inflight: 2 });
    expect(work).not.toHaveBeenCalled();
  });

  it('gives back what it was charged for a client that left while that was decided', async () => {
    const work = vi.fn();
    const left = deferred();
    app.use((_request, response, next) => {
      response.once('close', left.resolve);
      next();
    });
    app.get('/', limited(), work);
    const socket = connect(port(), '127.0.0.1');
    const acquire = limiter.tryAcquire.bind(limiter);
    const asked = vi.spyOn(limiter, 'tryAcquire').mockImplementation(async (request) => {
      const outcome = await acquire(request);
      socket.destroy();
      await left.promise;
      return outcome;
    });
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await eventually(() => expect(asked).toHaveResolved());

    await comesTo({ rpm: 10, inflight: 2 });
    expect(work).not.toHaveBeenCalled();
  });

  it('lets a lease be settled after its answer', async () => {
    const settled = deferred();
    app.get(
      '/',
      rateLimit({ limiter, entity: 'key-123', limits: [...LIMITS, Limit.perMinute('tpm', 100)] }),
      (request, response) => {
        response.once('close', () => request.lease?.settle({ tpm: 30 }).then(settled.resolve));
        response.send('done');
      },
    );
    await ask();
    await settled.promise;

    const limits = [...LIMITS, Limit.perMinute('tpm', 100)];
    expect(await limiter.available({ ...KEY, limits })).toEqual({ rpm: 9, inflight: 2, tpm: 70 });
  });

  it('is limited by each middleware on the way, and the innermost speaks', async () => {
    const perModel = rateLimit({ limiter, entity: 'key-123', resource: 'gpt-4o', limits: [Limit.perMinute('rpm', 1)] });
    app.use(limited());
    app.get('/chat', perModel, (request, response) => response.send(request.lease?.resource));
    const [admitted, denied] = [await ask('/chat'), await ask('/chat')];

    expect([admitted.status, await admitted.text(), admitted.headers.get('ratelimit')]).toEqual([
      200,
      'gpt-4o',
      '"rpm";r=0;t=60',
    ]);
    expect([denied.status, denied.headers.get('ratelimit')]).toEqual([429, '"rpm";r=0;t=60']);
    await comesTo({ rpm: 8, inflight: 2 });
  });
});

function deferred() {
  let resolve = () => {};
  const promise = new Promise<void>((resolved) => {
    resolve = resolved;
  });
  return { promise, resolve: () => resolve() };
}
