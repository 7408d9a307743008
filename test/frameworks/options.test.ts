import fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { InvalidArgument } from '../../lib/errors.js';
import * as onExpress from '../../lib/frameworks/express.js';
import * as onFastify from '../../lib/frameworks/fastify.js';
import * as onHono from '../../lib/frameworks/hono.js';
import { RequestLimits } from '../../lib/frameworks/limited-request.js';
import * as onMiddy from '../../lib/frameworks/middy.js';
import { RateLimiter } from '../../lib/limiter.js';
import { MemoryStore } from '../../lib/store/memory-store.js';

const limiter = new RateLimiter({ store: new MemoryStore() });
const right = { limiter, entity: () => 'key-123' };

const fields = async (make: () => unknown): Promise<unknown> => {
  try {
    return await make();
  } catch (error) {
    return error instanceof InvalidArgument ? error.field : error;
  }
};

describe('options of the middleware', () => {
  it.each([
    { field: 'options', options: undefined },
    { field: 'options.maxWait', options: { ...right, maxWait: 5 } },
    { field: 'options.hook', options: { ...right, hook: 'onRequest' } },
    { field: 'limiter', options: { entity: 'key-123' } },
    { field: 'entity', options: { limiter } },
    { field: 'entity', options: { limiter, entity: 'a#b' } },
    { field: 'resource', options: { ...right, resource: '' } },
    { field: 'limits', options: { ...right, limits: 'rpm' } },
    { field: 'consume.rpm', options: { ...right, consume: { rpm: 0.5 } } },
    { field: 'maxWaitMs', options: { ...right, maxWaitMs: -1 } },
    { field: 'priority', options: { ...right, priority: 'urgent' } },
    { field: 'skip', options: { ...right, skip: true } },
    { field: 'onDenied', options: { ...right, onDenied: 'log' } },
  ])('are refused by the name $field: $options', async ({ field, options }) => {
    expect(await fields(() => new RequestLimits(options as never))).toBe(field);
  });

  it.each([
    { framework: 'Hono', make: (options: never) => onHono.rateLimit(options) },
    { framework: 'Express', make: (options: never) => onExpress.rateLimit(options) },
    { framework: 'Fastify', make: (options: never) => fastify().register(onFastify.rateLimit, options) },
    { framework: 'Middy', make: (options: never) => onMiddy.rateLimit(options) },
  ])('are refused by $framework before the first request', async ({ make }) => {
    expect(await fields(() => make({ ...right, maxWait: 5 } as never))).toBe('options.maxWait');
  });

  it('of Fastify name a hook that comes before the handler', async () => {
    const options = { ...right, hook: 'onSend' } as never;
    expect(await fields(() => fastify().register(onFastify.rateLimit, options))).toBe('hook');
  });
});
