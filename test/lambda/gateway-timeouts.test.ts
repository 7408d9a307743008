import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CHAT, chatEvent, DeployedGateway, type Form, forms, jsonOf, textOf } from './deployed-gateway.js';

let gateway: DeployedGateway;

afterEach(async () => {
  vi.restoreAllMocks();
  await gateway.stop();
});

/** In front of a provider that is waited for so long. */
async function start(form: Form, settings: object): Promise<void> {
  gateway = await DeployedGateway.start(form, (baseUrl) => ({ upstreams: { openai: { baseUrl, ...settings } } }));
}

/** Of an entity with 5 requests and 1,000 tokens on the model, after a call of which the tokens were given back. */
const REQUEST_COUNTED = { model: { rpm: 4, tpm: 1_000 }, provider: { rpm: 8 } };
const FIRST = 'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n';

describe.each(forms)('the gateway, %s', (form) => {
  it('answers 504 in the provider’s shape, with the limits, when an answer does not begin in time, and charges no tokens', async () => {
    await start(form, { timeoutMs: 60 });
    const entity = await gateway.limited();
    gateway.upstream.answer = () => {};

    const answer = await gateway.call({ entity });

    expect([answer.status, jsonOf(answer).error.code]).toEqual([504, 'UpstreamTimeout']);
    expect(answer.headers.get('x-ratelimit-remaining-requests')).toBe('4');
    expect(answer.headers.get('ratelimit')).toMatch(/"rpm";r=4;.*"tpm";r=900;/);
    expect(await gateway.left(entity)).toEqual(REQUEST_COUNTED);
  });

  it('breaks an answer that falls silent, cancels the provider, and settles by what it told', async () => {
    await start(form, { idleTimeoutMs: 60 });
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const entity = await gateway.limited();
    const usage = '"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}';
    const closed = new Promise((resolve) => {
      gateway.upstream.answer = (response) => {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.write(`data: {"choices":[{"delta":{}}],${usage}}\n\n`);
        response.on('close', resolve);
      };
    });

    const body = JSON.stringify({ ...CHAT, stream: true, stream_options: { include_usage: true } });
    await expect(gateway.call({ entity, body })).rejects.toThrow(/Nothing came for 60 ms/);

    await closed;
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 995 }, provider: { rpm: 8 } });
  });

  it('waits for an answer that goes on, however long it takes in all', async () => {
    await start(form, { timeoutMs: 10_000, idleTimeoutMs: 10_000 });
    const entity = await gateway.limited();
    gateway.upstream.answer = async (response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      for (let chunk = 0; chunk < 5; chunk += 1) response.write(FIRST);
      response.end('data: [DONE]\n\n');
    };
    const answer = await gateway.call({ entity, body: JSON.stringify({ ...CHAT, stream: true }) });
    expect(textOf(answer)).toBe(`${FIRST.repeat(5)}data: [DONE]\n\n`);
  });

  it('ends a call before Lambda ends the function, with 504, and settles it', async () => {
    await start(form, {});
    const entity = await gateway.limited();
    gateway.upstream.answer = () => {};

    // Five seconds are kept to settle in.
    const answer = await gateway.invoke(chatEvent({ authorizer: await gateway.admitted(entity) }), 5_060);

    expect([answer.status, jsonOf(answer).error.code]).toEqual([504, 'UpstreamTimeout']);
    expect(await gateway.left(entity)).toEqual(REQUEST_COUNTED);
  });

  it('breaks an answer that outlasts the function, and settles it by the estimate when nothing was told', async () => {
    await start(form, {});
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const entity = await gateway.limited();
    gateway.upstream.answer = (response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(FIRST);
    };
    const event = chatEvent({ authorizer: await gateway.admitted(entity), body: JSON.stringify({ ...CHAT, stream: true }) });
    await expect(gateway.invoke(event, 5_100)).rejects.toThrow();
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 900 }, provider: { rpm: 8 } });
  });
});

describe('a client that leaves before the first byte', () => {
  it('cancels the call at the provider, which costs no tokens then', async () => {
    await start('streaming', {});
    const entity = await gateway.limited();
    const asked = new Promise<ServerResponse>((resolve) => {
      gateway.upstream.answer = resolve;
    });
    const call = gateway.underWay(chatEvent({ authorizer: await gateway.admitted(entity) }));
    const closed = once(await asked, 'close');

    call.leave();

    await closed;
    await call.returned;
    expect(await gateway.left(entity)).toEqual(REQUEST_COUNTED);
  });

  it('leaves the provider to finish where that is asked for, and is settled by the real usage', async () => {
    await start('streaming', { whenClientLeaves: 'readOn' });
    const entity = await gateway.limited();
    const whole = gateway.upstream.answer;
    const asked = new Promise<() => void>((resolve) => {
      gateway.upstream.answer = (response, arrived) => resolve(() => void whole(response, arrived));
    });
    const call = gateway.underWay(chatEvent({ authorizer: await gateway.admitted(entity) }));
    const answer = await asked;

    call.leave();
    answer();

    await call.returned;
    // Of 100 by estimate 33 were used.
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 967 }, provider: { rpm: 8 } });
  });
});

describe('the times of an upstream', () => {
  it.each([{ timeoutMs: 0 }, { timeoutMs: 890_001 }, { idleTimeoutMs: -1 }, { idleTimeoutMs: 'long' }])(
    'refuse %o',
    async (settings) => {
      await start('buffered', settings);
      vi.spyOn(console, 'error').mockImplementation(() => {});
      const answer = await gateway.call({ entity: await gateway.limited() });
      expect([answer.status, jsonOf(answer).detail]).toEqual([500, expect.stringContaining('times of 1 to 890000 milliseconds')]);
    },
  );
});
