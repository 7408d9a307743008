import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { slow } from './cold-start.js';
import { CHAT, chatEvent, DeployedGateway, jsonOf } from './deployed-gateway.js';

/** 11 tokens of prompt, 10 of them cached, and 22 of answer. */
const CACHED = {
  prompt_tokens: 11,
  completion_tokens: 22,
  total_tokens: 33,
  prompt_tokens_details: { cached_tokens: 10 },
};
/** What one token costs here, in micro-dollars. The estimate of a call, 2 and 98 tokens, comes to 5,940. */
const PRICES = {
  'gpt-4': { input: 30, cachedInput: 15, output: 60 },
  'gpt-4-mini': { input: 0.15, output: 0.6 },
  claude: { input: 3, cachedInput: 0.3, cacheWrite: 3.75, cacheWrite1h: 6, output: 15 },
};

const observed = Limit.custom({ name: 'usd', capacity: 9, refillAmount: 1, refillPeriodMs: 86_400_000, mode: 'observe' });
const weights = { cachedInput: 0.1, output: 5 };
const weighted = Limit.custom({ name: 'tpm', capacity: 1_000, refillAmount: 1, refillPeriodMs: 86_400_000, weights });

/** Who acquired the provider's limits. */
const WAYS = [
  { by: 'which it acquires itself', way: 'call' },
  { by: 'which the authorizer acquired', way: 'callWithLease' },
] as const;

