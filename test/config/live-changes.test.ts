import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import type { Scope } from '../../lib/config/config-records.js';
import { Limit } from '../../lib/core/limit.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const CACHE_TTL_MS = 60_000;
const on = { entity: 'key-123', resource: 'gpt-4' };

/** Everywhere that limits can be stored for a key of a tier, below an organisation of another. */
const SCOPES: readonly { readonly level: string; readonly scope: Scope }[] = [
  { level: 'the entity on the resource', scope: { entity: 'key-123', resource: 'gpt-4' } },
  { level: 'the entity', scope: { entity: 'key-123' } },
  { level: 'its tier on the resource', scope: { tier: 'pro', resource: 'gpt-4' } },
  { level: 'its tier', scope: { tier: 'pro' } },
  { level: 'the resource', scope: { resource: 'gpt-4' } },
  { level: 'the system', scope: { system: true } },
  { level: 'its organisation', scope: { entity: 'org' } },
  { level: "its organisation's tier on the resource", scope: { tier: 'enterprise', resource: 'gpt-4' } },
];

describe.each(eachStore)('a change of live limits on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  let processes: readonly RateLimiter[];

  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await admin.createEntity({ entity: 'org', tier: 'enterprise' });
    await admin.createEntity({ entity: 'key-123', parent: 'org', tier: 'pro' });
    processes = [bed.limiter(), bed.limiter()];
  });

  /**
   * How many of so many requests, at once and by two processes, are admitted; with those that come one by one after them, because requests that
   * draw on several buckets can deny each other with tokens that they then give back.
   */
  async function admitted(count: number, consume: Record<string, number>): Promise<number> {
    const tries = Array.from({ length: count }, (_, index) => processes[index % 2]!.tryAcquire({ ...on, consume }));
    let granted = (await Promise.all(tries)).filter((outcome) => outcome.granted).length;
    while (granted < count) {
      // What a process remembers of a denial is over.
      bed.clock.advance(250);
      if (!(await processes[0]!.tryAcquire({ ...on, consume })).granted) break;
      granted += 1;
    }
    return granted;
  }

  /** Past the age at which the caches of both processes ask again. */
  const cacheExpires = () => bed.clock.advance(CACHE_TTL_MS);

  it.each(SCOPES)(
    'of $level admits 10 at once from the first request on where 1,000 became 10, and 1,000 again',
    async ({ scope }) => {
      await admin.setLimits(scope, [Limit.perHour('rph', 1_000)]);
      expect(await admitted(20, { rph: 1 })).toBe(20);
      bed.clock.advance(3_600_000);

      await admin.setLimits(scope, [Limit.perHour('rph', 10)]);
      cacheExpires();
      expect(await admitted(60, { rph: 1 })).toBe(10);

      await admin.setLimits(scope, [Limit.perHour('rph', 1_000)]);
      cacheExpires();
      // The bucket was empty, and the share in use stays: a minute of 1,000 an hour came back, and of 10 an hour before.
      const now = await admitted(60, { rph: 1 });
      expect(now).toBeGreaterThanOrEqual(16);
      expect(now).toBeLessThanOrEqual(33);
      bed.clock.advance(3_600_000);
      expect(await admitted(60, { rph: 1 })).toBe(60);
    },
  );

  it.each(SCOPES)('of $level holds to a limit that was added, and no more to one that was removed', async ({ scope }) => {
    await admin.setLimits(scope, [Limit.perHour('rph', 1_000), Limit.perHour('tph', 5)]);
    expect(await admitted(20, { rph: 1, tph: 1 })).toBe(5);

    await admin.setLimits(scope, [Limit.perHour('rph', 1_000), Limit.perHour('files', 3)]);
    cacheExpires();
    expect(await admitted(20, { rph: 1, files: 1 })).toBe(3);
    expect(await admitted(20, { rph: 1 })).toBe(20);

    await admin.setLimits(scope, [Limit.perHour('rph', 1_000)]);
    cacheExpires();
    expect(await admitted(20, { rph: 1 })).toBe(20);
  });

  it.each(SCOPES.slice(1, 6))('of $level is met where the pair inherits it, once the cache time is over', async ({ scope }) => {
    await admin.setLimits(scope, [Limit.perHour('rph', 1_000)]);
    await admin.setLimits({ entity: 'org' }, [Limit.perHour('rph', 5_000)]);
    await admin.setLimits(on, [Limit.perHour('tph', 500)], { inherit: true });
    expect(await admitted(20, { rph: 1, tph: 1 })).toBe(20);
    bed.clock.advance(3_600_000);

    await admin.setLimits(scope, [Limit.perHour('rph', 10)]);
    cacheExpires();
    expect(await admitted(60, { rph: 1, tph: 1 })).toBe(10);

    // Of its own name it is inherited no more, and the share in use stays.
    await admin.setLimits(on, [Limit.perHour('tph', 500), Limit.perHour('rph', 1_000)], { inherit: true });
    cacheExpires();
    bed.clock.advance(3_600_000);
    expect(await admitted(60, { rph: 1, tph: 1 })).toBe(60);
  });

  it('is met before the cache time is over, and no request waits for it', async () => {
    await admin.setLimits({ system: true }, [Limit.perHour('rph', 1_000)]);
    expect(await admitted(10, { rph: 1 })).toBe(10);
    await admin.setLimits({ system: true }, [Limit.perHour('rph', 10)]);
    const waitedFor = () => processes.map((one) => one.stats().configuration.misses);
    const before = waitedFor();

    // From half its life on, what is cached is fetched anew behind the answers.
    bed.clock.advance(CACHE_TTL_MS / 2);
    for (const one of processes) await vi.waitFor(async () => expect((await one.available(on)).rph).toBeLessThanOrEqual(10));
    expect(await admitted(30, { rph: 1 })).toBeLessThanOrEqual(10);
    expect(waitedFor()).toEqual(before);
  });
});
