/** Administration over HTTP: limits, entities, keys and their history, by the code that the SDK and the command line use. */
import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { HeadgateAdmin } from '../lib/admin.js';
import type { Scope } from '../lib/config/config-records.js';
import type { EntityChange } from '../lib/config/entities.js';
import type { ScopeOptions } from '../lib/config/scope-rules.js';
import type { Limit } from '../lib/core/limit.js';
import { EntityExists, InvalidArgument } from '../lib/errors.js';
import { problem } from '../lib/http/problem.js';
import type { AdminRoute, LimitsPath } from '../lib/http/routes.js';
import { BODIES, fieldsOf } from '../lib/http/schemas.js';
import { checkFields } from '../lib/names.js';
import { compose } from './compose.js';
import { asResult, bodyBytes, json, jsonObject, pathParameter } from './http-event.js';

type Answer = (event: APIGatewayProxyEvent) => Promise<APIGatewayProxyResult>;

const LIMITS: Readonly<Record<LimitsPath, (event: APIGatewayProxyEvent) => Scope>> = {
  '/v1/limits/system': () => ({ system: true }),
  '/v1/limits/resources/{resource}': (event) => ({ resource: pathParameter(event, 'resource') }),
  '/v1/limits/tiers/{tier}': (event) => ({ tier: pathParameter(event, 'tier') }),
  '/v1/limits/tiers/{tier}/{resource}': (event) => ({
    tier: pathParameter(event, 'tier'),
    resource: pathParameter(event, 'resource'),
  }),
  '/v1/limits/entities/{entity}': (event) => ({ entity: pathParameter(event, 'entity') }),
  '/v1/limits/entities/{entity}/{resource}': (event) => ({
    entity: pathParameter(event, 'entity'),
    resource: pathParameter(event, 'resource'),
  }),
};

export const adminRoutes: Readonly<Record<AdminRoute, Answer>> = {
  ...(Object.fromEntries(
    Object.entries(LIMITS).flatMap(([path, scope]): [string, Answer][] => [
      [`GET ${path}`, (event) => getLimits(event, scope(event))],
      [`PUT ${path}`, (event) => putLimits(event, scope(event))],
      [`DELETE ${path}`, (event) => deleteLimits(event, scope(event))],
    ]),
  ) as Record<`${'GET' | 'PUT' | 'DELETE'} ${LimitsPath}`, Answer>),

  'GET /v1/explain/{entity}/{resource}': async (event) =>
    json(await admin(event).explain({ entity: pathParameter(event, 'entity'), resource: pathParameter(event, 'resource') })),

  'GET /v1/entities': async (event) => json({ entities: await admin(event).entities(pageOf(event)) }),
  'GET /v1/entities/{entity}': async (event) => {
    const entity = pathParameter(event, 'entity');
    return found(await admin(event).getEntity(entity), `There is no record of entity ${JSON.stringify(entity)}`);
  },
  'PUT /v1/entities/{entity}': putEntity,
  'DELETE /v1/entities/{entity}': async (event) => {
    const { recursive, ...rest } = event.queryStringParameters ?? {};
    checkFields(rest, [], 'query');
    if (recursive !== undefined && recursive !== 'true' && recursive !== 'false')
      throw new InvalidArgument({ field: 'recursive', value: recursive, expected: 'true or false' });
    await admin(event).deleteEntity(pathParameter(event, 'entity'), { recursive: recursive === 'true' });
    return NOTHING;
  },
  'GET /v1/entities/{entity}/children': async (event) =>
    json({ children: await admin(event).children(pathParameter(event, 'entity'), pageOf(event)) }),

  'GET /v1/keys/{entity}': async (event) => json({ keys: await admin(event).keys(pathParameter(event, 'entity')) }),
  'POST /v1/keys/{entity}': async (event) => {
    const body = bodyBytes(event).length === 0 ? {} : jsonObject(bodyBytes(event));
    checkFields(body, fieldsOf(BODIES.key), 'body');
    const created = await admin(event).createKey({ ...body, entity: pathParameter(event, 'entity') });
    return { ...json(created, { 'Cache-Control': 'no-store' }), statusCode: 201 };
  },
  'DELETE /v1/keys/{entity}/{keyId}': async (event) => {
    const [entity, keyId] = [pathParameter(event, 'entity'), pathParameter(event, 'keyId')];
    try {
      await admin(event).revokeKey({ entity, keyId });
      return NOTHING;
    } catch (error) {
      if (error instanceof InvalidArgument && error.field === 'keyId') return notFound(error.message);
      throw error;
    }
  },

  'GET /v1/audit': async (event) => {
    const { limit, ...query } = event.queryStringParameters ?? {};
    return json({ records: await admin(event).audit({ ...query, ...numbered('limit', limit) }) });
  },
};

