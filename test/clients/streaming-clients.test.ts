import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { limitedFetch } from '../../lib/clients/index.js';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { type System, startSystem } from '../../local/system.js';
import { testClient, testEndpoint } from '../support/dynamodb.js';
import { isLong, short } from '../support/long.js';
import { Conductor, FATES, type Seen } from './conducted-streams.js';

const CLIENTS = 50;
const RUN_MS = short(3_000, 60_000);
const ENTITIES = 10;
const SLOTS = 30;
const MOST_OUTPUT = 5_000;
const MOST_EVENTS_READ = 12;

/** A streaming call in one of the shapes that clients speak. */
interface Shape {
  readonly name: string;
  readonly provider: 'openai' | 'anthropic' | 'gemini';
  readonly model: string;
  readonly path: string;
  readonly body: (prompt: string) => object;
  /** Whether the stream tells as it goes what it used so far. */
  readonly tellsOnTheWay: boolean;
}

const messages = (content: string) => [{ role: 'user', content }];
const SHAPES: readonly Shape[] = [
  {
    name: 'OpenAI chat',
    provider: 'openai',
    model: 'gpt-4o',
    path: '/v1/chat/completions',
    body: (prompt) => ({
      model: 'gpt-4o',
      messages: messages(prompt),
      max_tokens: MOST_OUTPUT,
      stream: true,
      stream_options: { include_usage: true },
    }),
    tellsOnTheWay: false,
  },
  {
    name: 'OpenAI chat as vLLM speaks it',
    provider: 'openai',
    model: 'llama',
    path: '/v1/chat/completions',
    body: (prompt) => ({
      model: 'llama',
      messages: messages(prompt),
      max_tokens: MOST_OUTPUT,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    }),
    tellsOnTheWay: true,
  },
  {
    name: 'OpenAI Responses',
    provider: 'openai',
    model: 'gpt-5',
    path: '/v1/responses',
    body: (prompt) => ({ model: 'gpt-5', input: prompt, max_output_tokens: MOST_OUTPUT, stream: true }),
    tellsOnTheWay: false,
  },
  {
    name: 'Anthropic',
    provider: 'anthropic',
    model: 'claude',
    path: '/v1/messages',
    body: (prompt) => ({ model: 'claude', messages: messages(prompt), max_tokens: MOST_OUTPUT, stream: true }),
    tellsOnTheWay: true,
  },
  {
    name: 'Gemini',
    provider: 'gemini',
    model: 'gemini-2.5-flash',
    path: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse',
    body: (prompt) => ({
      contents: [{ role: 'user', parts: [{ text: prompt }] }],
      generationConfig: { maxOutputTokens: MOST_OUTPUT },
    }),
    tellsOnTheWay: true,
  },
];

/** A token a day: what refills meanwhile does not blur the count. */
const slow = (name: string, counts: 'requests' | 'tokens') =>
  Limit.custom({ name, capacity: CAPACITY, refillAmount: 1, refillPeriodMs: 86_400_000, counts });
const CAPACITY = 10_000_000;
const LIMITS = [slow('calls', 'requests'), slow('all', 'tokens'), Limit.concurrent('inflight', SLOTS, { leaseMs: 3_600_000 })];

const tableName = `streaming-${randomUUID()}`;
const client = testClient();
const admin = new HeadgateAdmin({ tableName, client });
let system: System;
let conductor: Conductor;

beforeAll(async () => {
  system = await startSystem({ port: 0, dynamoEndpoint: testEndpoint(), tableName, namespace: 'default' });
  conductor = new Conductor(system.upstream);
  for (const provider of ['openai', 'anthropic', 'gemini'])
    await admin.setLimits({ resource: provider }, [Limit.perMinute('rpm', 1_000_000)]);
});

afterAll(() => system.stop());

/** A caller, whose limits are the same for every model. */
interface Caller {
  readonly entity: string;
  readonly secret: string;
}

async function caller(): Promise<Caller> {
  const entity = `caller-${randomUUID()}`;
  for (const { model } of SHAPES) await admin.setLimits({ entity, resource: model }, LIMITS);
  const { secret } = await admin.createKey({ entity });
  return { entity, secret };
}

/** How a caller's calls are sent, and whether they are read on when their client leaves. */
interface Way {
  readonly readsOn: boolean;
  readonly send: (
    shape: Shape,
    body: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ) => Promise<Response>;
}

function throughLimitedFetch({ entity }: Caller, index: number): Way {
  const limiter = new RateLimiter({ tableName, client, deadlineMs: 30_000 });
  const readsOn = index % 2 === 0;
  const send = limitedFetch({ limiter, entity, whenClientLeaves: readsOn ? 'readOn' : 'cancel' });
  return {
    readsOn,
    send: ({ path }, body, headers, signal) => send(system.upstream.url + path, { method: 'POST', headers, body, signal }),
  };
}

