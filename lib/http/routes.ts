/** The routes of the HTTP API: one list for the function that answers them, the stack that deploys them, and the server that serves them locally. */

const LIMITS_PATHS = [
  '/v1/limits/system',
  '/v1/limits/resources/{resource}',
  '/v1/limits/tiers/{tier}',
  '/v1/limits/tiers/{tier}/{resource}',
  '/v1/limits/entities/{entity}',
  '/v1/limits/entities/{entity}/{resource}',
] as const;
export type LimitsPath = (typeof LIMITS_PATHS)[number];

/** What applications call. */
const DECISION_ROUTES = [
  'POST /v1/acquire',
  'POST /v1/adjust',
  'POST /v1/release',
  'GET /v1/status/{entity}/{resource}',
  'GET /v1/usage/{entity}',
] as const;

/** What administrators call. */
const ADMIN_ROUTES = [
  'GET /v1/explain/{entity}/{resource}',
  'GET /v1/entities',
  'GET /v1/entities/{entity}',
  'PUT /v1/entities/{entity}',
  'DELETE /v1/entities/{entity}',
  'GET /v1/entities/{entity}/children',
  'GET /v1/keys/{entity}',
  'POST /v1/keys/{entity}',
  'DELETE /v1/keys/{entity}/{keyId}',
  'GET /v1/audit',
] as const;

export type DecisionRoute = (typeof DECISION_ROUTES)[number];
export type AdminRoute = (typeof ADMIN_ROUTES)[number] | `${'GET' | 'PUT' | 'DELETE'} ${LimitsPath}`;
export type ApiRoute = DecisionRoute | AdminRoute;

/** Method and path of every route, with a space between them. */
export const API_ROUTES: readonly ApiRoute[] = [
  ...DECISION_ROUTES,
  ...LIMITS_PATHS.flatMap((path) => [`GET ${path}`, `PUT ${path}`, `DELETE ${path}`] as const),
  ...ADMIN_ROUTES,
];
