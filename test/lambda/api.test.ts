import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { tokens } from './cold-start.js';
import { DeployedApi, posting, statusOf, usageOf } from './deployed-api.js';

let api: DeployedApi;

beforeAll(async () => {
  api = await DeployedApi.start();
});

describe('POST /v1/acquire', () => {
  it('answers a lease to settle, and what is left of every limit', async () => {
    const entity = await api.limited();
    const { status, headers, body } = await api.post('/v1/acquire', { entity, resource: 'gpt-4', consume: { rpm: 1, tpm: 400 } });
    expect(status).toBe(200);
    expect(headers['Content-Type']).toBe('application/json');
    expect(headers).toMatchObject({
      RateLimit: expect.stringMatching(/^"rpm";r=2;t=\d+, "tpm";r=600;t=\d+$/),
      'RateLimit-Policy': '"rpm";q=3;w=259200, "tpm";q=1000;w=86400000',
      'x-ratelimit-remaining-requests': '2',
      'x-ratelimit-remaining-tokens': '600',
    });
    expect(headers).not.toHaveProperty('Retry-After');
    expect(body).toMatchObject({
      startsInMs: 0,
      limits: [
        { entity, resource: 'gpt-4', limit: 'rpm', capacity: 3, available: 2, requested: 1, retryAfterMs: 0 },
        { entity, resource: 'gpt-4', limit: 'tpm', capacity: 1_000, available: 600, requested: 400, retryAfterMs: 0 },
      ],
    });
    const lease = tokens.verify(body.lease, Date.now());
    expect(lease).toMatchObject({ entity, resource: 'gpt-4' });
    expect(await api.available(entity)).toEqual({ rpm: 2, tpm: 600 });
  });

  it('denies with 429, the wait, every limit in headers and body, and consumes nothing', async () => {
    const entity = await api.limited();
    await api.post('/v1/acquire', { entity, resource: 'gpt-4', consume: { rpm: 1, tpm: 700 } });
    const { status, headers, body } = await api.post('/v1/acquire', { entity, resource: 'gpt-4', consume: { rpm: 1, tpm: 400 } });
    expect(status).toBe(429);
    expect(headers['Content-Type']).toBe('application/problem+json');
    // 100 tokens are missing, one comes back a day.
    expect(Number(headers['Retry-After'])).toBeGreaterThan(8_639_900);
    expect(Number(headers['Retry-After'])).toBeLessThanOrEqual(8_640_000);
    expect(headers).toMatchObject({
      RateLimit: `"tpm";r=300;t=${headers['Retry-After']}, "rpm";r=2;t=86400`,
      'RateLimit-Policy': '"tpm";q=1000;w=86400000, "rpm";q=3;w=259200',
    });
    expect(body).toMatchObject({
      status: 429,
      code: 'RateLimitExceeded',
      violations: [{ limit: 'tpm', available: 300, requested: 400 }],
      passed: [{ limit: 'rpm', available: 2 }],
    });
    expect(body).not.toHaveProperty('lease');
    expect(await api.available(entity)).toEqual({ rpm: 2, tpm: 300 });
  });

  it('does not sleep for a place in the queue: it says when it starts', async () => {
    const entity = await api.limited();
    const asked = { entity, resource: 'gpt-4', consume: { tpm: 1_000 }, maxWaitMs: 86_400_000 };
    expect((await api.post('/v1/acquire', asked)).body.startsInMs).toBe(0);
    const queued = await api.post('/v1/acquire', { ...asked, consume: { tpm: 1 } });
    expect(queued.status).toBe(200);
    expect(queued.body.startsInMs).toBeGreaterThan(86_390_000);
    expect(queued.body.startsInMs).toBeLessThanOrEqual(86_400_000);
    expect(tokens.verify(queued.body.lease, Date.now() + queued.body.startsInMs)).toMatchObject({ entity });
    expect((await api.post('/v1/acquire', asked)).status).toBe(429);
  });

  it('draws on other resources as well, and on none when one denies', async () => {
    const entity = await api.limited();
    await api.limited(entity, 'search');
    const asked = { entity, resource: 'gpt-4', consume: { rpm: 1 }, also: [{ resource: 'search', consume: { rpm: 3 } }] };
    expect((await api.post('/v1/acquire', asked)).body.limits).toHaveLength(4);
    expect((await api.post('/v1/acquire', asked)).status).toBe(429);
    expect([(await api.available(entity)).rpm, (await api.available(entity, 'search')).rpm]).toEqual([2, 0]);
  });

  it('reads a body in base64', async () => {
    const entity = await api.limited('Zürich');
    const body = Buffer.from(JSON.stringify({ entity, resource: 'gpt-4', consume: { rpm: 1 } }));
    const request = { ...posting('/v1/acquire', ''), body: body.toString('base64'), isBase64Encoded: true };
    expect((await api.answer(request)).status).toBe(200);
    expect((await api.answer({ ...request, isBase64Encoded: false })).body.field).toBe('body');
  });
});