/** The local system's providers are read on. */
function throughTheGateway({ secret }: Caller): Way {
  return {
    readsOn: true,
    send: ({ provider, path }, body, headers, signal) =>
      fetch(`${system.url}/llm/${provider}${path}`, {
        method: 'POST',
        headers: { ...headers, authorization: `Bearer ${secret}` },
        body,
        signal,
      }),
  };
}

/** The same dice in every run. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >>> 8) % sides;
  };
}

/** What came of all calls of one caller on one model. */
interface Tally {
  calls: number;
  /** Calls of which the provider told nothing, so that their estimate stays charged; and what they had produced. */
  untold: number;
  estimated: number;
  untoldProduced: number;
}

describe.each([
  { through: 'limitedFetch', way: throughLimitedFetch },
  { through: 'the gateway', way: throughTheGateway },
])(`${CLIENTS} streaming clients through $through`, ({ way }) => {
  it(
    'whose streams are left and broken at random are charged what the provider produced, and hold no slot',
    async () => {
      const callers = await Promise.all(Array.from({ length: ENTITIES }, caller));
      const faults = vi.spyOn(console, 'error').mockImplementation(() => {});
      const tallies = new Map<string, Tally>();
      const fates = new Map<string, number>();
      const before = system.upstream.producedTokens;
      const until = Date.now() + RUN_MS;

      await Promise.all(
        Array.from({ length: CLIENTS }, async (_, index) => {
          const roll = dice(index + 1);
          const of = callers[index % ENTITIES] as Caller;
          const { readsOn, send } = way(of, index);
          while (Date.now() < until) {
            const shape = SHAPES[roll(SHAPES.length)] as Shape;
            const fate = FATES[roll(FATES.length)] ?? 'read';
            const promptTokens = 1 + roll(40);
            const body = JSON.stringify(shape.body('word'.repeat(promptTokens)));
            const seen = await conductor.stream({ fate, afterEvents: 1 + roll(MOST_EVENTS_READ), readsOn }, (headers, signal) =>
              send(shape, body, headers, signal),
            );
            fates.set(seen.ended, (fates.get(seen.ended) ?? 0) + 1);
            const key = `${of.entity} ${shape.model}`;
            const tally = tallies.get(key) ?? { calls: 0, untold: 0, estimated: 0, untoldProduced: 0 };
            tallies.set(key, tally);
            tally.calls += 1;
            if (wasTold(shape, seen, readsOn)) continue;
            tally.untold += 1;
            tally.estimated += promptTokens + MOST_OUTPUT;
            tally.untoldProduced += seen.producedTokens;
          }
        }),
      );

      const observer = new RateLimiter({ tableName, client, deadlineMs: 30_000 });
      const left = new Map<string, Readonly<Record<string, number>>>();
      // Who leaves is not told when the settlement is written.
      for (const [key, { calls }] of tallies) {
        const [entity = '', resource = ''] = key.split(' ');
        await expect
          .poll(
            async () => {
              const available = await observer.available({ entity, resource });
              left.set(key, available);
              return { calls: available.calls, inflight: available.inflight };
            },
            { timeout: 20_000 },
          )
          .toEqual({ calls: CAPACITY - calls, inflight: SLOTS });
      }
      const sum = (of: (tally: Tally) => number) => [...tallies.values()].reduce((total, tally) => total + of(tally), 0);
      const charged = [...left.values()].reduce((total, { all = 0 }) => total + CAPACITY - all, 0);
      const produced = system.upstream.producedTokens - before;
      expect(charged).toBe(produced - sum(({ untoldProduced }) => untoldProduced) + sum(({ estimated }) => estimated));
      // The log has nothing but the broken connections.
      expect(faults.mock.calls.map(([fault]) => String(fault)).filter((fault) => fault !== 'TypeError: terminated')).toEqual([]);
      faults.mockRestore();
      // Every fate came about, and most of the calls were told what they used.
      expect([...fates.keys()].sort()).toEqual([...FATES].sort());
      expect(sum(({ untold }) => untold)).toBeLessThan(sum(({ calls }) => calls) / 2);
      const [calls, untold] = [sum((tally) => tally.calls), sum((tally) => tally.untold)];
      if (isLong) console.warn({ calls, ...Object.fromEntries(fates), untold, charged, produced });
    },
    120_000 + RUN_MS,
  );
});

/** Whether the provider could tell what the call used: as it went, at its end, or because it was read on. */
function wasTold({ tellsOnTheWay }: Shape, { text, ended }: Seen, readsOn: boolean): boolean {
  const isReadOn = readsOn && (ended === 'cancelled' || ended === 'aborted');
  return tellsOnTheWay || ended === 'read' || isReadOn || /"usage":\{/.test(text);
}
