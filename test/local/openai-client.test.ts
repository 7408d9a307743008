import { randomUUID } from 'node:crypto';
import { AuthenticationError, BadRequestError, OpenAI, RateLimitError } from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HeadgateAdmin, Limit } from '../../lib/index.js';
import { DEMO } from '../../local/demo.js';
import { type System, startSystem } from '../../local/system.js';
import { testClient, testEndpoint } from '../support/dynamodb.js';

const tableName = `openai-${randomUUID()}`;
const admin = () => new HeadgateAdmin({ tableName, client: testClient() });
const message = (content: string) => ({ model: DEMO.model, messages: [{ role: 'user' as const, content }], max_tokens: 60 });

let system: System;

beforeAll(async () => {
  system = await startSystem({ port: 0, dynamoEndpoint: testEndpoint(), tableName, namespace: 'default' });
});

afterAll(async () => {
  await system.stop();
});

function openai(apiKey: string): OpenAI {
  return new OpenAI({ baseURL: `${system.url}/llm/${DEMO.provider}/v1`, apiKey, maxRetries: 0 });
}

async function get(path: string): Promise<unknown> {
  return (await fetch(system.url + path)).json();
}

async function caller(entity: string, limits: readonly Limit[], resource: string = DEMO.model): Promise<OpenAI> {
  await admin().setLimits({ entity, resource }, limits);
  const { secret } = await admin().createKey({ entity });
  return openai(secret);
}

/** Tokens the client was told, one call in one piece and one as a stream. */
async function complete(client: OpenAI, content: string): Promise<number> {
  const { usage } = await client.chat.completions.create(message(content));
  return usage?.total_tokens ?? Number.NaN;
}

async function stream(client: OpenAI, content: string): Promise<number> {
  let told = Number.NaN;
  const chunks = await client.chat.completions.create({
    ...message(content),
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of chunks) told = chunk.usage?.total_tokens ?? told;
  return told;
}

async function rejection(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => new Error('the call was answered'),
    (error: unknown) => error,
  );
}

interface Usage {
  readonly rows: readonly {
    readonly resource: string;
    readonly consumed: Readonly<Record<string, number>>;
    readonly requests: number;
  }[];
}

