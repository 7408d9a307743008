import { afterAll, beforeAll, expect, it } from 'vitest';
import { limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { costOf, type PriceTable } from '../../lib/llm/prices.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const PRICES: PriceTable = {
  'gpt-4o': { input: 2.5, cachedInput: 1.25, output: 10 },
  'gpt-4o-mini': { input: 0.15, cachedInput: 0.075, output: 0.6 },
};
const MODELS = Object.keys(PRICES);
const TEN_DOLLARS = 10_000_000;
const UTC = { per: 'month', timeZone: 'UTC' } as const;

let upstream: SimulatedUpstream;

beforeAll(async () => {
  upstream = await startUpstream();
});

afterAll(() => upstream.stop());

it.each(eachStore)(
  'a monthly budget over mixed models stops at ten dollars on the $name store, but for calls under way, and its usage is the table times the tokens',
  async ({ fresh }: StoreUnderTest) => {
    const bed = await fresh();
    // The budget is the organisation's: both models draw on it through the caller's parent, under one resource.
    await bed.admin().setLimits({ resource: 'llm' }, [Limit.quota('usd', TEN_DOLLARS, UTC)]);
    const send = limitedFetch({ limiter: bed.limiter(), entity: 'team', resource: 'llm', prices: PRICES, clock: bed.clock });
    // About 60 cents a call of the large model, 4 of the small one.
    upstream.behaviour.usage = { promptTokens: 120_000, completionTokens: 30_001 };
    let [spent, answered] = [0, 0];
    const call = async (index: number): Promise<number> => {
      const model = MODELS[index % MODELS.length] ?? '';
      const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 31_000 });
      const answer = await send(`${upstream.url}/v1/chat/completions`, { method: 'POST', body });
      if (answer.status === 200) {
        const { usage } = (await answer.json()) as { usage: { prompt_tokens: number; completion_tokens: number } };
        spent += costOf(model, { inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens }, PRICES);
        answered += 1;
      }
      return answer.status;
    };

    const statuses = [];
    for (let round = 0; round < 10; round += 1)
      statuses.push(...(await Promise.all(Array.from({ length: 6 }, (_, index) => call(index)))));

    const left = await bed.limiter().available({ entity: 'team', resource: 'llm' });
    expect(left).toEqual({ usd: TEN_DOLLARS - spent });
    expect(statuses.filter((status) => status === 429).length).toBe(60 - answered);
    // 600,010 micro-dollars of the large model and 36,001 of the small one: what six calls under way may exceed the budget by.
    expect(spent).toBeGreaterThan(TEN_DOLLARS - 600_010);
    expect(spent).toBeLessThan(TEN_DOLLARS + 3 * (600_010 + 36_001));
    expect(await call(0)).toBe(429);
  },
);

it.each(eachStore)(
  'prices that are stored with the model come before those of the table on the $name store',
  async ({ fresh }) => {
    const bed = await fresh();
    await bed
      .admin()
      .setLimits({ resource: 'gpt-4o' }, [Limit.quota('usd', TEN_DOLLARS, UTC)], { prices: { input: 1, output: 2 } });
    const send = limitedFetch({ limiter: bed.limiter(), entity: 'team', prices: PRICES, clock: bed.clock });
    upstream.behaviour.usage = { promptTokens: 1_000, completionTokens: 500 };
    const body = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 600 });
    await (await send(`${upstream.url}/v1/chat/completions`, { method: 'POST', body })).text();
    expect(await bed.limiter().available({ entity: 'team', resource: 'gpt-4o' })).toEqual({ usd: TEN_DOLLARS - 2_000 });
  },
);
