import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { coldStart, redeployed, slow, unreachable } from './cold-start.js';
import { CHAT, chatEvent, DeployedGateway, forms, jsonOf } from './deployed-gateway.js';
import { USAGE } from './hand-made-upstream.js';

/** A call that costs no tokens. */
const MODELS = { method: 'GET', body: null, pathParameters: { provider: 'openai', path: 'v1/models' } };

describe.each(forms)('the provider’s limits, left to the gateway, its answers %s', (form) => {
  let gateway: DeployedGateway;

  beforeAll(async () => {
    gateway = await DeployedGateway.start(form);
  });

  afterEach(() => gateway.upstream.reset());

  afterAll(() => gateway.stop());

  const RPM_AND_TPM = [slow('rpm', 9), slow('tpm', 1_000), Limit.concurrent('inflight', 2, { leaseMs: 600_000 })];

  it('are acquired with the estimate from the body, and settled by what the answer used', async () => {
    const entity = await gateway.limited({ provider: RPM_AND_TPM });
    let during: unknown;
    gateway.upstream.answer = async (response) => {
      during = await gateway.left(entity);
      response.end(JSON.stringify({ usage: USAGE }));
    };
    expect((await gateway.call({ entity })).status).toBe(200);
    expect(during).toEqual({ model: { rpm: 4, tpm: 900 }, provider: { rpm: 8, tpm: 900, inflight: 1 } });
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 967 }, provider: { rpm: 8, tpm: 967, inflight: 2 } });
  });

  it('are told in the headers of an answer, with the model’s', async () => {
    const entity = await gateway.limited({ model: [slow('tpm', 1_000)], provider: [slow('rpm', 9)] });
    const { headers } = await gateway.call({ entity });
    expect(headers.get('ratelimit-policy')).toMatch(/"tpm";q=1000.*"rpm";q=9/);
    expect([headers.get('x-ratelimit-remaining-requests'), headers.get('x-ratelimit-remaining-tokens')]).toEqual(['8', '900']);
  });

  it.each<{ by: string; model: Limit[]; provider: Limit[]; named: object[]; left: object }>([
    {
      by: 'the provider’s limits',
      model: [slow('rpm', 5)],
      provider: [slow('tpm', 150)],
      named: [{ resource: 'openai', limit: 'tpm', available: 117, requested: 150 }],
      left: { model: { rpm: 4 }, provider: { tpm: 117 } },
    },
    {
      by: 'the model’s',
      model: [slow('tpm', 150)],
      provider: [slow('rpm', 5)],
      named: [{ resource: 'gpt-4', limit: 'tpm', available: 117, requested: 150 }],
      left: { model: { tpm: 117 }, provider: { rpm: 4 } },
    },
    {
      by: 'both',
      model: [slow('tpm', 150)],
      provider: [Limit.custom({ name: 'tpm', capacity: 150, refillAmount: 2, refillPeriodMs: 86_400_000 })],
      named: [
        { resource: 'gpt-4', limit: 'tpm', available: 117, requested: 150 },
        { resource: 'openai', limit: 'tpm', available: 117, requested: 150 },
      ],
      left: { model: { tpm: 117 }, provider: { tpm: 117 } },
    },
  ])('a call that is denied by $by draws on neither', async ({ model, provider, named, left }) => {
    const entity = await gateway.limited({ model, provider });
    expect((await gateway.call({ entity })).status).toBe(200);
    gateway.upstream.reset();
    // 2 tokens of prompt, and more output than fits: a guess, for it is not stated.
    const body = JSON.stringify({ ...CHAT, max_tokens: undefined, messages: [{ role: 'user', content: 'x'.repeat(900) }] });
    const answer = await gateway.call({ entity, body });
    expect(answer.status).toBe(429);
    expect(jsonOf(answer)).toMatchObject({
      code: 'RateLimitExceeded',
      violations: named,
      error: { code: 'RateLimitExceeded' },
    });
    const waits = jsonOf(answer).violations.map(({ retryAfterMs }: { retryAfterMs: number }) => retryAfterMs);
    expect(jsonOf(answer).retryAfterMs).toBe(Math.max(...waits));
    expect(gateway.upstream.arrived).toEqual([]);
    expect(await gateway.left(entity)).toEqual(left);
  });

  it('are drawn on for one request by calls that cost no tokens', async () => {
    const entity = await gateway.limited({ provider: [...RPM_AND_TPM, slow('usd', 9_000)] });
    const authorizer = { entity, resource: 'openai' };
    const answer = await gateway.invoke(chatEvent({ authorizer, ...MODELS }));
    expect([answer.status, answer.headers.get('x-ratelimit-remaining-requests')]).toEqual([200, '8']);
    expect(await gateway.left(entity)).toEqual({
      model: { rpm: 5, tpm: 1_000 },
      provider: { rpm: 8, tpm: 1_000, inflight: 2, usd: 9_000 },
    });
  });

  it('deny calls that cost no tokens as well', async () => {
    const entity = await gateway.limited({ provider: [slow('rpm', 1)] });
    const statuses = [];
    for (let call = 0; call < 2; call += 1) statuses.push((await gateway.call({ entity, ...MODELS })).status);
    expect(statuses).toEqual([200, 429]);
  });

  it('are given back by a call that is refused for what it asks', async () => {
    const entity = await gateway.limited();
    const answer = await gateway.call({ entity, body: JSON.stringify({ ...CHAT, max_tokens: 1_001 }) });
    expect([answer.status, jsonOf(answer).code]).toEqual([400, 'CostExceedsCapacity']);
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 5, tpm: 1_000 }, provider: { rpm: 9 } });
  });

  it('are drawn on once where they are the model’s', async () => {
    const entity = await gateway.limited();
    const answer = await gateway.invoke(chatEvent({ authorizer: { entity, resource: CHAT.model } }));
    expect(answer.status).toBe(200);
    expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 967 });
  });

  it('are those of what the authorizer names, whichever provider is called', async () => {
    const entity = await gateway.limited();
    await gateway.admin.setLimits({ entity, resource: 'search' }, [slow('rpm', 3)]);
    const answer = await gateway.invoke(chatEvent({ authorizer: { entity, resource: 'search' } }));
    expect(answer.headers.get('ratelimit-policy')).toContain('"rpm";q=3');
    expect((await gateway.left(entity)).provider).toEqual({ rpm: 9 });
  });
});

it.each([
  { policy: 'allow', status: 200, decides: 'lets through' },
  { policy: 'deny', status: 503, decides: 'refuses' },
])('while the table gives no answer, $policy $decides what costs tokens and what costs none', async ({ policy, status }) => {
  vi.spyOn(console, 'error').mockImplementation(() => {});
  const gateway = await DeployedGateway.start('buffered');
  const authorizer = { entity: await gateway.limited(), resource: 'openai' };
  const environment = { HEADGATE_ON_UNAVAILABLE: policy, ...(await unreachable()) };
  const { handler } = await coldStart(() => import('../../lambda/gateway.js'), environment);
  const answers = [await handler(chatEvent({ authorizer })), await handler(chatEvent({ authorizer, ...MODELS }))];
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([status, status]);
  expect(gateway.upstream.arrived).toHaveLength(status === 200 ? 2 : 0);
  await gateway.stop();
  redeployed();
  vi.restoreAllMocks();
});