describe('the official OpenAI client behind the gateway', () => {
  it('is answered 20 times in a burst, then denied, then answered again after the stated time, and every token is accounted for', async () => {
    const client = openai(DEMO.key);
    const startedMs = Date.now();
    const told = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 4 === 0 ? stream : complete)(client, `Question ${index}`)),
    );

    const status = (await get(`/v1/status/${DEMO.entity}/${DEMO.model}`)) as { limits: { limit: string; available: number }[] };
    const elapsedMs = Date.now() - startedMs;
    const sum = told.reduce((total, tokens) => total + tokens, 0);
    const left = status.limits.find(({ limit }) => limit === 'tpm')?.available ?? Number.NaN;
    expect(sum).toBeGreaterThan(200);
    expect(left).toBeGreaterThanOrEqual(10_000 - sum);
    expect(left).toBeLessThanOrEqual(Math.min(10_000, 10_000 - sum + Math.ceil((elapsedMs * 10_000) / 60_000)));

    // What refilled during the burst is there to be taken; three seconds refill one request.
    let denial: unknown;
    let answered = 0;
    while (!(denial instanceof RateLimitError) && answered <= 1 + elapsedMs / 3_000) {
      denial = undefined;
      const tokens = await complete(client, 'One more').catch((error: unknown) => {
        denial = error;
        return 0;
      });
      if (denial === undefined) {
        answered += 1;
        told.push(tokens);
      }
    }
    expect(denial).toBeInstanceOf(RateLimitError);
    const { status: code, headers } = denial as RateLimitError;
    expect(code).toBe(429);
    expect(headers?.get('ratelimit')).toMatch(/"rpm";r=0;t=[123]/);
    const waitSeconds = Number(headers?.get('retry-after'));
    expect(waitSeconds).toBeGreaterThanOrEqual(1);
    expect(waitSeconds).toBeLessThanOrEqual(3);

    await new Promise((resolve) => setTimeout(resolve, waitSeconds * 1_000));
    told.push(await complete(client, 'After the stated time'));

    const total = told.reduce((all, tokens) => all + tokens, 0);
    await vi.waitFor(
      async () => {
        const { rows } = (await get(`/v1/usage/${DEMO.entity}`)) as Usage;
        const model = rows.filter(({ resource }) => resource === DEMO.model);
        expect(model.reduce((tokens, { consumed }) => tokens + (consumed.tpm ?? 0), 0)).toBe(total);
        expect(model.reduce((requests, row) => requests + row.requests, 0)).toBe(told.length);
        const provider = rows.filter(({ resource }) => resource === DEMO.provider);
        expect(provider.reduce((requests, { consumed }) => requests + (consumed.rpm ?? 0), 0)).toBe(told.length);
      },
      { timeout: 10_000, interval: 100 },
    );
    expect(system.upstream.producedTokens).toBe(total);
  });

  it('sees an authentication error that says why for a key that does not exist', async () => {
    const error = await rejection(complete(openai('hg_no_such_key'), 'Hello'));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ message: '401 The request carries no valid Headgate key or token.', code: 'Unauthorized' });
  });

  it('is denied when the provider’s own limit is used up, and told where the other limits stand', async () => {
    const entity = `entity-${randomUUID()}`;
    await admin().setLimits({ entity, resource: DEMO.provider }, [Limit.perMinute('rpm', 2)]);
    const client = await caller(entity, [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 100_000)]);
    await complete(client, 'first');
    await complete(client, 'second');
    const denial = await rejection(complete(client, 'third'));
    expect(denial).toBeInstanceOf(RateLimitError);
    const { headers } = denial as RateLimitError;
    expect(Number(headers?.get('retry-after'))).toBeGreaterThan(25);
    expect(headers?.get('ratelimit-policy')).toBe('"rpm";q=2;w=60, "tpm";q=100000;w=60');
    expect(headers?.get('ratelimit')).toMatch(/^"rpm";r=0;t=(2[6-9]|30), "tpm";r=(99\d{3}|100000);t=[01]$/);
    expect(headers?.get('content-type')).toBe('application/problem+json');
  });

  it('goes into debt by a call that used 5,000 more than was estimated, and waits until it is repaid', async () => {
    const entity = `entity-${randomUUID()}`;
    const client = await caller(entity, [Limit.perMinute('tpm', 4_000)]);
    system.upstream.behaviour.usage = { promptTokens: 1_000, completionTokens: 4_100 };
    try {
      expect(await complete(client, 'Hello')).toBe(5_100);
    } finally {
      system.upstream.behaviour.usage = undefined;
    }
    const status = (await get(`/v1/status/${entity}/${DEMO.model}`)) as {
      limits: { available: number; debt: number; resetMs: number }[];
    };
    expect(status.limits[0]?.available).toBeLessThan(-900);
    const denial = await rejection(complete(client, 'Hello'));
    expect(denial).toBeInstanceOf(RateLimitError);
    // 1,100 tokens of debt and the next estimate of 62 (2 of input, 60 at most of output) refill at 4,000 a minute: 17.4 s.
    expect(Number((denial as RateLimitError).headers?.get('retry-after'))).toBeGreaterThanOrEqual(16);
    expect(Number((denial as RateLimitError).headers?.get('retry-after'))).toBeLessThanOrEqual(18);
  });

  it('settles by the real usage when it leaves in the middle of a stream', async () => {
    const entity = `entity-${randomUUID()}`;
    // One token a day: what refills meanwhile does not blur the count.
    const slow = Limit.custom({ name: 'tpd', capacity: 1_000_000, refillAmount: 1, refillPeriodMs: 86_400_000 });
    const client = await caller(entity, [slow]);
    const before = system.upstream.producedTokens;
    system.upstream.behaviour.delayMs = 5;
    try {
      const chunks = await client.chat.completions.create({ ...message('Leave early'), stream: true });
      for await (const chunk of chunks) if (chunk.choices[0]?.delta.content) break;
      await vi.waitFor(async () => {
        const { limits } = (await get(`/v1/status/${entity}/${DEMO.model}`)) as { limits: { available: number }[] };
        expect(limits[0]?.available).toBe(1_000_000 - (system.upstream.producedTokens - before));
      }, 10_000);
    } finally {
      system.upstream.behaviour.delayMs = 0;
    }
  });

  it('sees a bad request, which no wait would mend, when it asks for more than a limit holds', async () => {
    const client = await caller(`entity-${randomUUID()}`, [Limit.perMinute('tpm', 50)]);
    const error = await rejection(complete(client, 'Hello'));
    expect(error).toBeInstanceOf(BadRequestError);
    expect((error as BadRequestError).code).toBe('CostExceedsCapacity');
  });
});
