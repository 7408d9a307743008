import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { nowhere, slow } from './cold-start.js';
import { CHAT, chatEvent, DeployedGateway, forms, jsonOf, textOf } from './deployed-gateway.js';
import { USAGE } from './hand-made-upstream.js';

const STREAMED = JSON.stringify({ ...CHAT, stream: true });
const sse = (data: object | string) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const word = (content: string, usage?: null) => sse({ choices: [{ delta: { content } }], ...(usage === null && { usage }) });
const usageChunk = (usage: object = USAGE) => sse({ choices: [], usage });
const DONE = sse('[DONE]');

/** Begins an event stream, and flushes every part that it is given on its own. */
async function stream(response: ServerResponse, parts: readonly string[]): Promise<void> {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
  for (const part of parts) await new Promise<void>((resolve) => response.write(part, () => resolve()));
}

describe.each(forms)('the gateway, its answers %s', (form) => {
  let gateway: DeployedGateway;

  beforeAll(async () => {
    const away = await nowhere();
    gateway = await DeployedGateway.start(form, () => ({ upstreams: { away: { baseUrl: away } } }));
  });

  afterEach(() => {
    gateway.upstream.reset();
    vi.restoreAllMocks();
  });

  afterAll(() => gateway.stop());

  /** An answer in one piece. */
  const answering = (status: number, body: object | string, type = 'application/json') => {
    gateway.upstream.answer = (response) => {
      response.writeHead(status, { 'Content-Type': type });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    };
  };
  const streaming = (...parts: readonly string[]) => {
    gateway.upstream.answer = async (response) => {
      await stream(response, parts);
      response.end();
    };
  };

  describe('settle an answer in one piece', () => {
    it('by its real usage, on the model’s limits and the provider’s, and count the request once', async () => {
      const every = [slow('rpm', 5), slow('tpm', 1_000), slow('itpm', 1_000), slow('otpm', 1_000), slow('tickets', 9)];
      const entity = await gateway.limited({ model: every, provider: [slow('rpm', 9), slow('tpm', 1_000)] });
      const authorizer = await gateway.admitted(entity, { rpm: 1, tpm: 200 });
      const answer = await gateway.invoke(chatEvent({ authorizer }));
      expect([answer.status, jsonOf(answer).usage]).toEqual([200, USAGE]);
      expect(await gateway.left(entity)).toEqual({
        model: { rpm: 4, tpm: 967, itpm: 989, otpm: 978, tickets: 9 },
        provider: { rpm: 8, tpm: 967 },
      });
    });

    it('into debt, when it used more than was estimated', async () => {
      answering(200, { usage: { prompt_tokens: 2, completion_tokens: 1_498, total_tokens: 1_500 } });
      const entity = await gateway.limited();
      expect((await gateway.call({ entity })).status).toBe(200);
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: -500 });
      expect((await gateway.call({ entity })).status).toBe(429);
    });

    it.each([
      { when: 'it has none', body: { id: 'chatcmpl-1' } },
      { when: 'its usage contradicts itself', body: { usage: { ...USAGE, total_tokens: 1 } } },
      { when: 'its usage is null', body: { usage: null } },
      { when: 'it is no JSON', body: 'not { json' },
      { when: 'it is empty', body: '' },
    ])('by the estimate when $when', async ({ body }) => {
      answering(200, body);
      const entity = await gateway.limited();
      const answer = await gateway.call({ entity });
      expect([answer.status, textOf(answer)]).toEqual([200, typeof body === 'string' ? body : JSON.stringify(body)]);
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 900 });
    });

    it.each([400, 401, 404, 429, 500, 503, 302])(
      'with all tokens given back, and the request counted, when its status is %i',
      async (status) => {
        // What a failure says of usage was not asked for.
        answering(status, { error: { message: 'no' }, usage: USAGE });
        const entity = await gateway.limited({ provider: [slow('rpm', 9), slow('tpm', 1_000)] });
        const authorizer = await gateway.admitted(entity, { rpm: 1, tpm: 200 });
        const answer = await gateway.invoke(chatEvent({ authorizer }));
        expect([answer.status, jsonOf(answer).error.message]).toEqual([status, 'no']);
        expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 1_000 }, provider: { rpm: 8, tpm: 1_000 } });
      },
    );

    it('with all tokens given back, and 502, when the provider cannot be reached', async () => {
      const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
      const entity = await gateway.limited();
      const answer = await gateway.call({ entity, pathParameters: { provider: 'away', path: 'v1/chat/completions' } });
      expect(answer.status).toBe(502);
      expect(jsonOf(answer)).toMatchObject({ code: 'UpstreamUnreachable', error: { code: 'UpstreamUnreachable' } });
      expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 1_000 }, provider: { rpm: 8 } });
      expect(logged).toHaveBeenCalled();
    });

    it('by the estimate when the provider breaks off, and the client does not take it for whole', async () => {
      vi.spyOn(console, 'error').mockImplementation(() => {});
      gateway.upstream.answer = async (response) => {
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
        await new Promise<void>((resolve) => response.write('{"usage":', () => resolve()));
        response.destroy();
      };
      const entity = await gateway.limited();
      await expect(gateway.call({ entity })).rejects.toThrow('terminated');
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 900 });
    });
  });

  describe('settle a stream', () => {
    it('by its real usage, which is asked for, and pass on all but the chunk that the client did not ask for', async () => {
      streaming(word('The ', null), word('gate', null), usageChunk(), DONE);
      const entity = await gateway.limited();
      const answer = await gateway.call({ entity, body: STREAMED });
      expect(JSON.parse(gateway.upstream.last.body.toString())).toEqual({
        ...JSON.parse(STREAMED),
        stream_options: { include_usage: true },
      });
      expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      expect(textOf(answer)).toBe(word('The ', null) + word('gate', null) + DONE);
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 967 });
    });

    it('by its real usage, and pass on every byte when the client asked for it', async () => {
      streaming(word('The ', null), word('gate', null), usageChunk(), DONE);
      const entity = await gateway.limited();
      const body = JSON.stringify({ ...JSON.parse(STREAMED), stream_options: { include_usage: true } });
      const answer = await gateway.call({ entity, body });
      expect(gateway.upstream.last.body.toString()).toBe(body);
      expect(textOf(answer)).toBe(word('The ', null) + word('gate', null) + usageChunk() + DONE);
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 967 });
    });

    it.each([
      'v1/chat/%63ompletions',
      'v1/chat/completions/',
      'v1/chat/completions/.',
      'v1/x/../chat/COMPLETIONS',
      'v1/chat%2Fcompletions',
    ])('by its real usage, however the client writes the path: %s', async (path) => {
      streaming(word('gate', null), usageChunk(), DONE);
      const entity = await gateway.limited();
      await gateway.call({ entity, body: STREAMED, pathParameters: { provider: 'openai', path } });
      expect(JSON.parse(gateway.upstream.last.body.toString())).toMatchObject({ stream_options: { include_usage: true } });
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 967 });
    });

    it('by the usage in the last event of the Responses API, whose events all pass', async () => {
      const usage = { input_tokens: 40, output_tokens: 2, total_tokens: 42 };
      const last = sse({ type: 'response.completed', response: { usage } });
      streaming(sse({ type: 'response.created', response: { usage: null } }), last);
      const entity = await gateway.limited();
      const body = JSON.stringify({ model: 'gpt-4', input: 'Hello?!!', max_output_tokens: 98, stream: true });
      const answer = await gateway.call({ entity, body, pathParameters: { provider: 'openai', path: 'v1/responses' } });
      expect(gateway.upstream.last.body.toString()).toBe(body);
      expect(textOf(answer)).toContain(last);
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 958 });
    });

    it('by the estimate when it tells no usage', async () => {
      streaming(word('The '), word('gate'), DONE);
      const entity = await gateway.limited();
      expect(textOf(await gateway.call({ entity, body: STREAMED }))).toBe(word('The ') + word('gate') + DONE);
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 900 });
    });

    it('with all tokens given back when it is one of an error status', async () => {
      gateway.upstream.answer = (response) => {
        response.writeHead(500, { 'Content-Type': 'text/event-stream' });
        response.end(sse({ error: 'overloaded' }) + usageChunk());
      };
      const entity = await gateway.limited();
      expect((await gateway.call({ entity, body: STREAMED })).status).toBe(500);
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm: 1_000 });
    });

    it.each([
      { told: 'the estimate, when it had told none', parts: [word('The ', null)], tpm: 900 },
      { told: 'what it had told', parts: [word('The ', null), usageChunk()], tpm: 967 },
      {
        told: 'what it had told last',
        parts: [usageChunk({ ...USAGE, prompt_tokens: 1, total_tokens: 23 }), usageChunk()],
        tpm: 967,
      },
    ])('that breaks off by $told, and the client does not take it for whole', async ({ parts, tpm }) => {
      vi.spyOn(console, 'error').mockImplementation(() => {});
      gateway.upstream.answer = async (response) => {
        await stream(response, parts);
        response.destroy();
      };
      const entity = await gateway.limited();
      await expect(gateway.call({ entity, body: STREAMED })).rejects.toThrow('terminated');
      expect((await gateway.left(entity)).model).toEqual({ rpm: 4, tpm });
    });
  });

  it('settle the leases of an entity’s parents too', async () => {
    const [parent, child] = [await gateway.limited(), await gateway.limited()];
    await gateway.admin.createEntity({ entity: parent });
    await gateway.admin.createEntity({ entity: child, parent });
    expect((await gateway.call({ entity: child })).status).toBe(200);
    const settled = { model: { rpm: 4, tpm: 967 }, provider: { rpm: 8 } };
    expect([await gateway.left(child), await gateway.left(parent)]).toEqual([settled, settled]);
  });

  it('lose nothing of many calls at the same time', async () => {
    const entity = await gateway.limited({ model: [slow('rpm', 100), slow('tpm', 10_000)], provider: [slow('rpm', 100)] });
    const answers = await Promise.all(Array.from({ length: 20 }, () => gateway.call({ entity })));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 80, tpm: 10_000 - 20 * 33 }, provider: { rpm: 80 } });
  });
});

