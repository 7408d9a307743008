import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ApiGateway, serveApi } from '../../local/api-gateway.js';
import { type Handler, installLambdaRuntime } from '../../local/lambda-runtime.js';

installLambdaRuntime();
const { awslambda } = globalThis as unknown as {
  awslambda: {
    streamifyResponse(handler: (event: unknown, stream: Writable, context: unknown) => Promise<void>): Handler;
    HttpResponseStream: { from(stream: Writable, metadata: object): Writable };
  };
};

let served: ApiGateway | undefined;

afterEach(async () => {
  await served?.stop();
  served = undefined;
  vi.restoreAllMocks();
});

/** Serves a streaming function behind an authorizer that allows everything; the URL that invokes it. */
async function streaming(write: (raw: Writable) => Promise<void>): Promise<string> {
  const Statement = [{ Action: 'execute-api:Invoke', Effect: 'Allow', Resource: '*' }];
  const authorizer = async () => ({ principalId: 'x', policyDocument: { Version: '2012-10-17', Statement } });
  const api = async () => ({ statusCode: 200, body: '' });
  served = await serveApi({ authorizer, api, gateway: awslambda.streamifyResponse((_event, raw) => write(raw)) }, 0);
  return `${served.url}/llm/openai/v1/x`;
}

const begun = (raw: Writable, metadata: object = { statusCode: 200, headers: {} }) =>
  awslambda.HttpResponseStream.from(raw, metadata);

/** Something the test lets happen, and can wait for. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const silenced = () => vi.spyOn(console, 'error').mockImplementation(() => {});
const text = async (reader: ReadableStreamDefaultReader<Uint8Array>) => Buffer.from((await reader.read()).value ?? []).toString();

describe('a streamed answer', () => {
  it('passes each chunk on before the next one is written', async () => {
    const [first, second, last] = [gate(), gate(), gate()];
    const url = await streaming(async (raw) => {
      const stream = begun(raw, { statusCode: 202, headers: { 'X-Kind': 'stream' } });
      await first.opened;
      stream.write('one');
      await second.opened;
      stream.write('two');
      await last.opened;
      stream.end();
    });
    const answer = fetch(url);
    first.open();
    const response = await answer;
    expect(response.status).toBe(202);
    expect(response.headers.get('x-kind')).toBe('stream');
    const reader = response.body!.getReader();
    expect(await text(reader)).toBe('one');
    second.open();
    expect(await text(reader)).toBe('two');
    last.open();
    expect((await reader.read()).done).toBe(true);
  });

  it('has its head passed on with the first write, though that is an empty one', async () => {
    const rest = gate();
    const url = await streaming(async (raw) => {
      const stream = begun(raw, { statusCode: 203, headers: {} });
      stream.write('');
      await rest.opened;
      stream.end('rest');
    });
    const response = await fetch(url);
    expect(response.status).toBe(203);
    rest.open();
    expect(await response.text()).toBe('rest');
  });

  it('keeps bytes as they are, zeros included, and every value of a header', async () => {
    const bytes = Buffer.concat([Buffer.alloc(16), Buffer.of(0xff, 0xfe, 0x0a, 0x00)]);
    const url = await streaming(async (raw) => {
      const stream = begun(raw, { statusCode: 200, multiValueHeaders: { 'X-List': ['a', 'b'] } });
      for (const byte of bytes) stream.write(Uint8Array.of(byte));
      stream.end();
    });
    const response = await fetch(url);
    expect(response.headers.get('x-list')).toBe('a, b');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes);
  });

  it('arrives whole at a slow reader, who holds the function back, and piles up no listeners', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on('warning', warned);
    let waits = 0;
    const url = await streaming(async (raw) => {
      const stream = begun(raw);
      for (let index = 0; index < 400; index += 1) {
        if (stream.write(Buffer.alloc(65_536))) continue;
        waits += 1;
        await once(stream, 'drain');
      }
      stream.end();
    });
    let size = 0;
    for await (const bytes of (await fetch(url)).body!) {
      size += bytes.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    process.off('warning', warned);
    expect(size).toBe(400 * 65_536);
    expect(waits).toBeGreaterThan(100);
    expect(warnings).toEqual([]);
  });

  it('goes on when its client has left: the function writes to the end, and is waited for', async () => {
    const logged = silenced();
    const gone = gate();
    let finished = false;
    const url = await streaming(async (raw) => {
      const stream = begun(raw);
      stream.write('first');
      await gone.opened;
      // More than any buffer on the way holds: nobody would take it.
      for (let index = 0; index < 800; index += 1) if (!stream.write(Buffer.alloc(65_536))) await once(stream, 'drain');
      await new Promise<void>((resolve) => {
        stream.end(resolve);
      });
      finished = true;
    });
    const leaving = new AbortController();
    const response = await fetch(url, { signal: leaving.signal });
    await response.body!.getReader().read();
    leaving.abort();
    gone.open();
    await served?.stop();
    expect(finished).toBe(true);
    expect(logged).not.toHaveBeenCalled();
  });

  it('ends for the client with the stream, while the function still works; stopping waits for it', async () => {
    const settled = gate();
    let finished = false;
    const url = await streaming(async (raw) => {
      const stream = begun(raw);
      stream.write('all');
      stream.end();
      await settled.opened;
      finished = true;
    });
    expect(await (await fetch(url)).text()).toBe('all');
    expect(finished).toBe(false);
    const stopping = served!.stop();
    settled.open();
    await stopping;
    expect(finished).toBe(true);
  });
});

describe('a streaming function that fails', () => {
  it.each([
    {
      when: 'it ends its answer without a write: Lambda sends the metadata with the first one',
      write: async (raw: Writable) => void begun(raw).end(),
      message: 'A function ended its answer without metadata: they go out with the first write',
    },
    {
      when: 'it writes without metadata',
      write: async (raw: Writable) => void raw.end('plain'),
      message: 'A function wrote application/octet-stream, not the answer that HttpResponseStream.from begins',
    },
    {
      when: 'it returns without an end',
      write: async () => {},
      message: 'A function returned before it ended its answer',
    },
    {
      when: 'it throws before it has written',
      write: async () => {
        throw new Error('a bug');
      },
      message: 'a bug',
    },
  ])('is a 500 when $when', async ({ write, message }) => {
    const logged = silenced();
    const response = await fetch(await streaming(write));
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ code: 'InternalError' });
    expect(logged).toHaveBeenCalledWith(expect.objectContaining({ message }));
  });

  it('breaks the connection when it throws in the middle, so that no client takes the answer for whole', async () => {
    const logged = silenced();
    const read = gate();
    const url = await streaming(async (raw) => {
      begun(raw).write('half');
      await read.opened;
      throw new Error('a bug');
    });
    const reader = (await fetch(url)).body!.getReader();
    expect(await text(reader)).toBe('half');
    read.open();
    await expect(reader.read()).rejects.toThrow('terminated');
    expect(logged).toHaveBeenCalledWith(expect.objectContaining({ message: 'a bug' }));
  });
});
