import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { type System, startSystem } from '../../local/system.js';
import { testClient, testEndpoint } from '../support/dynamodb.js';
import { OFFICIAL_CALLS, type Route } from './official-clients.js';

const tableName = `clients-${randomUUID()}`;
const client = testClient();
const admin = new HeadgateAdmin({ tableName, client });
let system: System;

beforeAll(async () => {
  system = await startSystem({ port: 0, dynamoEndpoint: testEndpoint(), tableName, namespace: 'default' });
});

afterAll(() => system.stop());

/** A token in a hundred days: what refills meanwhile does not blur the count. */
const slow = (name: string, capacity: number, counts: 'requests' | 'tokens' | 'inputTokens' | 'outputTokens') =>
  Limit.custom({ name, capacity, refillAmount: 1, refillPeriodMs: 8_640_000_000, counts });

/** A new caller with a key of its own, and these limits on the model. */
async function caller(model: string, name: string, limits: readonly Limit[]): Promise<{ entity: string; route: Route }> {
  const entity = `caller-${randomUUID()}`;
  await admin.setLimits({ entity, resource: model }, limits);
  const { secret } = await admin.createKey({ entity });
  const provider = name.includes('anthropic') ? 'anthropic' : name.includes('gemini') ? 'gemini' : 'openai';
  if (provider !== 'openai') await admin.setLimits({ resource: provider }, [slow('rpc', 10_000, 'requests')]);
  return { entity, route: { baseUrl: `${system.url}/llm/${provider}`, apiKey: secret, fetch } };
}

describe.each(OFFICIAL_CALLS)('$name through the gateway', ({ name, call, model, deniedForSeconds }) => {
  it('settles what the client was told, to the token', async () => {
    const limits = [
      slow('calls', 100, 'requests'),
      slow('all', 100_000, 'tokens'),
      slow('in', 100_000, 'inputTokens'),
      slow('out', 100_000, 'outputTokens'),
    ];
    const { entity, route } = await caller(model, name, limits);

    const first = await call(route, 'How do gates work?');
    const second = await call(route, 'And who opens them in the morning, when nobody is up?');

    const [input, output] = [first.inputTokens + second.inputTokens, first.outputTokens + second.outputTokens];
    expect(input).toBeGreaterThan(10);
    const left = await new RateLimiter({ deadlineMs: 30_000, tableName, client }).available({ entity, resource: model });
    expect(left).toEqual({ calls: 98, all: 100_000 - input - output, in: 100_000 - input, out: 100_000 - output });
  });

  it('raises the client’s own error for a limit when it is denied, with the wait', async () => {
    const { route } = await caller(model, name, [Limit.perHour('rph', 1)]);
    await call(route, 'One');

    const error = await call(route, 'Two').then(
      () => undefined,
      (thrown: unknown) => thrown,
    );

    // An hour, but for the time since the first call.
    expect(deniedForSeconds(error)).toBeGreaterThan(3_500);
    expect(deniedForSeconds(error)).toBeLessThanOrEqual(3_600);
  });
});