describe('a client that goes away in the middle of a stream', () => {
  let gateway: DeployedGateway;

  beforeAll(async () => {
    gateway = await DeployedGateway.start('streaming', (url) => ({
      upstreams: { patient: { baseUrl: url, whenClientLeaves: 'readOn' } },
    }));
  });

  afterAll(() => gateway.stop());

  it('ends the call at its provider at once, and keeps the estimate where that had told no usage', async () => {
    const entity = await gateway.limited();
    const closed = new Promise<void>((resolve) => {
      gateway.upstream.answer = async (response) => {
        response.on('close', resolve);
        await stream(response, [word('The ', null)]);
      };
    });
    const event = chatEvent({ authorizer: await gateway.admitted(entity), body: STREAMED });
    const { leave, returned } = await gateway.firstChunk(event);
    leave();
    await Promise.all([closed, returned]);
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 900 }, provider: { rpm: 8 } });
  });

  it('settles by what the provider had told by then', async () => {
    const entity = await gateway.limited();
    const message = { type: 'message_start', message: { usage: { input_tokens: 30, output_tokens: 1 } } };
    const delta = {
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: 'Forty characters, which are ten tokens..' },
    };
    gateway.upstream.answer = (response) =>
      stream(
        response,
        [message, delta].map((data) => `data: ${JSON.stringify(data)}\n\n`),
      );
    const body = JSON.stringify({ ...JSON.parse(STREAMED), max_tokens: 900 });
    const event = chatEvent({
      authorizer: await gateway.admitted(entity),
      body,
      pathParameters: { provider: 'openai', path: 'v1/messages' },
    });
    const { leave, returned } = await gateway.firstChunk(event);
    leave();
    await returned;
    expect(await gateway.left(entity)).toMatchObject({ model: { rpm: 4, tpm: 960 } });
  });

  it('does not keep the call from being read to its end and settled by its real usage where the provider is to finish', async () => {
    const entity = await gateway.limited();
    let left: () => void = () => {};
    const gone = new Promise<void>((resolve) => {
      left = resolve;
    });
    let upstreamEnded = false;
    gateway.upstream.answer = async (response) => {
      await stream(response, [word('The ', null)]);
      await gone;
      for (let index = 0; index < 200; index += 1) response.write(word('x'.repeat(1_000), null));
      response.write(usageChunk());
      response.end(DONE);
      await once(response, 'finish');
      upstreamEnded = true;
    };
    const authorizer = await gateway.admitted(entity);
    const event = chatEvent({ authorizer, body: STREAMED, pathParameters: { provider: 'patient', path: 'v1/chat/completions' } });
    const { leave, returned } = await gateway.firstChunk(event);
    leave();
    left();
    await returned;
    expect(upstreamEnded).toBe(true);
    expect(await gateway.left(entity)).toEqual({ model: { rpm: 4, tpm: 967 }, provider: { rpm: 8 } });
  });
});
