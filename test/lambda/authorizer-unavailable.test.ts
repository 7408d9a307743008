import { randomBytes, randomUUID } from 'node:crypto';
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { testEndpoint } from '../support/dynamodb.js';
import { Relay } from '../support/relay.js';
import { coldStart, deployed, redeployed, slow } from './cold-start.js';
import { authorizerEvent } from './events.js';

type Handler = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;

let admin: HeadgateAdmin;
let relay: Relay;

beforeAll(async () => {
  admin = await deployed();
});

beforeEach(async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {});
  relay = new Relay(testEndpoint());
  await relay.start();
});

afterEach(async () => {
  await relay.stop();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  redeployed();
});

/** A cold start that reaches the table through the relay. */
async function behindRelay(environment: Record<string, string>): Promise<Handler> {
  const through = { AWS_ENDPOINT_URL_DYNAMODB: relay.url, HEADGATE_DEADLINE_MS: '500', ...environment };
  return (await coldStart(() => import('../../lambda/authorizer.js'), through)).handler;
}

const call = (key: string, provider = 'openai'): APIGatewayRequestAuthorizerEvent =>
  authorizerEvent({
    method: 'POST',
    resource: '/llm/{provider}/{path+}',
    path: `/llm/${provider}/v1/chat/completions`,
    pathParameters: { provider, path: 'v1/chat/completions' },
    headers: { Authorization: `Bearer ${key}` },
  });

const shownOf = ({ policyDocument, context }: APIGatewayAuthorizerResult) => {
  const { decision, status, decidedBy, reason, lease } = context ?? {};
  const flags = Object.fromEntries(Object.entries({ decision, status, decidedBy, reason }).filter(([, value]) => value));
  return { effect: policyDocument.Statement[0]?.Effect, ...flags, ...(lease && { lease: 'signed' }) };
};

/** A key of a new entity with ten requests a day on openai. */
async function keyed(): Promise<string> {
  const entity = randomUUID();
  await admin.setLimits({ entity, resource: 'openai' }, [slow('rpm', 10)]);
  return (await admin.createKey({ entity })).secret;
}

describe('while the table gives no answer, a caller known from before', () => {
  it.each([
    { policy: 'deny', shown: { effect: 'Allow', decision: 'LimiterUnavailable', status: '503' } },
    { policy: 'allow', shown: { effect: 'Allow', decidedBy: 'allow' } },
    { policy: 'local', shown: { effect: 'Allow', decidedBy: 'local' } },
  ])('is answered as $policy says', async ({ policy, shown }) => {
    const key = await keyed();
    const handler = await behindRelay({ HEADGATE_ON_UNAVAILABLE: policy });
    expect(shownOf(await handler(call(key)))).toEqual({ effect: 'Allow', lease: 'signed' });
    await relay.stop();
    expect(shownOf(await handler(call(key)))).toEqual(shown);
  });

  it('is held to a share of its limits by local, and denied with a wait beyond that', async () => {
    const key = await keyed();
    const handler = await behindRelay({ HEADGATE_ON_UNAVAILABLE: 'local:0.2' });
    await handler(call(key));
    await relay.stop();
    const local = { effect: 'Allow', decidedBy: 'local' };
    const shown = [];
    for (let time = 0; time < 3; time += 1) shown.push(shownOf(await handler(call(key))));
    expect(shown).toEqual([local, local, { effect: 'Deny', reason: 'RateLimitExceeded' }]);
  });

  it('is let through by allow, and refused by local, where its limits were never read', async () => {
    const key = await keyed();
    for (const [policy, shown] of [
      ['allow', { effect: 'Allow', decidedBy: 'allow' }],
      ['local', { effect: 'Allow', decision: 'LimiterUnavailable', status: '503' }],
    ] as const) {
      if (policy === 'local') await relay.start();
      const handler = await behindRelay({ HEADGATE_ON_UNAVAILABLE: policy });
      await handler(call(key));
      await relay.stop();
      expect(shownOf(await handler(call(key, 'never-asked-for')))).toEqual(shown);
    }
  });

  it('is limited as before once the table answers again', async () => {
    const key = await keyed();
    const handler = await behindRelay({ HEADGATE_ON_UNAVAILABLE: 'allow' });
    await handler(call(key));
    await relay.stop();
    await handler(call(key));
    await relay.start();
    await vi.waitFor(async () => expect(shownOf(await handler(call(key)))).toEqual({ effect: 'Allow', lease: 'signed' }), 5_000);
  });
});

it.each(['deny', 'allow', 'local'])('nobody is let in unknown while the table gives no answer, under %s', async (policy) => {
  const handler = await behindRelay({ HEADGATE_ON_UNAVAILABLE: policy });
  await relay.stop();
  const shown = shownOf(await handler(call(`hg_${randomBytes(32).toString('base64url')}`)));
  expect(shown).toEqual({ effect: 'Allow', decision: 'LimiterUnavailable', status: '503' });
});

it.each(['never', 'local:0', 'local:2', 'Allow'])('the policy %s is refused', async (policy) => {
  const handler = await behindRelay({ HEADGATE_ON_UNAVAILABLE: policy });
  await expect(handler(call('hg_unknown_key'))).rejects.toMatchObject({ field: 'HEADGATE_ON_UNAVAILABLE' });
});

describe('where the authorizer itself keeps out what it refuses', () => {
  const closed = { HEADGATE_REFUSED_BY: 'authorizer' };

  it('an answer that is missing is an error, for the API’s own response, and not an Allow', async () => {
    const key = await keyed();
    const handler = await behindRelay(closed);
    await handler(call(key));
    await relay.stop();
    await expect(handler(call(key))).rejects.toEqual(new Error('LimiterUnavailable'));
    await expect(handler(call(`hg_${'x'.repeat(43)}`))).rejects.toEqual(new Error('LimiterUnavailable'));
  });

  it.each([
    { when: 'nothing limits the resource', provider: 'unlimited', reason: 'NoLimitsConfigured' },
    { when: 'the resource is no name', provider: '%23', reason: 'InvalidArgument' },
  ])('it is a Deny whose body says why when $when', async ({ provider, reason }) => {
    const result = await (await behindRelay(closed))(call(await keyed(), provider));
    expect(shownOf(result)).toEqual({ effect: 'Deny', reason });
    expect(JSON.parse(String(result.context?.problem))).toMatchObject({ status: 429, code: reason });
    expect(result.context).not.toHaveProperty('decision');
  });

  it('a call that is admitted goes through with its lease', async () => {
    const shown = shownOf(await (await behindRelay(closed))(call(await keyed())));
    expect(shown).toEqual({ effect: 'Allow', lease: 'signed' });
  });
});

it('without a key to sign leases with, calls are admitted and counted, and no lease is passed on', async () => {
  const handler = await behindRelay({ HEADGATE_LEASE_KEY: '' });
  const key = await keyed();
  const effects = [];
  for (let time = 0; time < 11; time += 1) effects.push(shownOf(await handler(call(key))));
  expect(effects.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => ({ effect: 'Allow' })));
  expect(effects[10]).toEqual({ effect: 'Deny', reason: 'RateLimitExceeded' });
});
