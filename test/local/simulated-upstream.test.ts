import { fc } from '@fast-check/vitest';
import { OpenAI } from 'openai';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';

let upstream: SimulatedUpstream;

beforeEach(async () => {
  upstream = await startUpstream();
});

afterEach(async () => {
  await upstream.stop();
});

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

interface Completion {
  readonly id: string;
  readonly model: string;
  readonly choices: readonly {
    readonly message: { readonly role: string; readonly content: string };
    readonly finish_reason: string;
  }[];
  readonly usage: Usage;
}

interface Chunk {
  readonly object: string;
  readonly choices: readonly { readonly delta: { role?: string; content?: string }; readonly finish_reason: string | null }[];
  readonly usage?: Usage | null;
}

function post(body: unknown, init: RequestInit = {}): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(`${upstream.url}/v1/chat/completions`, { method: 'POST', body: text, ...init });
}

const asking = (content: string, more: object = {}) => ({ model: 'gpt-4o-mini', messages: [{ role: 'user', content }], ...more });

async function complete(content: string, more: object = {}): Promise<Completion> {
  return (await (await post(asking(content, more))).json()) as Completion;
}

/** The data of every event of a streamed answer. */
async function events(content: string, more: object = {}): Promise<string[]> {
  const response = await post(asking(content, { stream: true, ...more }));
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const parts = (await response.text()).split('\n\n');
  expect(parts.pop()).toBe('');
  return parts.map((part) => part.replace(/^data: /, ''));
}

const chunksOf = (data: readonly string[]): Chunk[] => data.slice(0, -1).map((text) => JSON.parse(text) as Chunk);

describe('an answer in one piece', () => {
  it('holds one message of the assistant and the usage that the prompt amounts to', async () => {
    expect(await complete('Hello')).toMatchObject({
      object: 'chat.completion',
      model: 'gpt-4o-mini',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'The key was cut for one and the man let' },
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 10, total_tokens: 15 },
    });
  });

  it('says the same for the same prompt, under another id', async () => {
    const [first, second] = [await complete('What is a token bucket?'), await complete('What is a token bucket?')];
    expect(second.choices).toEqual(first.choices);
    expect(second.usage).toEqual(first.usage);
    expect(second.id).not.toBe(first.id);
  });

  it.each([
    { when: 'max_tokens is smaller', more: { max_tokens: 3 }, completion: 3 },
    { when: 'max_completion_tokens is smaller', more: { max_completion_tokens: 2 }, completion: 2 },
    { when: 'both are given: the smaller counts', more: { max_tokens: 4, max_completion_tokens: 6 }, completion: 4 },
    { when: 'both are null: as if they were absent', more: { max_tokens: null, max_completion_tokens: null }, completion: 10 },
    { when: 'max_tokens is larger than the answer', more: { max_tokens: 4_096 }, completion: 10 },
  ])('has $completion tokens when $when', async ({ more, completion }) => {
    expect((await complete('Hello', more)).usage.completion_tokens).toBe(completion);
  });

  it('takes at most 300 tokens and no more of them for the answer than were asked for, whatever the prompt', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ maxLength: 4_000 }), fc.integer({ min: 1, max: 200 }), async (content, most) => {
        const { usage } = await complete(content, { max_tokens: most });
        expect(usage.completion_tokens).toBeLessThanOrEqual(most);
        expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
        expect(usage.total_tokens).toBeLessThanOrEqual(300);
      }),
      { numRuns: 50 },
    );
  });

  it('counts 200 tokens for a prompt of a million characters', async () => {
    expect((await complete('x'.repeat(1_000_000))).usage.prompt_tokens).toBe(200);
  });
});

describe('a streamed answer', () => {
  it('says the role, then the words, then the end, and no usage unless it was asked for', async () => {
    const data = await events('Hello');
    expect(data.at(-1)).toBe('[DONE]');
    const chunks = chunksOf(data);
    expect(chunks.every(({ object }) => object === 'chat.completion.chunk')).toBe(true);
    expect(chunks.at(0)?.choices).toMatchObject([{ delta: { role: 'assistant', content: '' }, finish_reason: null }]);
    expect(chunks.at(-1)?.choices).toMatchObject([{ delta: {}, finish_reason: 'stop' }]);
    expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
  });

  it('says the usage in a last chunk without choices when it was asked for, and null before', async () => {
    const chunks = chunksOf(await events('Hello', { stream_options: { include_usage: true } }));
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 5, completion_tokens: 10, total_tokens: 15 },
    });
    expect(chunks.slice(0, -1).every(({ usage, choices }) => usage === null && choices.length === 1)).toBe(true);
  });

  it('holds the words of the answer in one piece', async () => {
    const chunks = chunksOf(await events('Tell me more', { max_tokens: 7 }));
    const whole = await complete('Tell me more', { max_tokens: 7 });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(whole.choices[0]?.message.content);
  });

  it('ends with its client: no chunk is made after that, and no token', async () => {
    upstream.behaviour.delayMs = 5;
    const leaving = new AbortController();
    const response = await post(asking('Leave early', { stream: true }), { signal: leaving.signal });
    await response.body?.getReader().read();
    expect(upstream.abandonedStreams).toBe(0);
    leaving.abort();
    await vi.waitFor(() => expect(upstream.abandonedStreams).toBe(1));
    // 11 characters: 3 + 3 tokens of prompt, and of the answer's 5 + 11 not all.
    const produced = upstream.producedTokens;
    expect(produced).toBeGreaterThanOrEqual(6);
    expect(produced).toBeLessThan(22);
  });

  it('counts no stream as abandoned that was read to its end', async () => {
    await events('Hello');
    expect(upstream.abandonedStreams).toBe(0);
  });

  it('breaks off after as many chunks as it was told', async () => {
    upstream.behaviour.breakAfterChunks = 2;
    // A pause between the chunks: what is written together with the break may be lost with it.
    upstream.behaviour.delayMs = 20;
    const response = await post(asking('Hello', { stream: true }));
    let text = '';
    const reading = async () => {
      for await (const bytes of response.body ?? []) text += Buffer.from(bytes).toString();
    };
    await expect(reading()).rejects.toThrow('terminated');
    expect(text.match(/^data: /gm)).toHaveLength(2);
  });
});

