import { randomUUID } from 'node:crypto';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { expect } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { PROBLEMS_OF_EVERY_ROUTE, ROUTE_CONTRACTS, type RouteContract } from '../../lib/http/route-contracts.js';
import { ANSWERS } from '../../lib/http/schemas.js';
import { coldStart, deployed, slow } from './cold-start.js';
import { proxyEvent, type Request } from './events.js';

export type Handler = (event: APIGatewayProxyEvent) => Promise<APIGatewayProxyResult>;

/** The answer to a request, its body read: every answer of every test is held to what the API's description says of its route. */
export async function answered(by: Handler, request: Request) {
  const { statusCode, headers = {}, body: text } = await by(proxyEvent(request));
  const body = text === '' ? undefined : JSON.parse(text);
  expect(strayingFrom(`${request.method ?? 'GET'} ${request.resource}`, statusCode, body)).toBeUndefined();
  return { status: statusCode, headers, body };
}

const ajv = new Ajv2020({ allowUnionTypes: true });

/** What an answer has that its route's contract has not; undefined: nothing, or no such route. */
function strayingFrom(route: string, status: number, body: unknown): string | undefined {
  const contract = (ROUTE_CONTRACTS as Partial<Record<string, RouteContract>>)[route];
  if (contract === undefined) return undefined;
  const told = [...Object.keys(contract.answers).map(Number), ...PROBLEMS_OF_EVERY_ROUTE, ...(contract.problems ?? [])];
  if (!told.includes(status)) return `${route} tells of no ${status}`;
  const name = status < 400 ? contract.answers[status] : 'problem';
  if (name === undefined) return body === undefined ? undefined : `${route} tells of no body with ${status}`;
  return ajv.validate(ANSWERS[name], body) ? undefined : `${route}: ${ajv.errorsText()}`;
}

/** A body as JSON, unless it is text already. */
export const posting = (resource: string, body: unknown): Request => ({
  method: 'POST',
  resource,
  headers: { 'Content-Type': 'application/json' },
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

export const statusOf = (entity: string, resource: string): Request => ({
  resource: '/v1/status/{entity}/{resource}',
  path: `/v1/status/${encodeURIComponent(entity)}/${encodeURIComponent(resource)}`,
  pathParameters: { entity: encodeURIComponent(entity), resource: encodeURIComponent(resource) },
});

export const usageOf = (entity: string, query: Request['query'] = null): Request => ({
  resource: '/v1/usage/{entity}',
  path: `/v1/usage/${encodeURIComponent(entity)}`,
  pathParameters: { entity: encodeURIComponent(entity) },
  query,
});

/** The api function over a table of its own. */
export class DeployedApi {
  private constructor(
    readonly admin: HeadgateAdmin,
    readonly handler: Handler,
  ) {}

  static async start(): Promise<DeployedApi> {
    const admin = await deployed();
    const { handler } = await coldStart(() => import('../../lambda/api.js'));
    const api = new DeployedApi(admin, handler);
    // The environment is read at the first call.
    await api.available(await api.limited());
    return api;
  }

  readonly answer = (request: Request) => answered(this.handler, request);
  readonly post = (resource: string, body: unknown) => this.answer(posting(resource, body));

  /** An entity with 3 requests and 1,000 tokens on gpt-4. */
  async limited(entity: string = randomUUID(), resource = 'gpt-4'): Promise<string> {
    await this.admin.setLimits({ entity, resource }, [slow('rpm', 3), slow('tpm', 1_000)]);
    return entity;
  }

  /** What is left of every limit, by name. */
  async available(entity: string, resource = 'gpt-4'): Promise<Record<string, number>> {
    const { body } = await this.answer(statusOf(entity, resource));
    return Object.fromEntries(body.limits.map((limit: { limit: string; available: number }) => [limit.limit, limit.available]));
  }
}
