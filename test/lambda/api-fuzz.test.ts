import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { short } from '../support/long.js';
import { tokens } from './cold-start.js';
import { DeployedApi, posting } from './deployed-api.js';

let api: DeployedApi;
let token: string;

beforeAll(async () => {
  api = await DeployedApi.start();
  const { body } = await api.post('/v1/acquire', { entity: await api.limited(), resource: 'gpt-4', consume: { rpm: 1, tpm: 5 } });
  token = body.lease;
});

/** A token that was cut, doubled or altered somewhere, or another string. */
const anyToken = (): fc.Arbitrary<unknown> =>
  fc.oneof(
    fc.record({ at: fc.nat(), length: fc.nat(9), put: fc.string({ maxLength: 5 }) }).map(({ at, length, put }) => {
      const from = at % token.length;
      return token.slice(0, from) + put + token.slice(from + length);
    }),
    fc.json().map((json) => `${Buffer.from(json).toString('base64url')}.${token.split('.')[1]}`),
    fc.string(),
    fc.anything(),
  );

const count = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(null, '1', 1e308, -1, Number.MAX_SAFE_INTEGER + 2));
const name = fc.oneof(
  fc.constantFrom('entity', 'gpt-4', 'rpm', 'tpm', '__proto__', 'constructor', ''),
  fc.string(),
  fc.anything(),
);
const tokensByLimit = fc.oneof(fc.dictionary(fc.oneof(fc.constantFrom('rpm', 'tpm'), fc.string()), count), fc.anything());

const anyBody = (): fc.Arbitrary<unknown> =>
  fc.oneof(
    fc.record({ lease: anyToken(), actual: tokensByLimit }, { requiredKeys: [] }),
    fc.record(
      {
        entity: name,
        resource: name,
        consume: tokensByLimit,
        also: fc.anything(),
        maxWaitMs: count,
        priority: name,
        contextTokens: count,
      },
      { requiredKeys: [] },
    ),
    fc.anything(),
  );

const route = fc.constantFrom('/v1/acquire', '/v1/adjust', '/v1/release');

/** As JSON; what has no JSON, as text that is none. */
function text(body: unknown): string {
  try {
    return JSON.stringify(body) ?? 'undefined';
  } catch {
    return 'a value that has no JSON';
  }
}

it('whatever token and body come, the answer says what is wrong with them: never a 500, never silence, and the lease stays as it was', async () => {
  const refusals = new Set<number>();
  await fc.assert(
    fc.asyncProperty(route, fc.oneof(anyBody().map(text), fc.string()), async (path, body) => {
      fc.pre(!body.includes(token));
      const { status, body: answer } = await api.answer(posting(path, body));
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(answer).toMatchObject({ status, code: expect.any(String), detail: expect.any(String) });
      refusals.add(status);
    }),
    { numRuns: short(2_000, 10_000), seed: 20_261_123 },
  );
  expect([...refusals]).toContain(400);
  expect(tokens.verify(token, Date.now()).resource).toBe('gpt-4');
  expect((await api.post('/v1/adjust', { lease: token, actual: { tpm: 6 } })).status).toBe(200);
}, 120_000);