describe('GET /v1/status', () => {
  it('answers level, debt and reset of every limit', async () => {
    const entity = await api.limited();
    const { body } = await api.post('/v1/acquire', { entity, resource: 'gpt-4', consume: { tpm: 100 } });
    await api.post('/v1/adjust', { lease: body.lease, actual: { tpm: 1_250 } });
    const status = await api.answer(statusOf(entity, 'gpt-4'));
    expect([status.status, status.headers['Content-Type']]).toEqual([200, 'application/json']);
    expect(status.body).toMatchObject({
      entity,
      resource: 'gpt-4',
      limits: [
        { limit: 'rpm', capacity: 3, available: 3, debt: 0, queueMs: 0, resetMs: 0, fullAt: null },
        { limit: 'tpm', capacity: 1_000, available: -250, debt: 250, queueMs: 0 },
      ],
    });
  });

  it.each(['team/a', '100%', '100%25', 'a b+c', 'Zürich', '日本', '?&=', '..', 'arn:aws:iam::1:user/x'])(
    'finds an id that is percent-encoded in its path: %s',
    async (id) => {
      const [entity, resource] = [`${id}${randomUUID()}`, id];
      await api.limited(entity, resource);
      await api.post('/v1/acquire', { entity, resource, consume: { rpm: 1 } });
      const { body } = await api.answer(statusOf(entity, resource));
      expect(body).toMatchObject({ entity, resource, limits: [{ limit: 'rpm', available: 2 }, { limit: 'tpm' }] });
    },
  );
});

describe('GET /v1/usage', () => {
  it('answers no rows for an entity that used nothing, today by day when nothing else is asked', async () => {
    expect(await api.answer(usageOf('team/nobody'))).toMatchObject({ status: 200, body: { rows: [] } });
    const asked = { from: '2026-01-01', to: '2026-02-01', by: 'hour', resource: 'gpt-4' };
    expect(await api.answer(usageOf('nobody', asked))).toMatchObject({ status: 200, body: { rows: [] } });
  });

  it.each([
    { when: 'the period is unknown', query: { by: 'week' }, field: 'by' },
    { when: 'a time is none', query: { from: 'yesterday' }, field: 'from' },
    { when: 'the end is before the start', query: { from: '2026-02-01', to: '2026-01-01' }, field: 'to' },
    { when: 'a parameter is unknown', query: { until: '2026-02-01' }, field: 'query.until' },
    { when: 'the entity is asked for twice', query: { entity: 'another' }, field: 'query.entity' },
    { when: 'the resource is no name', query: { resource: 'a#b' }, field: 'resource' },
  ])('is a 400 that names the parameter when $when', async ({ query, field }) => {
    expect(await api.answer(usageOf('acme', query))).toMatchObject({ status: 400, body: { code: 'InvalidArgument', field } });
  });
});

describe('a request to no route', () => {
  it.each([
    { method: 'GET', resource: '/v1/acquire' },
    { method: 'POST', resource: '/v1/nothing' },
    { method: 'POST', resource: '/constructor' },
    { method: 'DELETE', resource: '/v1/usage/{entity}' },
  ])('is a 404 that names those there are: $method $resource', async (request) => {
    const { status, headers, body } = await api.answer(request);
    expect([status, headers['Content-Type'], body.code]).toEqual([404, 'application/problem+json', 'NotFound']);
    expect(body.detail).toContain('POST /v1/acquire');
  });
});
