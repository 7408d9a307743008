import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LimitedFetchOptions, limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { dynamo, type TestBed } from '../support/stores.js';
import { OFFICIAL_CALLS, type Route } from './official-clients.js';

let upstream: SimulatedUpstream;
let bed: TestBed;

beforeAll(async () => {
  upstream = await startUpstream();
  bed = await dynamo.fresh();
});

afterAll(() => upstream.stop());

let entities = 0;

/** A new entity with these limits on the model, and the way of its calls. */
async function limited(model: string, limits: readonly Limit[], options: Partial<LimitedFetchOptions> = {}) {
  entities += 1;
  const entity = `caller-${entities}`;
  const limiter = bed.limiter();
  await bed.admin().setLimits({ entity, resource: model }, limits);
  const route: Route = {
    baseUrl: upstream.url,
    apiKey: 'upstream-key',
    fetch: limitedFetch({ limiter, entity, clock: bed.clock, ...options }),
  };
  return { route, left: () => bed.limiter().available({ entity, resource: model }) };
}

const everyLimit = [
  Limit.perHour('rph', 100),
  Limit.perHour('tph', 100_000),
  Limit.perHour('in', 100_000, { counts: 'inputTokens' }),
  Limit.perHour('out', 100_000, { counts: 'outputTokens' }),
  Limit.concurrent('inflight', 2, { leaseMs: 600_000 }),
];

describe.each(OFFICIAL_CALLS)('$name through limitedFetch', ({ call, model, deniedForSeconds }) => {
  it('settles what the client was told, to the token', async () => {
    const { route, left } = await limited(model, everyLimit);

    const first = await call(route, 'How do gates work?');
    const second = await call(route, 'And who opens them in the morning, when nobody is up?');

    const [input, output] = [first.inputTokens + second.inputTokens, first.outputTokens + second.outputTokens];
    expect(input).toBeGreaterThan(10);
    expect(await left()).toEqual({
      rph: 98,
      tph: 100_000 - input - output,
      in: 100_000 - input,
      out: 100_000 - output,
      inflight: 2,
    });
  });

  it('raises the client’s own error for a limit when it is denied, with the wait', async () => {
    const { route } = await limited(model, [Limit.perMinute('rpm', 1)]);
    await call(route, 'One');

    const error = await call(route, 'Two').then(
      () => undefined,
      (thrown: unknown) => thrown,
    );

    expect(deniedForSeconds(error)).toBe(60);
    bed.clock.advance(60_000);
    await expect(call(route, 'Two')).resolves.toMatchObject({ inputTokens: expect.any(Number) });
  });
});

it.each([
  { provider: 'OpenAI', url: 'https://api.openai.com/v1/chat/completions', model: 'm' },
  { provider: 'Anthropic', url: 'https://api.anthropic.com/v1/messages', model: 'm' },
  { provider: 'Gemini', url: 'https://generativelanguage.googleapis.com/v1beta/models/m:generateContent', model: undefined },
])('a denial is one JSON of $provider’s, and says so once', async ({ url, model }) => {
  const { route } = await limited('m', [Limit.perHour('rph', 1)], { upstream: async () => Response.json({}) });
  const call = () => route.fetch(url, { method: 'POST', body: JSON.stringify({ model, messages: [], contents: [] }) });
  expect((await call()).status).toBe(200);
  const denial = await call();
  expect([denial.status, denial.headers.get('content-type')]).toEqual([429, 'application/json']);
});
