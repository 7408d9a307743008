import { expect, it } from 'vitest';
import { type Estimator, limitedFetch, type TokenEstimate } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { memory } from '../support/stores.js';

const MODEL = 'gpt-4o-mini';
const usage = { prompt_tokens: 30, completion_tokens: 12, total_tokens: 42 };
/** 2 tokens of input. */
const BODY = JSON.stringify({ model: MODEL, max_tokens: 98, messages: [{ role: 'user', content: 'Hello?!!' }] });
const always = (estimate: object) => () => estimate as TokenEstimate;

/** What became of two calls, and what was warned of. */
async function called(estimate: Estimator) {
  const bed = await memory.fresh();
  const limits = [Limit.perHour('itph', 1_000, { counts: 'inputTokens' }), Limit.perHour('tph', 1_000)];
  await bed.admin().setLimits({ system: true }, [...limits, Limit.concurrent('inflight', 5, { leaseMs: 600_000 })]);
  const warnings: string[] = [];
  const left = () => bed.limiter().available({ entity: 'key-123', resource: MODEL });
  const running: Record<string, number>[] = [];
  const send = limitedFetch({
    limiter: bed.limiter(),
    entity: 'key-123',
    estimate,
    onWarning: ({ message }) => warnings.push(message),
    upstream: async () => {
      running.push(await left());
      return Response.json({ usage });
    },
  });
  const answers = [];
  for (let call = 0; call < 2; call += 1) {
    const answer = await send('https://api.openai.com/v1/chat/completions', { method: 'POST', body: BODY });
    answers.push(answer.status, ((await answer.json()) as { usage: object }).usage);
  }
  return { answers, running: running[0], left: await left(), warnings };
}

const MADE = { answers: [200, usage, 200, usage], left: { itph: 940, tph: 916, inflight: 5 } };

it.each([
  { what: 'a total alone', estimate: { totalTokens: 100 }, field: 'inputTokens', got: 'undefined' },
  { what: 'no total', estimate: { inputTokens: 2, outputTokens: 98 }, field: 'totalTokens', got: 'undefined' },
  { what: 'half a token', estimate: { inputTokens: 1.5, outputTokens: 0, totalTokens: 2 }, field: 'inputTokens', got: '1.5' },
])('an estimator that says $what is reported once, and characters are counted', async ({ estimate, field, got }) => {
  expect(await called(always(estimate))).toEqual({
    ...MADE,
    running: { itph: 998, tph: 900, inflight: 4 },
    warnings: [
      `The estimator failed, characters were counted instead: InvalidArgument: Expected ${field} to be an integer from 0, got ${got}`,
    ],
  });
});

it('an estimator that fails to learn is reported once, and the calls are settled all the same', async () => {
  const estimate = always({ inputTokens: 10, outputTokens: 20, totalTokens: 30 });
  const learn = () => {
    throw new RangeError('no more room');
  };
  expect(await called(Object.assign(estimate, { learn }))).toEqual({
    ...MADE,
    running: { itph: 990, tph: 970, inflight: 4 },
    warnings: ['The estimator failed to learn: RangeError: no more room'],
  });
});
