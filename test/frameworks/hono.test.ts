import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { rateLimit } from '../../lib/frameworks/hono.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { dynamo } from '../support/stores.js';
import { eventually } from './eventually.js';

const KEY = { entity: 'key-123', resource: 'api' };
const LIMITS = [Limit.perMinute('rpm', 10), Limit.concurrent('inflight', 2, { leaseMs: 60_000 })];

let limiter: RateLimiter;
let app: Hono;
beforeEach(async () => {
  limiter = (await dynamo.fresh()).limiter();
  app = new Hono();
  app.use(rateLimit({ limiter, entity: 'key-123', limits: LIMITS }));
});

const available = () => limiter.available({ ...KEY, limits: LIMITS });
const chunks = (...texts: readonly string[]) => ReadableStream.from(texts.map((text) => new TextEncoder().encode(text)));

describe('an application of Hono', () => {
  it('has freed its slot when the body of its answer has ended, so that a function may be frozen then', async () => {
    app.get('/', (c) => c.body(chunks('first ', 'last')));
    const answer = await app.request('/');

    expect(await available()).toEqual({ rpm: 9, inflight: 1 });
    expect(await answer.text()).toBe('first last');
    expect(await available()).toEqual({ rpm: 9, inflight: 2 });
  });

  it('has freed its slot when its body was cancelled, and the work behind it was told', async () => {
    const cancelled = vi.fn();
    app.get('/', (c) => c.body(new ReadableStream({ cancel: cancelled })));
    await (await app.request('/')).body?.cancel('enough');

    expect(cancelled).toHaveBeenCalledWith('enough');
    expect(await available()).toEqual({ rpm: 9, inflight: 2 });
  });

  it('frees its slot when the request is aborted, though nobody cancels its body', async () => {
    const client = new AbortController();
    app.get('/', (c) => c.body(new ReadableStream()));
    await app.request('/', { signal: client.signal });
    client.abort();

    await eventually(async () => expect(await available()).toEqual({ rpm: 9, inflight: 2 }));
  });

  it('charges a client whose leaving made the work fail', async () => {
    const client = new AbortController();
    app.onError((_error, c) => c.text('aborted', 500));
    app.get('/', () => {
      client.abort();
      throw client.signal.reason;
    });
    await app.request('/', { signal: client.signal });

    expect(await available()).toEqual({ rpm: 9, inflight: 2 });
  });

  it('charges nothing for a client that left while that was decided, and does not work for it', async () => {
    const client = new AbortController();
    const work = vi.fn();
    const acquire = limiter.tryAcquire.bind(limiter);
    vi.spyOn(limiter, 'tryAcquire').mockImplementation(async (request) => {
      const outcome = await acquire(request);
      client.abort();
      return outcome;
    });
    app.get('/', work);

    expect((await app.request('/', { signal: client.signal })).status).toBe(499);
    expect(await available()).toEqual({ rpm: 10, inflight: 2 });
    expect(work).not.toHaveBeenCalled();
  });

  it('charges for an answer that breaks off, and hands on the break', async () => {
    app.get('/', (c) =>
      c.body(
        new ReadableStream({
          pull: () => Promise.reject(new Error('upstream is gone')),
        }),
      ),
    );
    await expect((await app.request('/')).text()).rejects.toThrow('upstream is gone');

    expect(await available()).toEqual({ rpm: 9, inflight: 2 });
  });

  it.each([
    { what: 'no body', answer: () => new Response(null, { status: 204 }), method: 'GET', status: 204 },
    { what: 'a body that nobody asked for', answer: () => new Response(chunks('long')), method: 'HEAD', status: 200 },
    {
      what: 'headers that cannot be changed',
      answer: () => Response.redirect('https://example.com/', 302),
      method: 'GET',
      status: 302,
    },
  ])('tells the limits and frees its slot with an answer that has $what', async ({ answer, method, status }) => {
    app.get('/', answer);
    const answered = await app.request('/', { method });

    expect([answered.status, answered.headers.get('x-ratelimit-remaining-requests')]).toEqual([status, '9']);
    expect(await available()).toEqual({ rpm: 9, inflight: 2 });
  });

  it('keeps every cookie, and its content type', async () => {
    app.get('/', (c) => {
      c.header('Set-Cookie', 'a=1');
      c.header('Set-Cookie', 'b=2', { append: true });
      return c.json({ ok: true });
    });
    const { headers } = await app.request('/');

    expect([headers.getSetCookie(), headers.get('content-type')]).toEqual([['a=1', 'b=2'], 'application/json']);
  });

  it.each([
    { status: 404, rpm: 9 },
    { status: 502, rpm: 10 },
  ] as const)('charges by the status that a thrown error is answered with: $status leaves $rpm', async ({ status, rpm }) => {
    app.get('/', () => {
      throw new HTTPException(status);
    });
    const answer = await app.request('/');

    expect([answer.status, await answer.text()]).toEqual([status, expect.any(String)]);
    expect(await available()).toEqual({ rpm, inflight: 2 });
  });

  it('gives back what was charged for work that throws what is no error', async () => {
    app.get('/', () => {
      throw 'a string';
    });
    await expect(Promise.resolve(app.request('/'))).rejects.toBe('a string');

    expect(await available()).toEqual({ rpm: 10, inflight: 2 });
  });

  it('is limited by each middleware on the way, and a denial is told as that which denied says', async () => {
    const perModel = { limiter, entity: 'key-123', resource: 'gpt-4o', limits: [Limit.perMinute('rpm', 1)] };
    app.get('/chat', rateLimit(perModel), async (c) => c.text(c.get('lease')?.resource ?? 'none'));
    const [admitted, denied] = [await app.request('/chat'), await app.request('/chat')];

    expect([admitted.status, await admitted.text(), admitted.headers.get('ratelimit')]).toEqual([
      200,
      'gpt-4o',
      '"rpm";r=0;t=60',
    ]);
    expect([denied.status, denied.headers.get('ratelimit'), denied.headers.get('retry-after')]).toEqual([
      429,
      '"rpm";r=0;t=60',
      '60',
    ]);
    await denied.text();
    expect(await available()).toEqual({ rpm: 8, inflight: 2 });
  });

  it('gives its functions the context with what was set before', async () => {
    type Session = { readonly Variables: { readonly user: string } };
    const signedIn = new Hono<Session>()
      .use(async (c, next) => {
        c.set('user', 'ann');
        await next();
      })
      .use(rateLimit<Session>({ limiter, entity: (c) => c.get('user'), limits: LIMITS }))
      .get('/', (c) => c.text(`${c.get('user')} ${c.get('lease')?.entity}`));

    expect(await (await signedIn.request('/')).text()).toBe('ann ann');
  });
});
