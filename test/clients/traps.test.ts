import { OpenAI } from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LimitedFetchOptions, limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { memory, type TestBed } from '../support/stores.js';

const MODEL = 'gpt-4o-mini';
const utf8 = new TextEncoder();

let upstream: SimulatedUpstream;
let bed: TestBed;

beforeEach(async () => {
  upstream = await startUpstream();
  bed = await memory.fresh();
});

afterEach(() => upstream.stop());

/** Limits of the caller on a model, and its `fetch`. */
async function limited(limits: readonly Limit[], options: Partial<LimitedFetchOptions> = {}, model = MODEL) {
  await bed.admin().setLimits({ entity: 'key-123', resource: model }, limits);
  const send = limitedFetch({ limiter: bed.limiter({ cacheTtlMs: 0 }), entity: 'key-123', clock: bed.clock, ...options });
  const post = (body: object, path = '/v1/chat/completions', init: RequestInit = {}) =>
    send(upstream.url + path, { method: 'POST', body: JSON.stringify(body), ...init });
  const left = (resource = model) => bed.limiter({ cacheTtlMs: 0 }).available({ entity: 'key-123', resource });
  return { send, post, left };
}

const asking = (content: string, more: object = {}) => ({ model: MODEL, messages: [{ role: 'user', content }], ...more });
const tph = (capacity: number) => Limit.perHour('tph', capacity);

describe('an estimate', () => {
  it('that is above what a limit ever holds takes all of it, and the call is made', async () => {
    const { post, left } = await limited([tph(150)]);
    // 2 of input and 200 of output by default.
    const answer = await post(asking('Hello?!!'));
    expect(answer.status).toBe(200);
    expect(await left()).toEqual({ tph: 0 });
    const { usage } = (await answer.json()) as { usage: { total_tokens: number } };
    expect(await left()).toEqual({ tph: 150 - usage.total_tokens });
  });

  it('takes no more than the smallest limit of all levels ever holds', async () => {
    await bed.admin().createEntity({ entity: 'org' });
    await bed.admin().createEntity({ entity: 'key-123', parent: 'org' });
    await bed.admin().setLimits({ entity: 'org', resource: MODEL }, [tph(100)]);
    const { post } = await limited([tph(150)]);
    const limiter = bed.limiter({ cacheTtlMs: 0 });
    upstream.behaviour.delayMs = 50;
    const pending = post(asking('Hello?!!'));
    await expect
      .poll(async () => (await limiter.status({ entity: 'key-123', resource: MODEL })).limits.map(({ available }) => available))
      .toEqual([50, 0]);
    expect((await pending).status).toBe(200);
  });

  it('refuses what the caller itself allows when that is more than a limit ever holds', async () => {
    const { post, left } = await limited([tph(150)]);
    const answer = await post(asking('Hello?!!', { max_tokens: 151 }));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { code: 'CostExceedsCapacity' } });
    expect(await left()).toEqual({ tph: 150 });
  });

  it('takes the larger of max_tokens and max_completion_tokens', async () => {
    const { post, left } = await limited([tph(20_000)]);
    upstream.behaviour.delayMs = 50;
    const pending = post(asking('Hello?!!', { max_tokens: 1, max_completion_tokens: 10_000 }));
    await expect.poll(left).toEqual({ tph: 20_000 - 10_002 });
    await pending;
  });

  it('that fails is reported, and characters are counted instead', async () => {
    const warnings: Error[] = [];
    const { post, left } = await limited([tph(1_000)], {
      estimate: () => {
        throw new RangeError('no such encoding');
      },
      onWarning: (warning) => warnings.push(warning),
    });
    const answer = await post(asking('Hello?!!', { max_tokens: 98 }));
    expect(await left()).toEqual({ tph: 900 });
    expect(warnings.map(({ message }) => message)).toEqual([
      'The estimator failed, characters were counted instead: RangeError: no such encoding',
    ]);
    await answer.text();
  });
});

