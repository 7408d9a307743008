import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LimitedFetchOptions, limitedFetch } from '../../lib/clients/index.js';
import type { Clock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { memory, type TestBed } from '../support/stores.js';

const MODEL = 'gpt-4o-mini';
const OTHER = 'gpt-4.1-nano';
const LIMITS = [Limit.perHour('rph', 10), Limit.perHour('tph', 36_000), Limit.concurrent('inflight', 1, { leaseMs: 3_600_000 })];

let upstream: SimulatedUpstream;
let bed: TestBed;

beforeEach(async () => {
  upstream = await startUpstream();
  bed = await memory.fresh();
});

afterEach(() => upstream.stop());

/** A caller, what it waited for, and which models it asked. */
async function retrying(options: Partial<LimitedFetchOptions> = {}) {
  for (const resource of [MODEL, OTHER]) await bed.admin().setLimits({ entity: 'key-123', resource }, LIMITS);
  const waits: number[] = [];
  const asked: string[] = [];
  const clock: Clock = {
    nowNs: () => bed.clock.nowNs(),
    sleep(ms, signal) {
      waits.push(ms);
      return bed.clock.sleep(ms, signal);
    },
  };
  const send = limitedFetch({
    limiter: bed.limiter({ cacheTtlMs: 0 }),
    entity: 'key-123',
    retries: 3,
    clock,
    ...options,
    upstream(input, init) {
      asked.push((JSON.parse(init?.body as string) as { model: string }).model);
      return (options.upstream ?? fetch)(input, init);
    },
  });
  const ask = (init: RequestInit = {}) =>
    send(`${upstream.url}/v1/chat/completions`, {
      method: 'POST',
      // 2 of input, 98 of output.
      body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hello?!!' }], max_tokens: 98 }),
      ...init,
    });
  /** Lets the time of the next wait pass. */
  const passed = async (wait: number) => {
    await expect.poll(() => waits.length).toBe(wait);
    bed.clock.advance(waits[wait - 1] ?? 0);
  };
  const left = (resource = MODEL) => bed.limiter({ cacheTtlMs: 0 }).available({ entity: 'key-123', resource });
  return { ask, asked, waits, passed, left };
}

const fails = (status: number, failHeaders: Readonly<Record<string, string>> = {}, failTimes?: number) =>
  Object.assign(upstream.behaviour, { failWith: status, failHeaders, failTimes });

describe('a call that the provider turned away', () => {
  it.each([
    { when: 'seconds', headers: { 'retry-after': '20' }, ms: 20_000 },
    { when: 'milliseconds, as Azure does', headers: { 'retry-after-ms': '350' }, ms: 350 },
    { when: 'a date', headers: { 'retry-after': 'Fri, 15 Jan 2027 08:00:30 GMT' }, ms: 30_000 },
    {
      when: 'the reset of a limit',
      headers: { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '6s' },
      ms: 6_000,
    },
  ])('is made again when $when have passed, and not a millisecond before', async ({ headers, ms }) => {
    const { ask, asked, waits } = await retrying();
    fails(429, headers, 1);
    const answering = ask();
    await expect.poll(() => waits).toEqual([ms]);
    bed.clock.advance(ms - 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual([MODEL]);
    bed.clock.advance(1);
    const answer = await answering;
    expect([answer.status, asked.length]).toEqual([200, 2]);
    await answer.text();
  });

  it('is charged once, whatever the number of its tries', async () => {
    const { ask, asked, passed, left } = await retrying();
    upstream.behaviour.usage = { promptTokens: 30, completionTokens: 12 };
    fails(503, { 'retry-after': '1' }, 3);
    const answering = ask();
    for (const wait of [1, 2, 3]) {
      await passed(wait);
      // 10 tokens come back in a second; the estimate of 100 is held throughout, and the slot.
      if (wait < 3) expect(await left()).toEqual({ rph: 9, tph: 35_900 + 10 * wait, inflight: 0 });
    }
    await (await answering).text();
    expect(asked.length).toBe(4);
    // 42 were used, 30 came back in three seconds.
    expect(await left()).toEqual({ rph: 9, tph: 35_988, inflight: 1 });
  });

  it('waits longer each time where the provider says nothing', async () => {
    const { ask, passed, waits } = await retrying();
    fails(529, {}, 3);
    const answering = ask();
    for (const wait of [1, 2, 3]) await passed(wait);
    expect((await answering).status).toBe(200);
    const [first = 0, second = 0, third = 0] = waits;
    expect([first >= 250 && first <= 500, second >= 500 && second <= 1_000, third >= 1_000 && third <= 2_000]).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('is handed on after its last try, with the provider’s words, and costs no tokens', async () => {
    const { ask, asked, passed, left } = await retrying({ retries: 2 });
    fails(429, { 'retry-after': '1' });
    const answering = ask();
    for (const wait of [1, 2]) await passed(wait);
    const answer = await answering;
    expect([answer.status, asked.length]).toEqual([429, 3]);
    expect(await answer.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect(await left()).toEqual({ rph: 9, tph: 36_000, inflight: 1 });
  });

  it('is handed on at once when the provider asks for a longer wait than allowed', async () => {
    const { ask, asked, waits, left } = await retrying({ maxRetryWaitMs: 19_999 });
    fails(429, { 'retry-after': '20' });
    const answer = await ask();
    expect([answer.status, answer.headers.get('retry-after'), asked.length, waits]).toEqual([429, '20', 1, []]);
    expect(await left()).toEqual({ rph: 9, tph: 36_000, inflight: 1 });
  });

  it('is handed on at once when another try would not help', async () => {
    const body = { error: { message: 'No credit', type: 'insufficient_quota', code: 'insufficient_quota' } };
    const { ask, asked } = await retrying({ upstream: async () => Response.json(body, { status: 429 }) });
    const answer = await ask();
    expect([answer.status, await answer.json(), asked.length]).toEqual([429, body, 1]);
  });

  it('ends its wait when its caller leaves: nothing is sent any more, and only the request stays counted', async () => {
    const { ask, asked, waits, left } = await retrying();
    fails(429, { 'retry-after': '20' });
    const abort = new AbortController();
    const answering = ask({ signal: abort.signal });
    await expect.poll(() => waits).toEqual([20_000]);
    abort.abort(new Error('the caller left'));
    await expect(answering).rejects.toThrow('the caller left');
    await expect.poll(left).toEqual({ rph: 9, tph: 36_000, inflight: 1 });
    bed.clock.advance(20_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked.length).toBe(1);
  });

  it('goes to the next model at once, and waits for the last one only', async () => {
    const { ask, asked, waits, passed, left } = await retrying({ models: [MODEL, OTHER] });
    fails(429, { 'retry-after': '20' }, 2);
    const answering = ask();
    await passed(1);
    expect((await answering).status).toBe(200);
    expect([asked, waits]).toEqual([[MODEL, OTHER, OTHER], [20_000]]);
    expect([(await left()).rph, (await left(OTHER)).rph]).toEqual([10, 9]);
  });
});

it('waits as long as the body of Gemini’s error says', async () => {
  const retryInfo = { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '22s' };
  let calls = 0;
  const { waits, passed, ask } = await retrying({
    upstream: async () => {
      calls += 1;
      if (calls === 1)
        return Response.json({ error: { code: 429, status: 'RESOURCE_EXHAUSTED', details: [retryInfo] } }, { status: 429 });
      return Response.json({ usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
    },
  });
  const answering = ask();
  await passed(1);
  expect([(await answering).status, waits]).toEqual([200, [22_000]]);
});

it.each([
  { when: 'a server error', answer: () => Promise.resolve(new Response('{}', { status: 500 })) },
  { when: 'no answer', answer: () => Promise.reject(new TypeError('fetch failed')) },
])('does not make a call again that may have been worked on, such as after $when', async ({ answer }) => {
  const { ask, asked } = await retrying({ upstream: answer });
  await ask().catch(() => undefined);
  expect(asked.length).toBe(1);
});
