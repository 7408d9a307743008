import { expect, it } from 'vitest';
import { type LimitedFetchOptions, limitedFetch } from '../../lib/clients/index.js';
import { memory } from '../support/stores.js';

it.each([
  { wrong: { upstream: 5 }, says: 'Expected upstream to be a function, such as fetch, got 5' },
  { wrong: { clock: {} }, says: 'Expected clock to be a Clock: { nowNs, sleep }, got {}' },
  { wrong: { onWarning: 'log' }, says: 'Expected onWarning to be a function, got "log"' },
  { wrong: { retries: 11 }, says: 'Expected retries to be an integer from 0 to 10, got 11' },
  { wrong: { maxWaitMs: Number.NaN }, says: 'Expected maxWaitMs to be 0 to 86400000 milliseconds, got NaN' },
])('limitedFetch refuses $wrong when it is made', async ({ wrong, says }) => {
  const bed = await memory.fresh();
  const options = { limiter: bed.limiter(), entity: 'key-123', ...wrong } as unknown as LimitedFetchOptions;
  expect(() => limitedFetch(options)).toThrow(expect.objectContaining({ code: 'InvalidArgument', message: says }));
});