describe('a settlement', () => {
  it('makes true what the Responses API used', async () => {
    const { post, left } = await limited([tph(1_000)]);
    upstream.behaviour.usage = { promptTokens: 30, completionTokens: 12 };
    await (await post({ model: MODEL, input: 'Hello' }, '/v1/responses')).text();
    await (await post({ model: MODEL, input: 'Hello', stream: true }, '/v1/responses')).text();
    expect(await left()).toEqual({ tph: 1_000 - 2 * 42 });
  });

  it('keeps the estimate of an answer that tells no usage', async () => {
    const silent: typeof fetch = async () => Response.json({ id: 'chatcmpl-1', choices: [] });
    const { post, left } = await limited([tph(1_000)], { upstream: silent });
    await (await post(asking('Hello?!!', { max_tokens: 98 }))).text();
    expect(await left()).toEqual({ tph: 900 });
  });

  it('does not add up the numbers of Anthropic, which are sums already', async () => {
    const events = [
      { type: 'message_start', message: { usage: { input_tokens: 25, cache_read_input_tokens: 5, output_tokens: 1 } } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } },
      { type: 'message_delta', delta: {}, usage: { output_tokens: 10 } },
      { type: 'message_delta', delta: {}, usage: { output_tokens: 15 } },
    ].map((data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`);
    const streaming: typeof fetch = async () =>
      new Response(events.join(''), { headers: { 'content-type': 'text/event-stream' } });
    const { post, left } = await limited([tph(1_000)], { upstream: streaming }, 'claude');
    await (
      await post({ model: 'claude', max_tokens: 50, stream: true, messages: [{ role: 'user', content: 'Hi' }] }, '/v1/messages')
    ).text();
    expect(await left()).toEqual({ tph: 1_000 - 30 - 15 });
  });

  it('gives the tokens of a failed call back, and leaves its request counted', async () => {
    const { post, left } = await limited([tph(1_000), Limit.perHour('rph', 10)]);
    upstream.behaviour.failWith = 500;
    expect((await post(asking('Hello'))).status).toBe(500);
    expect(await left()).toEqual({ tph: 1_000, rph: 9 });
  });

  it('gives the tokens back when nobody answers', async () => {
    const refusing: typeof fetch = () => Promise.reject(new TypeError('fetch failed'));
    const { post, left } = await limited([tph(1_000), Limit.perHour('rph', 10)], { upstream: refusing });
    await expect(post(asking('Hello'))).rejects.toThrow('fetch failed');
    expect(await left()).toEqual({ tph: 1_000, rph: 9 });
  });

  it('of a request limit and one of a token limit do not disturb each other', async () => {
    const { post, left } = await limited([Limit.perMinute('rpm', 2), tph(1_000)]);
    upstream.behaviour.usage = { promptTokens: 400, completionTokens: 100 };
    await (await post(asking('One'))).text();
    bed.clock.advance(60_000);
    await (await post(asking('Two'))).text();
    // A minute gives both requests back, and a sixtieth of the tokens.
    expect(await left()).toEqual({ rpm: 1, tph: 16 });
  });
});

describe('a stream that its caller leaves half-way', () => {
  const inflight = Limit.concurrent('inflight', 1, { leaseMs: 600_000 });

  it('frees its slot, and keeps the estimate where the provider had told nothing', async () => {
    const { post, left } = await limited([tph(1_000), inflight]);
    upstream.behaviour.delayMs = 5;
    const abort = new AbortController();
    const answer = await post(asking('Hello?!!', { stream: true, max_tokens: 98 }), undefined, { signal: abort.signal });
    await answer.body!.getReader().read();
    expect(await left()).toEqual({ tph: 900, inflight: 0 });
    abort.abort();
    await expect.poll(left).toEqual({ tph: 900, inflight: 1 });
    await expect.poll(() => upstream.abandonedStreams).toBe(1);
  });

  it('is settled by what was produced, as far as the provider told', async () => {
    const { post, left } = await limited([tph(1_000), inflight], {}, 'claude');
    upstream.behaviour.delayMs = 5;
    upstream.behaviour.usage = { promptTokens: 40, completionTokens: 90 };
    const answer = await post(
      { model: 'claude', max_tokens: 500, stream: true, messages: [{ role: 'user', content: 'Hello' }] },
      '/v1/messages',
    );
    const reader = answer.body!.getReader();
    let text = '';
    while (!text.includes('key')) text += new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    // 40 of input, and of output what came of `The key was`.
    const { tph: tokens, inflight: slots } = await left();
    expect([slots, 960 - (tokens ?? 0) >= 2, 960 - (tokens ?? 0) <= 4]).toEqual([1, true, true]);
  });

  it.each([
    { how: 'cancels the body', leave: (reader: ReadableStreamDefaultReader) => reader.cancel() },
    { how: 'aborts its signal', leave: async (_: ReadableStreamDefaultReader, abort: AbortController) => abort.abort() },
  ])('and $how, is read on where that is asked for, and settled by its real usage', async ({ leave }) => {
    const { post, left } = await limited([tph(1_000), inflight], { whenClientLeaves: 'readOn' });
    let goOn: (goesOn: boolean) => void = () => {};
    const hasLeft = new Promise<boolean>((resolve) => {
      goOn = resolve;
    });
    upstream.behaviour.usage = { promptTokens: 40, completionTokens: 90 };
    upstream.behaviour.beforeChunk = async ({ index }) => index < 3 || hasLeft;
    const abort = new AbortController();
    const answer = await post(asking('Hello?!!', { stream: true, max_tokens: 98 }), undefined, { signal: abort.signal });
    const reader = answer.body!.getReader();
    await reader.read();
    await leave(reader, abort);
    expect(await left()).toEqual({ tph: 900, inflight: 0 });
    goOn(true);
    await expect.poll(left).toEqual({ tph: 1_000 - 130, inflight: 1 });
    expect(upstream.abandonedStreams).toBe(0);
  });

  it('before its first byte is told so at once, and the answer is read on where that is asked for', async () => {
    let goOn: () => void = () => {};
    const hasLeft = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const thinking: typeof fetch = async (...call) => {
      await hasLeft;
      return fetch(...call);
    };
    const { post, left } = await limited([tph(1_000), inflight], { whenClientLeaves: 'readOn', upstream: thinking });
    upstream.behaviour.usage = { promptTokens: 40, completionTokens: 90 };
    const abort = new AbortController();
    const answering = post(asking('Hello?!!', { max_tokens: 98 }), undefined, { signal: abort.signal });
    await expect.poll(left).toEqual({ tph: 900, inflight: 0 });
    abort.abort(new Error('the reader went home'));
    await expect(answering).rejects.toThrow('the reader went home');
    expect(await left()).toEqual({ tph: 900, inflight: 0 });
    goOn();
    await expect.poll(left).toEqual({ tph: 1_000 - 130, inflight: 1 });
  });
});

describe('a call that is made again', () => {
  it('by its client after a failure is one request', async () => {
    const { send, left } = await limited([Limit.perHour('rph', 10), tph(1_000)]);
    Object.assign(upstream.behaviour, { failWith: 503, failTimes: 2, failHeaders: { 'retry-after-ms': '1' } });
    const client = new OpenAI({ baseURL: `${upstream.url}/v1`, apiKey: 'k', fetch: send, maxRetries: 2 });
    const { usage } = await client.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content: 'Hello' }] });
    expect(await left()).toEqual({ rph: 9, tph: 1_000 - (usage?.total_tokens ?? 0) });
  });

  it('by its client after no answer at all is one request', async () => {
    let tries = 0;
    const flaky: typeof fetch = (...call) => {
      tries += 1;
      return tries <= 2 ? Promise.reject(new TypeError('fetch failed')) : fetch(...call);
    };
    const { send, left } = await limited([Limit.perHour('rph', 10), tph(1_000)], { upstream: flaky });
    const client = new OpenAI({ baseURL: `${upstream.url}/v1`, apiKey: 'k', fetch: send, maxRetries: 2 });
    const { usage } = await client.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content: 'Hello' }] });
    expect(tries).toBe(3);
    expect(await left()).toEqual({ rph: 9, tph: 1_000 - (usage?.total_tokens ?? 0) });
  });

  it('by retries waits as long as the provider asks, and is charged once', async () => {
    const { post, left } = await limited([Limit.perHour('rph', 10), tph(1_000)], { retries: 2 });
    Object.assign(upstream.behaviour, { failWith: 429, failTimes: 1, failHeaders: { 'retry-after': '20' } });
    const startedMs = Number(bed.clock.nowNs() / 1_000_000n);
    let answer: Response | undefined;
    const pending = post(asking('Hello?!!')).then((response) => {
      answer = response;
    });
    await expect.poll(() => upstream.behaviour.failTimes).toBe(0);
    await expect
      .poll(
        () => {
          if (answer === undefined) bed.clock.advance(1_000);
          return answer?.status;
        },
        { timeout: 20_000 },
      )
      .toBe(200);
    await pending;
    expect(Number(bed.clock.nowNs() / 1_000_000n) - startedMs).toBeGreaterThanOrEqual(20_000);
    await answer?.text();
    expect((await left()).rph).toBe(9);
  });

  it('to another model when its own is limited, in the order given, and once', async () => {
    const { post, left } = await limited([Limit.perHour('rph', 1)], { models: [MODEL, 'gpt-4.1-nano'] });
    await bed.admin().setLimits({ entity: 'key-123', resource: 'gpt-4.1-nano' }, [Limit.perHour('rph', 5)]);
    const models = [];
    for (let call = 0; call < 2; call += 1)
      models.push(((await (await post(asking('Hello'))).json()) as { model: string }).model);
    expect(models).toEqual([MODEL, 'gpt-4.1-nano']);
    expect([await left(), await left('gpt-4.1-nano')]).toEqual([{ rph: 0 }, { rph: 4 }]);
  });

  it('to another model when the provider has none of its own left, and is charged there alone', async () => {
    const { post, left } = await limited([Limit.perHour('rph', 5)], { models: [MODEL, 'gpt-4.1-nano'] });
    await bed.admin().setLimits({ entity: 'key-123', resource: 'gpt-4.1-nano' }, [Limit.perHour('rph', 5)]);
    Object.assign(upstream.behaviour, { failWith: 429, failTimes: 1 });
    await (await post(asking('Hello'))).text();
    expect([await left(), await left('gpt-4.1-nano')]).toEqual([{ rph: 5 }, { rph: 4 }]);
  });

  it('nowhere when every model is limited: the first denial is told', async () => {
    const { post } = await limited([Limit.perHour('rph', 1)], { models: [MODEL, 'gpt-4.1-nano'] });
    await bed.admin().setLimits({ entity: 'key-123', resource: 'gpt-4.1-nano' }, [Limit.perMinute('rpm', 1)]);
    for (let call = 0; call < 2; call += 1) await (await post(asking('Hello'))).text();
    const denied = await post(asking('Hello'));
    expect([denied.status, denied.headers.get('retry-after')]).toEqual([429, '3600']);
  });
});

describe('what passes through', () => {
  it('is byte for byte what the provider sent, in its order', async () => {
    const { post } = await limited([tph(100_000)]);
    const body = asking('Hello', { stream: true, stream_options: { include_usage: true } });
    const direct = await fetch(`${upstream.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body) });
    const [through, plain] = [await (await post(body)).text(), await direct.text()];
    expect(through).toBe(plain.replaceAll('chatcmpl-local-1', 'chatcmpl-local-2'));
  });

  it('is not limited when it costs no tokens', async () => {
    const { send } = await limited([tph(1)]);
    expect((await send(`${upstream.url}/v1/models`)).status).toBe(200);
  });

  it('has no usage chunk that the caller did not ask for', async () => {
    const { post, left } = await limited([tph(1_000)]);
    upstream.behaviour.usage = { promptTokens: 5, completionTokens: 5 };
    const text = await (await post(asking('Hello', { stream: true }))).text();
    expect(text).not.toContain('prompt_tokens');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(await left()).toEqual({ tph: 990 });
  });

  it('keeps the length of a body that bytes were added to true', async () => {
    const { send } = await limited([tph(1_000)]);
    const body = utf8.encode(JSON.stringify(asking('Grüße', { stream: true })));
    const request = new Request(`${upstream.url}/v1/chat/completions`, {
      method: 'POST',
      body,
      headers: { 'content-length': String(body.length), authorization: 'Bearer k' },
    });
    expect((await send(request)).status).toBe(200);
  });
});
