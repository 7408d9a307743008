import { expect, it } from 'vitest';
import { limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { testBed } from '../support/stores.js';
import { VirtualClock } from '../support/virtual-time.js';

const CALLS = 100;
const MODEL = 'gpt-4o-mini';
const DAY_MS = 86_400_000;

/** A provider that answers at once. */
const provider: typeof fetch = async () =>
  Response.json({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } });

const call = (send: typeof fetch, content: number) =>
  send('https://api.example.com/v1/chat/completions', {
    method: 'POST',
    body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: String(content) }] }),
  });

it('a hundred calls on sixty a minute take the forty seconds that they must, and none is refused', async () => {
  const clock = new VirtualClock();
  const bed = testBed(new MemoryStore(), clock);
  await bed.admin().setLimits({ resource: MODEL }, [Limit.perMinute('rpm', 60), Limit.perMinute('tpm', 100_000)]);
  const send = limitedFetch({ limiter: bed.limiter(), entity: 'batch', maxWaitMs: DAY_MS, upstream: provider, clock });

  const statuses = await clock.drive(
    Promise.all(
      Array.from({ length: CALLS }, async (_, index) => {
        const answer = await call(send, index);
        await answer.text();
        return answer.status;
      }),
    ),
  );

  expect(new Set(statuses)).toEqual(new Set([200]));
  // Sixty at once, and then one each second: the last after forty.
  expect(clock.elapsedMs).toBeGreaterThanOrEqual(40_000);
  expect(clock.elapsedMs).toBeLessThanOrEqual(40_000 * 1.02);
});

it('lanes of one job end in the order of their priorities', async () => {
  const clock = new VirtualClock();
  const bed = testBed(new MemoryStore(), clock);
  await bed.admin().setLimits({ resource: MODEL }, [Limit.perMinute('rpm', 60)], { priorities: true as never });
  const limiter = bed.limiter();
  const ended: string[] = [];

  const lane = (priority: 'low' | 'normal' | 'high') => {
    const send = limitedFetch({ limiter, entity: 'batch', maxWaitMs: DAY_MS, priority, upstream: provider, clock });
    return Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const answer = await call(send, index);
        await answer.text();
        expect(answer.status).toBe(200);
      }),
    ).then(() => ended.push(priority));
  };
  await clock.drive(Promise.all([lane('low'), lane('normal'), lane('high')]));

  expect(ended).toEqual(['high', 'normal', 'low']);
});