describe('the gateway with prices', () => {
  let gateway: DeployedGateway;

  beforeAll(async () => {
    gateway = await DeployedGateway.start('buffered', () => ({ environment: { HEADGATE_PRICES: JSON.stringify(PRICES) } }));
  });

  afterEach(() => gateway.upstream.reset());

  afterAll(() => gateway.stop());

  const answering = (status: number, body: object) => {
    gateway.upstream.answer = (response) => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(body));
    };
  };
  const limitedOn = async (model: string, limits: readonly Limit[], provider: readonly Limit[] = [slow('rpm', 9)]) => {
    const entity = await gateway.limited({ provider });
    await gateway.admin.setLimits({ entity, resource: model }, limits);
    return entity;
  };
  const asking = (model: string) => JSON.stringify({ ...CHAT, model });

  it.each(WAYS)('charges money by the price of the model, on the model’s limits and the provider’s, $by', async ({ way }) => {
    const entity = await gateway.limited({ model: [slow('usd', 10_000)], provider: [slow('rpm', 9), slow('usd', 20_000)] });
    expect((await gateway[way]({ entity })).status).toBe(200);
    const spent = 11 * 30 + 22 * 60;
    expect(await gateway.left(entity)).toEqual({ model: { usd: 10_000 - spent }, provider: { rpm: 8, usd: 20_000 - spent } });
  });

  it('charges cached input its own price, and weighs it', async () => {
    answering(200, { usage: CACHED });
    const entity = await gateway.limited({ model: [slow('usd', 10_000), weighted], provider: [slow('rpm', 9), weighted] });
    expect((await gateway.call({ entity })).status).toBe(200);
    expect(await gateway.left(entity)).toEqual({
      model: { usd: 10_000 - (30 + 10 * 15 + 22 * 60), tpm: 1_000 - (1 + 1 + 110) },
      provider: { rpm: 8, tpm: 1_000 - (1 + 1 + 110) },
    });
  });

  it('charges what was written to the provider’s cache its own price, for minutes and for an hour', async () => {
    const usage = {
      input_tokens: 50,
      cache_read_input_tokens: 200,
      cache_creation_input_tokens: 300,
      cache_creation: { ephemeral_5m_input_tokens: 180, ephemeral_1h_input_tokens: 120 },
      output_tokens: 10,
    };
    answering(200, { type: 'message', usage });
    const entity = await limitedOn('claude', [slow('usd', 10_000), slow('tpm', 1_000)]);
    const body = JSON.stringify({ model: 'claude', max_tokens: 20, messages: CHAT.messages });
    const pathParameters = { provider: 'openai', path: 'v1/messages' };
    expect((await gateway.call({ entity, pathParameters, body })).status).toBe(200);
    const spent = 50 * 3 + 200 * 0.3 + 180 * 3.75 + 120 * 6 + 10 * 15;
    expect((await gateway.left(entity, 'claude')).model).toEqual({ usd: 10_000 - spent, tpm: 1_000 - 560 });
  });

  it.each(WAYS)('charges the estimate’s price, with the provider too, when the answer tells no usage, $by', async ({ way }) => {
    answering(200, { id: 'chatcmpl-1' });
    const entity = await gateway.limited({ model: [slow('usd', 10_000)], provider: [slow('rpm', 9), slow('usd', 20_000)] });
    expect((await gateway[way]({ entity })).status).toBe(200);
    expect(await gateway.left(entity)).toEqual({ model: { usd: 4_060 }, provider: { rpm: 8, usd: 14_060 } });
  });

  it.each(WAYS)('charges nothing for a call that failed, $by', async ({ way }) => {
    answering(500, { error: { message: 'no' } });
    const entity = await gateway.limited({ model: [slow('usd', 10_000)], provider: [slow('rpm', 9), slow('usd', 20_000)] });
    expect((await gateway[way]({ entity })).status).toBe(500);
    expect(await gateway.left(entity)).toEqual({ model: { usd: 10_000 }, provider: { rpm: 8, usd: 20_000 } });
  });

  it('denies a call whose estimate is above what is left of the budget', async () => {
    const entity = await gateway.limited({ model: [slow('usd', 6_000)] });
    expect((await gateway.call({ entity })).status).toBe(200);
    const answer = await gateway.call({ entity });
    expect(answer.status).toBe(429);
    expect(jsonOf(answer).violations).toMatchObject([{ limit: 'usd', counts: 'microUsd', available: 4_350, requested: 5_940 }]);
  });

  it('denies a call whose estimate is above what is left of the provider’s budget, before the provider is asked', async () => {
    const entity = await gateway.limited({ model: [slow('rpm', 5)], provider: [slow('usd', 6_000)] });
    expect((await gateway.call({ entity })).status).toBe(200);
    gateway.upstream.reset();
    const answer = await gateway.call({ entity });
    expect(answer.status).toBe(429);
    expect(jsonOf(answer).violations).toMatchObject([{ resource: 'openai', limit: 'usd', available: 4_350, requested: 5_940 }]);
    expect(gateway.upstream.arrived).toEqual([]);
    expect((await gateway.left(entity)).model).toEqual({ rpm: 4 });
  });

  it('refuses a call whose allowed output alone costs more than the whole budget, however absurd it is', async () => {
    const entity = await gateway.limited({ model: [slow('usd', 5_939)] });
    for (const maxTokens of [200, 1e300]) {
      const answer = await gateway.call({ entity, body: JSON.stringify({ ...CHAT, max_tokens: maxTokens }) });
      expect([answer.status, jsonOf(answer).code]).toEqual([400, 'CostExceedsCapacity']);
    }
  });

  it.each([
    { where: 'the model', model: [slow('usd', 9_000)], provider: [slow('rpm', 9)] },
    { where: 'the provider', model: [slow('rpm', 9)], provider: [slow('rpm', 9), slow('usd', 9_000)] },
  ])('refuses a model without a price, before it is called, where a budget of $where applies', async ({ model, provider }) => {
    const entity = await limitedOn('gpt-5', model, provider);
    const answer = await gateway.call({ entity, body: asking('gpt-5') });
    expect([answer.status, jsonOf(answer)]).toMatchObject([
      400,
      {
        code: 'InvalidArgument',
        field: 'model',
        detail: 'Expected model to be one that the price table names (gpt-4, gpt-4-mini, claude), got "gpt-5"',
      },
    ]);
    expect(gateway.upstream.arrived).toEqual([]);
    expect((await gateway.left(entity)).provider).toEqual(
      Object.fromEntries(provider.map(({ name, capacity }) => [name, capacity])),
    );
  });

  it.each([
    { when: 'nothing counts money', model: [slow('rpm', 9)], provider: [slow('rpm', 9)] },
    { when: 'budgets are observed only', model: [observed, slow('rpm', 9)], provider: [observed, slow('rpm', 9)] },
  ])('forwards a call of a model without a price when $when', async ({ model, provider }) => {
    const entity = await limitedOn('gpt-5', model, provider);
    expect((await gateway.call({ entity, body: asking('gpt-5') })).status).toBe(200);
    expect((await gateway.left(entity)).provider).toEqual({ ...(provider.length === 2 && { usd: 9 }), rpm: 8 });
  });

  it('forwards a call of a model without a price when its budgets are bypassed, but not when a parent’s is none of them', async () => {
    const bypassing = async () => {
      const entity = await gateway.limited();
      await gateway.admin.setLimits({ entity, resource: 'gpt-5' }, [slow('usd', 9_000)], { bypass: true });
      return entity;
    };
    const statusOf = async (entity: string) => (await gateway.call({ entity, body: asking('gpt-5') })).status;
    expect(await statusOf(await bypassing())).toBe(200);

    const [parent, child] = [await limitedOn('gpt-5', [slow('usd', 9_000)]), await bypassing()];
    await gateway.admin.createEntity({ entity: parent });
    await gateway.admin.createEntity({ entity: child, parent });
    expect(await statusOf(child)).toBe(400);
  });
});

describe('the gateway', () => {
  it.each([
    { when: 'there are no prices', prices: '', status: 400, says: 'one that the price table names (it is empty), got "gpt-4"' },
    { when: 'its prices are no JSON', prices: '{', status: 500, says: 'Expected HEADGATE_PRICES to be JSON of { model: { input' },
    {
      when: 'a price is none',
      prices: '{"gpt-4":{"input":-1,"output":1}}',
      status: 500,
      says: 'HEADGATE_PRICES["gpt-4"].input to be dollars per million tokens, from 0 to 1000000',
    },
  ])('forwards nothing that a budget applies to when $when', async ({ prices, status, says }) => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const gateway = await DeployedGateway.start('buffered', () => ({ environment: { HEADGATE_PRICES: prices } }));
    const entity = await gateway.limited({ model: [slow('usd', 9_000)] });
    const answer = await gateway.invoke(chatEvent({ authorizer: await gateway.admitted(entity) }));
    expect([answer.status, jsonOf(answer).detail]).toEqual([status, expect.stringContaining(says)]);
    expect(gateway.upstream.arrived).toEqual([]);
    await gateway.stop();
    vi.restoreAllMocks();
  });
});
