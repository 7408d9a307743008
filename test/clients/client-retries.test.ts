import { Anthropic } from '@anthropic-ai/sdk';
import { OpenAI } from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { memory, type TestBed } from '../support/stores.js';

const MODEL = 'gpt-4o-mini';
const messages = [{ role: 'user' as const, content: 'Hello' }];

let upstream: SimulatedUpstream;
let bed: TestBed;
let send: typeof fetch;
const requestsLeft = async () => (await bed.limiter().available({ entity: 'key-123', resource: MODEL })).rph;

beforeEach(async () => {
  upstream = await startUpstream();
  bed = await memory.fresh();
  await bed.admin().setLimits({ system: true }, [Limit.perHour('rph', 100)]);
  send = limitedFetch({ limiter: bed.limiter(), entity: 'key-123', clock: bed.clock });
});

afterEach(() => upstream.stop());

const openai = (maxRetries: number): (() => Promise<unknown>) => {
  const client = new OpenAI({ baseURL: `${upstream.url}/v1`, apiKey: 'k', fetch: send, maxRetries });
  return () => client.chat.completions.create({ model: MODEL, messages });
};
const anthropic = (maxRetries: number): (() => Promise<unknown>) => {
  const client = new Anthropic({ baseURL: upstream.url, apiKey: 'k', fetch: send, maxRetries });
  return () => client.messages.create({ model: MODEL, max_tokens: 10, messages });
};
/** A client that does not say which try a call is. */
const plain = () => () =>
  send(`${upstream.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: MODEL, messages }) }).then(
    async (answer) => {
      await answer.text();
      if (!answer.ok) throw new Error(String(answer.status));
    },
  );

describe('the requests of calls that are all the same', () => {
  it.each([
    { client: 'OpenAI', of: openai },
    { client: 'Anthropic', of: anthropic },
  ])('are as many as there were calls, when each is made again once by the client of $client', async ({ of }) => {
    Object.assign(upstream.behaviour, { failWith: 503, failTimes: 5, failHeaders: { 'retry-after-ms': '1' } });
    const call = of(4);
    await Promise.all(Array.from({ length: 5 }, () => call()));
    expect([upstream.behaviour.failTimes, await requestsLeft()]).toEqual([0, 95]);
  });

  it('are as many as there were calls, when each is made again by a client that does not say so', async () => {
    Object.assign(upstream.behaviour, { failWith: 503, failTimes: 5 });
    const call = plain();
    const failed = await Promise.allSettled(Array.from({ length: 5 }, () => call()));
    expect(failed.map(({ status }) => status)).toEqual(Array(5).fill('rejected'));
    expect(await requestsLeft()).toBe(95);
    await Promise.all(Array.from({ length: 5 }, () => call()));
    expect(await requestsLeft()).toBe(95);
    await call();
    expect(await requestsLeft()).toBe(94);
  });

  it.each([
    { client: 'OpenAI', of: openai, status: 500 },
    { client: 'Anthropic', of: anthropic, status: 529 },
    { client: 'a client that does not say which try it is', of: plain, status: 400 },
    { client: 'a client that does not say which try it is', of: plain, status: 401 },
  ])('are counted one by one where $client makes new calls after $status', async ({ of, status }) => {
    Object.assign(upstream.behaviour, { failWith: status, failTimes: 3 });
    const call = of(0);
    for (let made = 1; made <= 3; made += 1) {
      await expect(call()).rejects.toThrow(String(status));
      expect(await requestsLeft()).toBe(100 - made);
    }
  });

  it('stays counted once when its other try was refused in between', async () => {
    await bed.admin().setLimits({ system: true }, [Limit.perHour('rph', 100), Limit.perHour('tph', 300)]);
    Object.assign(upstream.behaviour, { failWith: 503, failTimes: 1 });
    const call = plain();
    await expect(call()).rejects.toThrow('503');
    const held = await bed.limiter().acquire({ entity: 'key-123', resource: MODEL, consume: { tph: 200 } });
    await expect(call()).rejects.toThrow('429');
    await held.release();
    bed.clock.advance(250);
    await call();
    expect(await requestsLeft()).toBe(99);
  });
});
