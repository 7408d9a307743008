import { expect, it } from 'vitest';
import { type LimitedFetchOptions, limitedFetch } from '../../lib/clients/index.js';
import type { ScopeOptions } from '../../lib/config/scope-rules.js';
import { Limit } from '../../lib/core/limit.js';
import { memory } from '../support/stores.js';

const MODEL = 'gpt-4o-mini';
const usage = { prompt_tokens: 2, completion_tokens: 8, total_tokens: 10 };
/** 2 tokens of input, and by default 200 of output. */
const BODY = { model: MODEL, messages: [{ role: 'user', content: 'Hello?!!' }] };
const DAYS = { cron: '* 6-18 * * *' };
const NIGHTS = { cron: '* 0-5,19-23 * * *' };

interface Row {
  readonly when: string;
  readonly limit: Limit;
  readonly tier?: ScopeOptions;
  readonly options?: Partial<LimitedFetchOptions>;
  /** Of the limit, while the call runs. */
  readonly left: number;
}

// The clock stands at eight in the morning.
it.each<Row>([
  { when: 'its tier is low', limit: Limit.perHour('tph', 200), tier: { priority: 'low', priorities: true }, left: 100 },
  {
    when: 'it asks for less than its tier',
    limit: Limit.perHour('tph', 200),
    tier: { priority: 'high', priorities: true },
    options: { priority: 'low' },
    left: 100,
  },
  { when: 'less is allowed now', limit: Limit.perHour('tph', 400, { schedule: [{ ...DAYS, scale: 0.25 }] }), left: 0 },
  { when: 'less is allowed at night', limit: Limit.perHour('tph', 400, { schedule: [{ ...NIGHTS, scale: 0.25 }] }), left: 198 },
  {
    when: 'less is allowed now to a low tier',
    limit: Limit.perHour('tph', 400, { schedule: [{ ...DAYS, scale: 0.5 }] }),
    tier: { priority: 'low', priorities: true },
    left: 100,
  },
])('a call that was guessed above what it may take is made all the same when $when', async ({ limit, tier, options, left }) => {
  const bed = await memory.fresh();
  await bed.admin().setLimits({ tier: 'plan' }, [limit], tier);
  await bed.admin().createEntity({ entity: 'key-123', tier: 'plan' });
  const limiter = bed.limiter();
  const tokens = async () => (await limiter.available({ entity: 'key-123', resource: MODEL })).tph;
  let running: number | undefined;
  const upstream = async () => {
    running = await tokens();
    return Response.json({ usage });
  };
  const send = limitedFetch({ limiter, entity: 'key-123', upstream, ...options });
  const full = (await tokens()) ?? 0;
  const answer = await send('https://api.openai.com/v1/chat/completions', { method: 'POST', body: JSON.stringify(BODY) });
  await answer.text();
  expect([answer.status, running, await tokens()]).toEqual([200, left, full - 10]);
});

it.each([
  { when: 'the answer’s length is a guess', body: BODY, status: 200 },
  { when: 'the answer fits that the caller allows', body: { ...BODY, max_tokens: 98 }, status: 200 },
  { when: 'the answer does not fit that the caller allows', body: { ...BODY, max_tokens: 99 }, status: 400 },
])('a call under a tier of at most 100 tokens a call is answered with $status where $when', async ({ body, status }) => {
  const bed = await memory.fresh();
  await bed.admin().setLimits({ tier: 'plan' }, [Limit.perHour('tph', 1_000)], { maxContextTokens: 100 });
  await bed.admin().createEntity({ entity: 'key-123', tier: 'plan' });
  const upstream = async () => Response.json({ usage });
  const send = limitedFetch({ limiter: bed.limiter(), entity: 'key-123', upstream });
  const answer = await send('https://api.openai.com/v1/chat/completions', { method: 'POST', body: JSON.stringify(body) });
  expect([answer.status, answer.headers.get('x-headgate-code')]).toEqual([status, status === 200 ? null : 'ContextTooLong']);
});

it('a call that names no model is limited by the resource that the client was given', async () => {
  const bed = await memory.fresh();
  await bed.admin().setLimits({ system: true }, [Limit.perHour('tph', 1_000)]);
  const limiter = bed.limiter();
  const upstream = async () => Response.json({ usage });
  const send = limitedFetch({ limiter, entity: 'key-123', resource: 'llama', upstream });
  const body = JSON.stringify({ messages: BODY.messages });
  await (await send('http://localhost:8080/v1/chat/completions', { method: 'POST', body })).text();
  expect(await limiter.available({ entity: 'key-123', resource: 'llama' })).toEqual({ tph: 990 });
});