describe('the count of produced tokens', () => {
  it('is the sum of the usage of all answers, streamed ones included, and of no error', async () => {
    expect(upstream.producedTokens).toBe(0);
    const { usage } = await complete('Hello');
    expect(upstream.producedTokens).toBe(usage.total_tokens);
    await events('Hello');
    await post('{');
    expect(upstream.producedTokens).toBe(2 * usage.total_tokens);
  });

  it('follows the usage that a test has set', async () => {
    upstream.behaviour.usage = { promptTokens: 1_000, completionTokens: 4_100 };
    expect((await complete('Hello')).usage).toEqual({ prompt_tokens: 1_000, completion_tokens: 4_100, total_tokens: 5_100 });
    expect(upstream.producedTokens).toBe(5_100);
  });
});

describe('a refusal', () => {
  it.each([
    { when: 'the body is no JSON', body: '{' },
    { when: 'the body is null', body: 'null' },
    { when: 'there is no model', body: { messages: [{ role: 'user', content: 'x' }] } },
    { when: 'there are no messages', body: { model: 'm' } },
    { when: 'the messages are none', body: { model: 'm', messages: [] } },
    { when: 'a message is null', body: { model: 'm', messages: [null] } },
    { when: 'a message has no role', body: { model: 'm', messages: [{ content: 'x' }] } },
    { when: 'max_tokens is text', body: asking('x', { max_tokens: 'abc' }) },
    { when: 'max_tokens is zero', body: asking('x', { max_tokens: 0 }) },
    { when: 'max_completion_tokens is negative', body: asking('x', { max_completion_tokens: -5 }) },
    { when: 'max_completion_tokens is a fraction', body: asking('x', { max_completion_tokens: 1.5 }) },
  ])('is a 400 in the shape of OpenAI when $when, and produces nothing', async ({ body }) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: { message: expect.stringMatching(/^Expected /), type: 'invalid_request_error', param: null, code: null },
    });
    expect(upstream.producedTokens).toBe(0);
  });

  it('is a 401 for an Authorization that is no bearer key; a bearer key and none at all pass', async () => {
    const status = async (headers: Record<string, string>) => (await post(asking('Hello'), { headers })).status;
    expect(await status({ authorization: 'Basic abc' })).toBe(401);
    expect(await status({ authorization: 'Bearer' })).toBe(401);
    expect(await status({ authorization: 'Bearer sk-local' })).toBe(200);
    expect(await status({})).toBe(200);
  });

  it.each([
    { status: 401, type: 'invalid_request_error' },
    { status: 429, type: 'requests' },
    { status: 503, type: 'server_error' },
  ])('is the $status that a test has set', async ({ status, type }) => {
    upstream.behaviour.failWith = status;
    const response = await post(asking('Hello'));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { type } });
  });

  it('is a 404 for a path that it does not know', async () => {
    expect((await fetch(`${upstream.url}/v1/audio/speech`, { method: 'POST', body: '{}' })).status).toBe(404);
    expect((await fetch(`${upstream.url}/v1/chat/completions`)).status).toBe(404);
  });
});

it('lists the model of the demo', async () => {
  expect(await (await fetch(`${upstream.url}/v1/models`)).json()).toMatchObject({
    object: 'list',
    data: [{ id: 'gpt-4o-mini' }],
  });
});

it.each([
  { input: 'Hello', vectors: 1 },
  { input: ['Hello', 'there', 'again'], vectors: 3 },
  { input: [15_339, 11], vectors: 1 },
  { input: [[15_339], [11, 12]], vectors: 2 },
])(
  'embeddings of $input are $vectors vectors to the official client, as it asks for them and as numbers',
  async ({ input, vectors }) => {
    const client = new OpenAI({ baseURL: `${upstream.url}/v1`, apiKey: 'k' });
    const vector = [0.25, -0.5, 0.125];
    for (const asked of [{}, { encoding_format: 'float' as const }]) {
      const { data } = await client.embeddings.create({ model: 'text-embedding-3-small', input, ...asked });
      expect(data.map(({ index, embedding }) => [index, [...embedding]])).toEqual(
        Array.from({ length: vectors }, (_, index) => [index, vector]),
      );
    }
  },
);
