import { randomUUID } from 'node:crypto';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { short } from '../support/long.js';
import { coldStart, deployed, slow } from './cold-start.js';
import { authorizerEvent } from './events.js';
import { signed, signingKey, type TokenIssuer, tokenIssuer } from './token-issuer.js';

type Handler = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;

let admin: HeadgateAdmin;
let issuer: TokenIssuer;
let token: string;
let secret: string;
let handler: Handler;

beforeAll(async () => {
  admin = await deployed();
  await admin.setLimits({ resource: 'openai' }, [slow('rpm', 100_000)]);
  ({ secret } = await admin.createKey({ entity: 'holder' }));
  issuer = await tokenIssuer();
  const key = await signingKey('ec-1', 'ES256');
  issuer.keys = [key];
  const exp = Math.floor(Date.now() / 1_000) + 3_600;
  token = await signed({ key, claims: { iss: issuer.issuer, aud: 'us', sub: 'ann', exp } });
  ({ handler } = await coldStart(() => import('../../lambda/authorizer.js'), {
    HEADGATE_JWT_ISSUER: issuer.issuer,
    HEADGATE_JWT_AUDIENCE: 'us',
  }));
});

afterAll(() => issuer.stop());

afterEach(() => {
  vi.restoreAllMocks();
});

const call = (authorization: string): APIGatewayRequestAuthorizerEvent =>
  authorizerEvent({ pathParameters: { provider: 'openai' }, headers: { Authorization: authorization } });

/** `ann`, `holder`, or `401`; anything else that comes of it is thrown. */
async function outcome(authorization: string): Promise<string> {
  try {
    const { policyDocument, context } = await handler(call(authorization));
    expect(policyDocument.Statement[0]?.Effect).toBe('Allow');
    expect(context).toHaveProperty('lease');
    return String(context?.entity);
  } catch (error) {
    if (error instanceof Error && error.message === 'Unauthorized') return '401';
    throw error;
  }
}

/** A right credential with some characters cut out, put in, doubled or replaced. */
function mutated(right: () => string): fc.Arbitrary<string> {
  const edit = fc.record({
    at: fc.nat(),
    length: fc.nat(8),
    put: fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom('.', '..', 'eyJ', '=')),
  });
  return fc.array(edit, { minLength: 1, maxLength: 3 }).map((edits) =>
    edits.reduce((text, { at, length, put }) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + put + text.slice(from + length);
    }, right()),
  );
}

const segment = fc.oneof(
  fc.json().map((json) => Buffer.from(json).toString('base64url')),
  fc
    .record({ alg: fc.constantFrom('none', 'HS256', 'RS256', 'ES256', 'EdDSA', ''), kid: fc.string(), crit: fc.anything() })
    .map((header) => Buffer.from(JSON.stringify(header)).toString('base64url')),
  fc.base64String(),
  fc.string(),
);
const credential = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ minLength: 12, maxLength: 60 }),
  fc.stringMatching(/^hg_[\w-]{43}$/),
  fc.array(segment, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('.')),
  fc.tuple(segment, segment).map(([claims, signature]) => `${token.split('.')[0]}.${claims}.${signature}`),
  mutated(() => token),
  mutated(() => secret),
  fc.nat(60_000).map((length) => 'eyJ.'.repeat(Math.ceil(length / 4))),
);
const authorization = fc
  .tuple(fc.constantFrom('Bearer ', 'bearer ', 'BEARER    ', 'Basic ', 'Bearer', '', 'Bearer Bearer ', 'Bearer\t'), credential)
  .map(([scheme, text]) => scheme + text);

it('the right token and the right key let in', async () => {
  expect([await outcome(`Bearer ${token}`), await outcome(`Bearer ${secret}`)]).toEqual(['ann', 'holder']);
});

/** `npm run verify:long` tries more. */
const HEADERS = short(1_000, 20_000);

it(`${HEADERS} headers that are not right are each a 401, or what they really say; none hangs, and few cost a read`, async () => {
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  const sent = vi.spyOn(DynamoDBClient.prototype, 'send');
  const startMs = Date.now();
  const seen: Record<string, number> = {};
  let slowestMs = 0;
  await fc.assert(
    fc.asyncProperty(authorization, async (text) => {
      const atMs = performance.now();
      const result = await outcome(text);
      slowestMs = Math.max(slowestMs, performance.now() - atMs);
      seen[result] = (seen[result] ?? 0) + 1;
      // What an edit left as it was is right, and nothing else.
      if (result !== '401') expect(text.replace(/^bearer +/i, '')).toBe(result === 'ann' ? token : secret);
    }),
    { numRuns: HEADERS },
  );
  const seconds = (Date.now() - startMs) / 1_000;
  expect(seen['401']).toBeGreaterThan(HEADERS * 0.9);
  expect(slowestMs).toBeLessThan(5_000);
  const admittedCalls = (HEADERS - (seen['401'] ?? 0)) * 3;
  expect(sent.mock.calls.length).toBeLessThanOrEqual(50 + 10 * Math.ceil(seconds) + admittedCalls);
  expect(issuer.asked.length).toBeLessThanOrEqual(3 + seconds / 30);
});

it('what it sends to the table is no more than its role may do', async () => {
  const sent = vi.spyOn(DynamoDBClient.prototype, 'send');
  const entity = randomUUID();
  await admin.createEntity({ entity, tier: 'gold' });
  await admin.setLimits({ entity, resource: 'openai' }, [slow('rpm', 1)]);
  const key = await admin.createKey({ entity });
  sent.mockClear();
  const { handler: fresh } = await coldStart(() => import('../../lambda/authorizer.js'));
  await fresh(call(`Bearer ${key.secret}`));
  await fresh(call(`Bearer ${key.secret}`));
  await fresh(call('Bearer hg_unknown_key')).catch(() => {});
  const used = sent.mock.calls.flatMap(([command]) => {
    const partitions = [...JSON.stringify(command.input).matchAll(/"tenant#(b#|config"|e#|key#)?/g)];
    return partitions.map(([, kind]) => `${command.constructor.name} ${kind ?? 'other'}`);
  });
  // infra/headgate-authorizer.ts grants these; a BucketUpdate is an UpdateItem.
  expect([...new Set(used)].sort()).toEqual([
    'BatchGetItemCommand config"',
    'BatchGetItemCommand e#',
    'BatchGetItemCommand key#',
    'BucketUpdate b#',
  ]);
});
