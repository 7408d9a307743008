import fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { type FastifyRateLimitOptions, rateLimit } from '../../lib/frameworks/fastify.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { dynamo } from '../support/stores.js';
import { eventually } from './eventually.js';

const KEY = { entity: 'key-123', resource: 'api' };
const LIMITS = [Limit.perMinute('rpm', 10), Limit.perMinute('tpm', 100), Limit.concurrent('inflight', 2, { leaseMs: 60_000 })];

let limiter: RateLimiter;
let app: FastifyInstance;
let options: FastifyRateLimitOptions;
beforeEach(async () => {
  limiter = (await dynamo.fresh()).limiter();
  app = fastify();
  options = { limiter, entity: 'key-123', limits: LIMITS };
});
afterEach(() => app.close());

const comesTo = (available: object) =>
  eventually(async () => expect(await limiter.available({ ...KEY, limits: LIMITS })).toEqual(available));

describe('an application of Fastify', () => {
  it('limits the routes of where it is registered, and those below, and no others', async () => {
    await app.register(async (scope) => {
      await scope.register(rateLimit, options);
      scope.get('/limited', async ({ lease }) => lease?.resource ?? 'free');
      await scope.register(async (below) => {
        below.get('/below', async ({ lease }) => lease?.resource ?? 'free');
      });
    });
    app.get('/free', async ({ lease }) => lease?.resource ?? 'free');

    const answers = await Promise.all(['/limited', '/below', '/free'].map((url) => app.inject(url)));
    expect(answers.map(({ body, headers }) => [body, headers['x-ratelimit-limit-requests']])).toEqual([
      ['api', '10'],
      ['api', '10'],
      ['free', undefined],
    ]);
    await comesTo({ rpm: 8, tpm: 100, inflight: 2 });
  });

  it('asks with the body where its hook comes after that was read', async () => {
    const consume = ({ body }: { readonly body: unknown }) => ({ tpm: (body as { readonly max_tokens: number }).max_tokens });
    await app.register(rateLimit, { ...options, hook: 'preValidation', consume });
    app.post('/', async ({ lease }) => lease?.charged);
    const [admitted, denied] = [
      await app.inject({ method: 'POST', url: '/', payload: { max_tokens: 60 } }),
      await app.inject({ method: 'POST', url: '/', payload: { max_tokens: 41 } }),
    ];

    expect([admitted.statusCode, admitted.json()]).toEqual([200, { rpm: 0, tpm: 60, inflight: 0 }]);
    expect([denied.statusCode, denied.json()]).toMatchObject([429, { violations: [{ limit: 'tpm', available: 40 }] }]);
  });

  it('reads no body of a request that it keeps out', async () => {
    const read = vi.fn(async () => ({}));
    app.addContentTypeParser('text/plain', read);
    await app.register(rateLimit, { ...options, limits: [Limit.perMinute('rpm', 1)] });
    app.post('/', async () => 'done');
    const sent = { method: 'POST', url: '/', headers: { 'content-type': 'text/plain' }, payload: 'long' } as const;
    const statuses = [(await app.inject(sent)).statusCode, (await app.inject(sent)).statusCode];

    expect(statuses).toEqual([200, 429]);
    expect(read).toHaveBeenCalledTimes(1);
  });

  it('is limited by each plugin on the way, and the innermost speaks', async () => {
    await app.register(rateLimit, options);
    await app.register(async (scope) => {
      await scope.register(rateLimit, { ...options, resource: 'gpt-4o', limits: [Limit.perMinute('rpm', 1)] });
      scope.get('/chat', async ({ lease }) => lease?.resource);
    });
    const [admitted, denied] = [await app.inject('/chat'), await app.inject('/chat')];

    expect([admitted.statusCode, admitted.body, admitted.headers.ratelimit]).toEqual([200, 'gpt-4o', '"rpm";r=0;t=60']);
    expect([denied.statusCode, denied.headers.ratelimit]).toEqual([429, '"rpm";r=0;t=60']);
    await comesTo({ rpm: 8, tpm: 100, inflight: 2 });
  });

  it.each([
    { statusCode: 404, rpm: 9 },
    { statusCode: 502, rpm: 10 },
  ])('charges by the status that a thrown error is answered with: $statusCode leaves $rpm', async ({ statusCode, rpm }) => {
    await app.register(rateLimit, options);
    app.get('/', async () => {
      throw Object.assign(new Error('no'), { statusCode });
    });
    expect((await app.inject('/')).statusCode).toBe(statusCode);

    await comesTo({ rpm, tpm: 100, inflight: 2 });
  });
});
