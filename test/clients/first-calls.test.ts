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
