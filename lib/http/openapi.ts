import { PROBLEMS_OF_EVERY_ROUTE, ROUTE_CONTRACTS, type RouteContract } from './route-contracts.js';
import { API_ROUTES, type ApiRoute } from './routes.js';
import { ANSWERS, BODIES, NAME } from './schemas.js';

const TITLES: Readonly<Record<number, string>> = {
  400: 'What is wrong, with the field',
  403: 'Disabled, or not allowed by the tier',
  404: 'Not there',
  409: 'In conflict with what is there; `LeaseClosed` for a lease that was ended otherwise',
  413: 'The body is too large',
  429: 'A limit denies; `Retry-After` says for how long',
  500: 'An unexpected error',
  503: 'The database gave no answer: neither a grant nor a denial',
};

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const bodyName = (body: keyof typeof BODIES): string => `${body}Request`;

/** The OpenAPI 3.1 document of the API: every route, made of the schemas that its bodies are held to. */
export function openApiDocument(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of API_ROUTES) {
    const [method = '', path = ''] = route.split(' ');
    paths[path] = { ...paths[path], [method.toLowerCase()]: operation(route, ROUTE_CONTRACTS[route]) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Headgate',
      version,
      description: 'Rate limits for LLM traffic. Requests are signed with AWS Signature Version 4 for the service execute-api.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [
      {
        url: 'https://{api}.execute-api.{region}.amazonaws.com/prod',
        variables: { api: { default: 'api' }, region: { default: 'us-east-1' } },
      },
    ],
    security: [{ iam: [] }],
    paths,
    components: {
      securitySchemes: { iam: { type: 'apiKey', in: 'header', name: 'Authorization', description: 'AWS Signature Version 4' } },
      schemas: {
        ...Object.fromEntries(Object.entries(BODIES).map(([name, schema]) => [bodyName(name as keyof typeof BODIES), schema])),
        ...ANSWERS,
      },
    },
  };
}

function operation(
  route: ApiRoute,
  { summary, body, bodyOptional = false, query = [], answers, problems = [] }: RouteContract,
): object {
  const inPath = [...route.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: NAME }));
  const inQuery = query.map((name) => ({ name, in: 'query', required: false, schema: { type: 'string' } }));
  const given = Object.entries(answers).map(([status, answer]) => [
    status,
    {
      description: answer === undefined ? 'Done' : summary,
      ...(answer !== undefined && { content: { 'application/json': { schema: ref(answer) } } }),
    },
  ]);
  const refused = [...PROBLEMS_OF_EVERY_ROUTE, ...problems]
    .sort((one, other) => one - other)
    .map((status) => [
      String(status),
      { description: TITLES[status] ?? '', content: { 'application/problem+json': { schema: ref('problem') } } },
    ]);
  return {
    operationId: operationId(route),
    summary,
    ...(inPath.length + inQuery.length > 0 && { parameters: [...inPath, ...inQuery] }),
    ...(body !== undefined && {
      requestBody: { required: !bodyOptional, content: { 'application/json': { schema: ref(bodyName(body)) } } },
    }),
    responses: Object.fromEntries([...given, ...refused]),
  };
}

/** `GET /v1/keys/{entity}` -> `getKeysByEntity` */
function operationId(route: ApiRoute): string {
  const [method = '', ...words] = route.replace('/v1', '').split(/[ /]+/);
  return (
    method.toLowerCase() + words.map((word) => (word.startsWith('{') ? `By${upper(word.slice(1, -1))}` : upper(word))).join('')
  );
}

const upper = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
