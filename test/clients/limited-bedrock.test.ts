import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  CountTokensCommand,
  InvokeModelWithResponseStreamCommand,
  type ServiceOutputTypes,
} from '@aws-sdk/client-bedrock-runtime';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitedBedrock } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimitExceeded } from '../../lib/index.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { memory, type TestBed } from '../support/stores.js';
import { all, BEDROCK_CALLS, converse, invocation, MODEL } from './bedrock-calls.js';

let upstream: SimulatedUpstream;
let bed: TestBed;

beforeEach(async () => {
  upstream = await startUpstream();
  bed = await memory.fresh();
});

afterEach(() => upstream.stop());

/** A client of the AWS SDK whose calls these limits of the caller on the model let through. */
async function limited(limits: readonly Limit[], maxAttempts = 1) {
  await bed.admin().setLimits({ entity: 'key-123', resource: MODEL }, limits);
  const client = new BedrockRuntimeClient({
    endpoint: upstream.url,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts,
    // By default it speaks HTTP/2, which the simulated provider does not.
    requestHandler: new NodeHttpHandler(),
  });
  client.middlewareStack.use(limitedBedrock({ limiter: bed.limiter({ cacheTtlMs: 0 }), entity: 'key-123' }));
  return { client, left: () => bed.limiter({ cacheTtlMs: 0 }).available({ entity: 'key-123', resource: MODEL }) };
}

const tph = (capacity: number) => Limit.perHour('tph', capacity);
const inflight = Limit.concurrent('inflight', 1, { leaseMs: 600_000 });
const everyLimit = [
  Limit.perHour('rph', 100),
  tph(10_000),
  Limit.perHour('in', 10_000, { counts: 'inputTokens' }),
  Limit.perHour('out', 10_000, { counts: 'outputTokens' }),
  inflight,
];

describe.each(BEDROCK_CALLS)('$name through limitedBedrock', ({ call }) => {
  it('settles what the client was told, to the token', async () => {
    const { client, left } = await limited(everyLimit);

    const first = await call(client, 'How do gates work?');
    const second = await call(client, 'And who opens them in the morning, when nobody is up?');

    const [input, output] = [first[0] + second[0], first[1] + second[1]];
    expect(input).toBeGreaterThan(10);
    expect(await left()).toEqual({
      rph: 98,
      tph: 10_000 - input - output,
      in: 10_000 - input,
      out: 10_000 - output,
      inflight: 1,
    });
  });

  it('rejects with RateLimitExceeded when it is denied, sends nothing, and is not tried again', async () => {
    const { client } = await limited([Limit.perMinute('rpm', 1)], 3);
    await call(client, 'One');

    const denied = await call(client, 'Two').catch((error: unknown) => error);

    expect(denied).toBeInstanceOf(RateLimitExceeded);
    expect((denied as RateLimitExceeded).retryAfterMs).toBe(60_000);
    expect(upstream.answers).toBe(1);
    bed.clock.advance(60_000);
    await call(client, 'Two');
  });

  it('gives the tokens of a failed call back, leaves its request counted, and throws the client’s own error', async () => {
    const { client, left } = await limited(everyLimit);
    upstream.behaviour.failWith = 429;

    await expect(call(client, 'Hello')).rejects.toMatchObject({ name: 'ThrottlingException' });

    expect(await left()).toEqual({ rph: 99, tph: 10_000, in: 10_000, out: 10_000, inflight: 1 });
  });

  it('charges the tries of the SDK’s own retries once', async () => {
    const { client, left } = await limited(everyLimit, 3);
    Object.assign(upstream.behaviour, { failWith: 503, failTimes: 2 });

    const [input, output] = await call(client, 'Hello');

    expect(upstream.behaviour.failTimes).toBe(0);
    expect(await left()).toEqual({
      rph: 99,
      tph: 10_000 - input - output,
      in: 10_000 - input,
      out: 10_000 - output,
      inflight: 1,
    });
  });
});

