import type { ApiRoute, LimitsPath } from './routes.js';
import type { ANSWERS, BODIES } from './schemas.js';

/** What one route takes and gives. */
export interface RouteContract {
  readonly summary: string;
  /** The schema of its body. @default it has none */
  readonly body?: keyof typeof BODIES;
  /** Whether a request may come without the body. @default false */
  readonly bodyOptional?: boolean;
  readonly query?: readonly string[];
  /** Its answers when all went well; undefined: no body. */
  readonly answers: Readonly<Record<number, keyof typeof ANSWERS | undefined>>;
  /** Which problems it may answer with, beside those of every route. */
  readonly problems?: readonly number[];
}

/** Problems that any route may answer with. */
export const PROBLEMS_OF_EVERY_ROUTE: readonly number[] = [400, 413, 500, 503];

const PAGE = ['after', 'limit'] as const;

const limitsRoutes = (of: string): Readonly<Record<'GET' | 'PUT' | 'DELETE', RouteContract>> => ({
  GET: { summary: `The limits stored for ${of}`, answers: { 200: 'limits' }, problems: [404] },
  PUT: {
    summary: `Store the limits of ${of}, in place of those there`,
    body: 'limits',
    answers: { 200: 'limits' },
    problems: [409],
  },
  DELETE: { summary: `Forget the limits of ${of}`, answers: { 204: undefined }, problems: [409] },
});

const LIMITS_OF: Readonly<Record<LimitsPath, string>> = {
  '/v1/limits/system': 'everybody',
  '/v1/limits/resources/{resource}': 'a resource',
  '/v1/limits/tiers/{tier}': 'a tier',
  '/v1/limits/tiers/{tier}/{resource}': 'a tier on a resource',
  '/v1/limits/entities/{entity}': 'an entity',
  '/v1/limits/entities/{entity}/{resource}': 'an entity on a resource',
};

/** Every route of the API. */
export const ROUTE_CONTRACTS: Readonly<Record<ApiRoute, RouteContract>> = {
  'POST /v1/acquire': {
    summary: 'Acquire tokens: a lease at once, or a place in the queue',
    body: 'acquire',
    answers: { 200: 'acquired' },
    problems: [403, 429],
  },
  'POST /v1/adjust': {
    summary: 'Settle a lease by what it really was, once: the same call again changes nothing',
    body: 'adjust',
    answers: { 200: 'adjusted' },
    problems: [409],
  },
  'POST /v1/release': {
    summary: 'Give back all that a lease was charged, once',
    body: 'release',
    answers: { 200: 'released' },
    problems: [409],
  },
  'GET /v1/status/{entity}/{resource}': { summary: 'Where every limit of every level stands', answers: { 200: 'status' } },
  'GET /v1/usage/{entity}': {
    summary: 'What an entity consumed, by hour, day or month',
    query: ['resource', 'from', 'to', 'by'],
    answers: { 200: 'usage' },
  },
  ...(Object.fromEntries(
    Object.entries(LIMITS_OF).flatMap(([path, of]) =>
      Object.entries(limitsRoutes(of)).map(([method, contract]) => [`${method} ${path}`, contract]),
    ),
  ) as Record<`${'GET' | 'PUT' | 'DELETE'} ${LimitsPath}`, RouteContract>),
  'GET /v1/explain/{entity}/{resource}': { summary: 'Which limits apply, and why', answers: { 200: 'explanation' } },
  'GET /v1/entities': { summary: 'The names of entities', query: PAGE, answers: { 200: 'entities' } },
  'GET /v1/entities/{entity}': { summary: 'The record of an entity', answers: { 200: 'entity' }, problems: [404] },
  'PUT /v1/entities/{entity}': {
    summary: 'Make an entity what the body says; what it leaves out, the entity has not',
    body: 'entity',
    bodyOptional: true,
    answers: { 200: 'entity', 201: 'entity' },
    problems: [409],
  },
  'DELETE /v1/entities/{entity}': {
    summary: 'Delete an entity with its keys and limits',
    query: ['recursive'],
    answers: { 204: undefined },
    problems: [409],
  },
  'GET /v1/entities/{entity}/children': { summary: 'The names of its children', query: PAGE, answers: { 200: 'children' } },
  'GET /v1/keys/{entity}': { summary: 'The keys of an entity, without their secrets', answers: { 200: 'keys' } },
  'POST /v1/keys/{entity}': {
    summary: 'Create a key, and show its secret once',
    body: 'key',
    bodyOptional: true,
    answers: { 201: 'createdKey' },
  },
  'DELETE /v1/keys/{entity}/{keyId}': { summary: 'Revoke a key', answers: { 204: undefined }, problems: [404, 409] },
  'GET /v1/audit': {
    summary: 'Who changed what, from what to what',
    query: ['from', 'to', 'entity', 'actor', ...PAGE],
    answers: { 200: 'audit' },
  },
};
