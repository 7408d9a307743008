import { beforeAll, describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { API_ROUTES } from '../../lib/http/routes.js';
import { DeployedApi } from './deployed-api.js';
import type { Request } from './events.js';

const ADA = 'arn:aws:iam::123456789012:user/ada';

let api: DeployedApi;
beforeAll(async () => {
  api = await DeployedApi.start();
});

/** A signed request as API Gateway hands it on: parameters as the client wrote them, percent-encoded. */
function asked(
  method: string,
  resource: string,
  parameters: Record<string, string> = {},
  more: Pick<Request, 'query'> & { json?: unknown } = {},
) {
  const pathParameters = Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, encodeURIComponent(value)]));
  const path = resource.replace(/\{(\w+)\}/g, (_, name: string) => pathParameters[name] ?? '');
  const body = more.json === undefined ? null : JSON.stringify(more.json);
  return api.answer({ method, resource, path, pathParameters, body, userArn: ADA, query: more.query ?? null });
}

const SCOPES = [
  { template: '/v1/limits/system', parameters: {}, scope: { system: true } },
  { template: '/v1/limits/resources/{resource}', parameters: { resource: 'meta/llama 3' }, scope: { resource: 'meta/llama 3' } },
  { template: '/v1/limits/tiers/{tier}', parameters: { tier: 'pro' }, scope: { tier: 'pro' } },
  {
    template: '/v1/limits/tiers/{tier}/{resource}',
    parameters: { tier: 'pro', resource: 'gpt-4o' },
    scope: { tier: 'pro', resource: 'gpt-4o' },
  },
  { template: '/v1/limits/entities/{entity}', parameters: { entity: 'acme/search' }, scope: { entity: 'acme/search' } },
  {
    template: '/v1/limits/entities/{entity}/{resource}',
    parameters: { entity: 'acme/search', resource: 'gpt-4o' },
    scope: { entity: 'acme/search', resource: 'gpt-4o' },
  },
] as const;

describe('limits over HTTP', () => {
  it.each(SCOPES)('are put, got and deleted at $template, as the SDK does', async ({ template, parameters, scope }) => {
    const limits = [{ ...Limit.perHour('rph', 7) }];
    const none = await asked('GET', template, parameters);
    expect([none.status, none.body.code]).toEqual([404, 'NotFound']);

    const put = await asked('PUT', template, parameters, { json: { limits, options: { shards: 2, disabled: true } } });
    expect(put).toMatchObject({ status: 200, body: { scope, limits, options: { shards: 2, disabled: true } } });
    expect(await api.admin.getLimits(scope)).toEqual(limits);
    expect((await asked('GET', template, parameters)).body).toEqual(put.body);

    expect((await asked('DELETE', template, parameters)).status).toBe(204);
    expect(await api.admin.getLimits(scope)).toBeUndefined();
    expect((await asked('DELETE', template, parameters)).status).toBe(204);
  });

  it.each([
    { json: { limits: [{ ...Limit.perHour('rph', 7), capacity: 0 }] }, says: 'limits[0].capacity' },
    { json: { limits: [] }, says: 'limits' },
    { json: { limits: [{ ...Limit.perHour('rph', 7) }], options: { shards: 65 } }, says: 'shards' },
    { json: { limit: [] }, says: 'body.limit' },
  ])('that are none are a 400 that names $says, and nothing is stored', async ({ json, says }) => {
    const refused = await asked('PUT', '/v1/limits/tiers/{tier}', { tier: 'none' }, { json });
    expect([refused.status, refused.body.field, refused.body.code]).toEqual([400, says, 'InvalidArgument']);
    expect(await api.admin.getLimits({ tier: 'none' })).toBeUndefined();
  });

  it('inherit where the body says so, and are put back as they were got', async () => {
    await api.admin.setLimits({ resource: 'inherited' }, [Limit.perHour('rph', 7), Limit.perHour('tph', 70)]);
    const [template, entity] = ['/v1/limits/entities/{entity}', { entity: 'heir' }];
    const limits = [{ ...Limit.perHour('rph', 9) }];
    const put = await asked('PUT', template, entity, { json: { limits, options: { inherit: true } } });
    expect(put).toMatchObject({ status: 200, body: { limits, options: { inherit: true } } });
    const { body } = await asked('GET', '/v1/explain/{entity}/{resource}', { entity: 'heir', resource: 'inherited' });
    const from = body.levels[0].limits.map((one: { limit: Limit; from: string }) => [
      one.limit.name,
      one.limit.capacity,
      one.from,
    ]);
    expect(from).toEqual([
      ['rph', 9, 'entity'],
      ['tph', 70, 'resource'],
    ]);
    const { scope: _, ...got } = (await asked('GET', template, entity)).body;
    expect((await asked('PUT', template, entity, { json: got })).body).toEqual(put.body);
  });

  it('are explained', async () => {
    await api.admin.setLimits({ entity: 'why' }, [Limit.perHour('rph', 7)]);
    const { status, body } = await asked('GET', '/v1/explain/{entity}/{resource}', { entity: 'why', resource: 'gpt-4o' });
    expect([status, body.outcome, body.levels[0].wins]).toEqual([200, 'limited', 'entity']);
  });
});