describe('a stream that its caller leaves half-way', () => {
  it('keeps the estimate where Bedrock had told nothing, and frees its slot', async () => {
    const { client, left } = await limited([tph(1_000), inflight]);
    // 2 of input, 98 of output.
    const { stream } = await client.send(new ConverseStreamCommand(converse('Hello?!!')));
    expect(await left()).toEqual({ tph: 900, inflight: 0 });
    for await (const _ of stream!) break;
    expect(await left()).toEqual({ tph: 900, inflight: 1 });
  });

  it('keeps the estimate and frees its slot when it is left before its first event', async () => {
    const { client, left } = await limited([tph(1_000), inflight]);
    const { stream } = await client.send(new ConverseStreamCommand(converse('Hello?!!')));
    await stream![Symbol.asyncIterator]().return!();
    expect(await left()).toEqual({ tph: 900, inflight: 1 });
    expect(await all(stream!)).toEqual([]);
  });

  it('is aborted by its signal, and keeps the estimate where Bedrock had told nothing', async () => {
    const { client, left } = await limited([tph(1_000), inflight]);
    upstream.behaviour.delayMs = 20;
    const leaving = new AbortController();
    const sent = new ConverseStreamCommand(converse('Hello?!!'));
    const { stream } = await client.send(sent, { abortSignal: leaving.signal });
    const reading = async () => {
      for await (const event of stream!) if (event.contentBlockDelta) leaving.abort();
    };
    await expect(reading()).rejects.toThrow(/abort/);
    expect(await left()).toEqual({ tph: 900, inflight: 1 });
  });

  it('is settled by what an Anthropic model had produced until then', async () => {
    const { client, left } = await limited([tph(1_000), inflight]);
    upstream.behaviour.usage = { promptTokens: 40, completionTokens: 90 };
    const { body } = await client.send(new InvokeModelWithResponseStreamCommand(invocation('Hello?!!')));
    let words = 0;
    for await (const { chunk } of body!) {
      if (Buffer.from(chunk!.bytes!).toString().includes('text_delta')) words += 1;
      if (words === 3) break;
    }
    expect(await left()).toEqual({ tph: 1_000 - 43, inflight: 1 });
  });

  it('fails with the connection’s error, and is settled by what was told', async () => {
    const { client, left } = await limited([tph(1_000), inflight]);
    upstream.behaviour.breakAfterChunks = 4;
    upstream.behaviour.delayMs = 20;
    const { stream } = await client.send(new ConverseStreamCommand(converse('Hello?!!')));
    await expect(all(stream!)).rejects.toThrow();
    expect(await left()).toEqual({ tph: 900, inflight: 1 });
  });
});

describe('limitedBedrock', () => {
  it('charges a token of output as often as the weight of the limit says: Bedrock’s burndown', async () => {
    const { client, left } = await limited([Limit.perHour('tph', 10_000, { weights: { cachedInput: 0, output: 5 } })]);
    upstream.behaviour.usage = { promptTokens: 40, completionTokens: 90 };
    await client.send(new ConverseCommand(converse('Hello?!!')));
    expect(await left()).toEqual({ tph: 10_000 - 40 - 5 * 90 });
  });

  it('keeps the estimate where an answer states no usage', async () => {
    const { client, left } = await limited([tph(1_000), inflight]);
    client.middlewareStack.add(
      (next) => async (args) => {
        const { output, response } = (await next(args)) as { output: ServiceOutputTypes; response: unknown };
        return { response, output: { ...output, usage: undefined } as ServiceOutputTypes };
      },
      { step: 'build' },
    );
    const { usage } = await client.send(new ConverseCommand(converse('Hello?!!')));
    expect(usage).toBeUndefined();
    expect(await left()).toEqual({ tph: 900, inflight: 1 });
  });

  it('passes on what costs no tokens', async () => {
    const { client, left } = await limited([Limit.perHour('rph', 5)]);
    const counting = new CountTokensCommand({ modelId: MODEL, input: { converse: { messages: converse('Hello').messages } } });
    expect((await client.send(counting)).inputTokens).toBeGreaterThan(0);
    expect(await left()).toEqual({ rph: 5 });
  });

  it('refuses an option that it does not know', () => {
    expect(() => limitedBedrock({ limiter: bed.limiter(), entity: 'key-123', retries: 2 } as never)).toThrow(/retries/);
  });
});
