import { expect, it } from 'vitest';
import { limitedFetch } from '../../lib/clients/limited-fetch.js';
import type { OnUnavailable } from '../../lib/limiter-options.js';
import { UnreliableStore } from '../sdk/unreliable-store.js';
import { memory } from '../support/stores.js';

/** The answer to a call whose limits could not be read, and how often the provider was asked. */
async function called(onUnavailable: OnUnavailable) {
  const bed = await memory.fresh();
  const silent = new UnreliableStore(bed.store);
  silent.usual = 'refused';
  const limiter = bed.limiter({ store: silent, onUnavailable });
  let asked = 0;
  const upstream = async () => {
    asked += 1;
    return Response.json({ usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  };
  const send = limitedFetch({ limiter, entity: 'key-123', upstream });
  const body = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] });
  const answer = await send('https://api.openai.com/v1/chat/completions', { method: 'POST', body });
  await answer.text();
  return [answer.status, asked, answer.headers.get('x-headgate-code')];
}

it('a call whose limits could not be read is let through where the limiter says so, and refused elsewhere', async () => {
  expect(await called('allow')).toEqual([200, 1, null]);
  expect(await called('deny')).toEqual([503, 0, 'LimiterUnavailable']);
});
