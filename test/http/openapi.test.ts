import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../lib/http/openapi.js';
import { ROUTE_CONTRACTS } from '../../lib/http/route-contracts.js';
import { API_ROUTES } from '../../lib/http/routes.js';
import { BODIES } from '../../lib/http/schemas.js';

const read = (path: string) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'));
const committed = read('docs/openapi.json');
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, unknown>>;
}

const holds = (body: keyof typeof BODIES, value: unknown): boolean => ajv.validate(BODIES[body], value);

describe('docs/openapi.json', () => {
  it('is what the schemas amount to: npm run openapi writes it', () => {
    expect(committed).toEqual(JSON.parse(JSON.stringify(openApiDocument(read('package.json').version))));
    expect(committed.openapi).toBe('3.1.0');
  });

  it('has every route of the API, its parameters in the path, and an answer for what goes wrong', () => {
    const operations = Object.entries(committed.paths as Record<string, Record<string, Operation>>).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ route: `${method.toUpperCase()} ${path}`, operation })),
    );
    expect(operations.map(({ route }) => route).sort()).toEqual([...API_ROUTES].sort());
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
    for (const { route, operation } of operations) {
      const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect(inPath.map(({ name }) => `{${name}}`)).toEqual(route.match(/\{\w+\}/g) ?? []);
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['400', '413', '500', '503']));
    }
  });

  it('refers to nothing that it does not have', () => {
    const refs = [...JSON.stringify(committed).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name ?? '',
    );
    expect(refs.length).toBeGreaterThan(50);
    expect(refs.filter((name) => !(name in committed.components.schemas))).toEqual([]);
  });

  it('has schemas that a validator takes', () => {
    for (const schema of Object.values(committed.components.schemas)) expect(() => ajv.compile(schema as object)).not.toThrow();
  });
});

const full = { entity: 'key-123', resource: 'gpt-4o', consume: { rpm: 1, tpm: 500 } };

it.each([
  { when: 'it has what it must', body: full, held: true },
  {
    when: 'it has all it may',
    body: {
      ...full,
      also: [{ resource: 'search', consume: { rpm: 1 } }],
      maxWaitMs: 1_500,
      priority: 'high',
      contextTokens: 900,
    },
    held: true,
  },
  { when: 'a field is missing', body: { entity: 'key-123', resource: 'gpt-4o' }, held: false },
  { when: 'a field is unknown', body: { ...full, burst: 2 }, held: false },
  { when: 'a name is empty', body: { ...full, entity: '' }, held: false },
  { when: 'a name has a #', body: { ...full, entity: 'a#b' }, held: false },
  { when: 'tokens are no integer', body: { ...full, consume: { rpm: 1.5 } }, held: false },
  { when: 'tokens are negative', body: { ...full, consume: { rpm: -1 } }, held: false },
  { when: 'the wait is longer than a day', body: { ...full, maxWaitMs: 86_400_001 }, held: false },
  { when: 'the priority is none', body: { ...full, priority: 'urgent' }, held: false },
])('an acquire is held to its schema: $held when $when', ({ body, held }) => {
  expect(holds('acquire', body)).toBe(held);
});

it('a route that takes a body has its schema, and one that takes none has none', () => {
  for (const [route, { body }] of Object.entries(ROUTE_CONTRACTS))
    expect([route, body !== undefined]).toEqual([route, /^(PUT|POST)/.test(route)]);
});