async function getLimits(event: APIGatewayProxyEvent, scope: Scope): Promise<APIGatewayProxyResult> {
  const [limits = [], options] = await Promise.all([admin(event).getLimits(scope), admin(event).getOptions(scope)]);
  return found(options && { scope, limits, options }, `Nothing is stored for ${JSON.stringify(scope)}`);
}

/** Takes what `getLimits` gives: `{ limits, options }`. */
async function putLimits(event: APIGatewayProxyEvent, scope: Scope): Promise<APIGatewayProxyResult> {
  const body = jsonObject(bodyBytes(event));
  checkFields(body, fieldsOf(BODIES.limits), 'body');
  const { limits = [], options = {} } = body as { limits?: readonly Limit[]; options?: ScopeOptions };
  await admin(event).setLimits(scope, limits, options);
  return getLimits(event, scope);
}

async function deleteLimits(event: APIGatewayProxyEvent, scope: Scope): Promise<APIGatewayProxyResult> {
  await admin(event).deleteLimits(scope);
  return NOTHING;
}

/** Makes an entity what the body says, whether it was there or not: what the body leaves out, it has not. 201 where it was not. */
async function putEntity(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
  const entity = pathParameter(event, 'entity');
  const body = bodyBytes(event).length === 0 ? {} : jsonObject(bodyBytes(event));
  checkFields(body, fieldsOf(BODIES.entity), 'body');
  const given = body as Omit<EntityChange, 'entity'>;
  const existing = { parent: null, tier: null, name: null, metadata: null, ...given, entity };
  if ((await admin(event).getEntity(entity)) !== undefined) return json(await admin(event).updateEntity(existing));
  try {
    const { parent, tier, name, metadata, cascade } = given;
    const created = {
      parent: parent ?? undefined,
      tier: tier ?? undefined,
      name: name ?? undefined,
      metadata: metadata ?? undefined,
    };
    return { ...json(await admin(event).createEntity({ entity, cascade, ...created })), statusCode: 201 };
  } catch (error) {
    if (error instanceof EntityExists) return json(await admin(event).updateEntity(existing));
    throw error;
  }
}

/** Administration in the name of whoever signed the request. */
function admin({ requestContext: { identity } }: APIGatewayProxyEvent): HeadgateAdmin {
  const { client, tableName, namespace, clock } = compose();
  return new HeadgateAdmin({ client, tableName, namespace, clock, actor: identity.userArn ?? identity.caller ?? 'http' });
}

function pageOf(event: APIGatewayProxyEvent): { readonly after?: string; readonly limit?: number } {
  const { limit, ...page } = event.queryStringParameters ?? {};
  return { ...page, ...numbered('limit', limit) };
}

/** A number out of a query; what is none is left for the check of its range. */
function numbered(name: string, text: string | undefined): Record<string, number> {
  if (text === undefined) return {};
  return { [name]: /^\d+$/.test(text) ? Number(text) : (text as unknown as number) };
}

const NOTHING: APIGatewayProxyResult = { statusCode: 204, headers: {}, body: '' };
const notFound = (detail: string): APIGatewayProxyResult => asResult(problem(404, 'NotFound', 'Not found', detail));
const found = (body: unknown, otherwise: string): APIGatewayProxyResult =>
  body === undefined ? notFound(otherwise) : json(body);