describe('entities over HTTP', () => {
  const one = '/v1/entities/{entity}';

  it('are made by a put, made what the next one says, listed, and deleted with what hangs on them', async () => {
    expect((await asked('PUT', one, { entity: 'org' })).status).toBe(201);
    const made = await asked(
      'PUT',
      one,
      { entity: 'org/team' },
      { json: { parent: 'org', tier: 'pro', metadata: { seats: 5 } } },
    );
    expect([made.status, made.body.ancestors, made.body.cascade]).toEqual([201, ['org'], true]);
    const changed = await asked('PUT', one, { entity: 'org/team' }, { json: { parent: 'org', name: 'Team' } });
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({ parent: 'org', name: 'Team' });
    expect(Object.keys(changed.body)).not.toEqual(expect.arrayContaining(['tier']));
    expect((await asked('GET', one, { entity: 'org/team' })).body).toEqual(await api.admin.getEntity('org/team'));
    expect((await asked('GET', '/v1/entities/{entity}/children', { entity: 'org' })).body).toEqual({ children: ['org/team'] });
    const listed = await asked('GET', '/v1/entities', {}, { query: { limit: '1000' } });
    expect(listed.body.entities).toEqual(expect.arrayContaining(['org', 'org/team']));
    expect((await asked('GET', '/v1/entities', {}, { query: { limit: 'x' } })).status).toBe(400);

    expect(await asked('DELETE', one, { entity: 'org' })).toMatchObject({ status: 409, body: { code: 'EntityHasChildren' } });
    expect((await asked('DELETE', one, { entity: 'org' }, { query: { recursive: 'yes' } })).status).toBe(400);
    expect((await asked('DELETE', one, { entity: 'org' }, { query: { recursive: 'true' } })).status).toBe(204);
    expect((await asked('GET', one, { entity: 'org/team' })).status).toBe(404);
  });

  it('refuse a parent that does not exist', async () => {
    const refused = await asked('PUT', one, { entity: 'orphan' }, { json: { parent: 'nobody' } });
    expect([refused.status, refused.body.field]).toEqual([400, 'parent']);
  });
});

describe('keys over HTTP', () => {
  it('show their secret once, are listed without it, and are revoked', async () => {
    const made = await asked('POST', '/v1/keys/{entity}', { entity: 'with-keys' }, { json: { expiresAt: '2999-01-01' } });
    const { secret, ...shown } = made.body;
    expect([made.status, made.headers['Cache-Control'], shown.expiresAt]).toEqual([201, 'no-store', '2999-01-01T00:00:00.000Z']);
    expect(secret).toMatch(/^hg_/);
    expect((await asked('GET', '/v1/keys/{entity}', { entity: 'with-keys' })).body).toEqual({ keys: [shown] });

    const key = { entity: 'with-keys', keyId: shown.keyId };
    expect((await asked('DELETE', '/v1/keys/{entity}/{keyId}', key)).status).toBe(204);
    expect((await asked('GET', '/v1/keys/{entity}', { entity: 'with-keys' })).body.keys[0].state).toBe('revoked');
    expect((await asked('DELETE', '/v1/keys/{entity}/{keyId}', { ...key, keyId: 'none' })).status).toBe(404);
    expect((await asked('POST', '/v1/keys/{entity}', { entity: 'with-keys' }, { json: { secret: 'my own' } })).status).toBe(400);
  });
});

describe('the history over HTTP', () => {
  it('tells who signed the request that changed something', async () => {
    await asked('PUT', '/v1/entities/{entity}', { entity: 'watched' });
    const { status, body } = await asked('GET', '/v1/audit', {}, { query: { entity: 'watched', limit: '5' } });
    expect(status).toBe(200);
    expect(body.records).toMatchObject([{ actor: ADA, action: 'entity.create', target: { entity: 'watched' } }]);
    expect((await asked('GET', '/v1/audit', {}, { query: { limit: '0' } })).body.field).toBe('limit');
    await api.admin.reset({ entity: 'watched', resource: 'gpt-4o' });
    const { body: after } = await asked('GET', '/v1/audit', {}, { query: { entity: 'watched', limit: '1' } });
    expect(after.records).toMatchObject([{ action: 'bucket.reset', target: { entity: 'watched', resource: 'gpt-4o' } }]);
  });
});

it('has an answer for every route that is deployed', async () => {
  for (const route of API_ROUTES) {
    const [method = '', template = ''] = route.split(' ');
    const { status, body } = await asked(method, template, {}, { json: {} });
    expect([route, status === 404 && body.detail.startsWith('No route')]).toEqual([route, false]);
  }
});
