import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { Outcome, RateLimiter } from '../../lib/limiter.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { Store } from '../../lib/store/store.js';
import { testBed } from '../support/stores.js';
import { intercepted } from './intercepted-store.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const never = () => new Promise<never>(() => {});

/** The store as a process sees it that dies after `calls` calls: the next one happens or not, and no answer comes any more. */
function until(store: Store, calls: number, lastHappens: boolean) {
  let made = 0;
  const dying = intercepted(store, async (proceed) => {
    made += 1;
    if (made <= calls) return proceed();
    if (made === calls + 1 && lastHappens) await proceed();
    return never();
  });
  return { store: dying, made: () => made };
}

/** No request below makes more calls than this; two more read its limits. */
const MOST_CALLS = 12;

const rows = [
  { request: 'granted by every level', orgUsed: 0, maxWaitMs: 0, least: 6 },
  { request: 'denied by the organisation', orgUsed: 8, maxWaitMs: 0, least: 6 },
  // Reserved for 12 minutes from now: the two tokens that come back until then are no more there now.
  { request: 'put in the queue of every level', orgUsed: 8, maxWaitMs: 3_600_000, least: 4 },
].flatMap((row) =>
  Array.from({ length: MOST_CALLS + 1 }, (_, calls) => calls).flatMap((calls) => [
    { ...row, calls, lastHappens: true, last: 'loses its answer' },
    { ...row, calls, lastHappens: false, last: 'is never sent' },
  ]),
);

describe('a process that dies in the middle of a request on three levels', () => {
  async function family() {
    const bed = testBed(new MemoryStore());
    const admin = bed.admin();
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'project', parent: 'org' });
    await admin.createEntity({ entity: 'key-123', parent: 'project' });
    await admin.setLimits({ system: true }, [Limit.perHour('rph', 10)]);
    return bed;
  }

  const available = async (limiter: RateLimiter) => (await limiter.status(on)).limits.map((limit) => limit.available);

  it.each(rows)(
    'lets no more through than each level holds, and time repays it: $request, and after $calls answers the next call $last',
    async ({ orgUsed, maxWaitMs, calls, lastHappens, least }) => {
      const bed = await family();
      const survivor = bed.limiter();
      if (orgUsed > 0) await survivor.acquire({ entity: 'org', resource: 'gpt-4', consume: { rph: orgUsed } });
      const { store, made } = until(bed.store, 2 + calls, lastHappens);
      const dying = bed.limiter({ store });
      await dying.limits(on);
      let outcome: Outcome | undefined;
      void dying.tryAcquire({ ...on, consume: { rph: 4 }, maxWaitMs }).then((decided) => {
        outcome = decided;
      });
      for (let turns = 0; turns < 20; turns += 1) await turn();
      if (calls === MOST_CALLS) expect(made()).toBeLessThanOrEqual(2 + MOST_CALLS);

      const charged = outcome?.granted ? 4 : 0;
      const [key, project, org] = await available(survivor);
      expect(Math.max(key!, project!)).toBeLessThanOrEqual(10 - charged);
      expect(Math.min(key!, project!)).toBeGreaterThanOrEqual(least);
      expect(org).toBeLessThanOrEqual(10 - orgUsed - charged);

      let granted = 0;
      while ((await survivor.tryAcquire({ ...on, consume: { rph: 1 } })).granted) granted += 1;
      expect(granted).toBe(Math.max(0, Math.min(key!, project!, org!)));

      bed.clock.advance(2 * 3_600_000);
      expect(await available(survivor)).toEqual([10, 10, 10]);
    },
  );
});
