import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const rpm = Limit.perMinute('rpm', 500);
const watched = Limit.perMinute('tpm', 50_000, { mode: 'observe' });
const enforced = Limit.perMinute('tpm', 50_000);

describe.each(eachStore)('an observed limit on the $name store', ({ fresh }: StoreUnderTest) => {
  it('lets a request pass that it would deny, names itself, and is not charged', async () => {
    const limiter = (await fresh()).limiter();
    const subject = { ...on, limits: [rpm, watched] };

    const lease = await limiter.acquire({ ...subject, consume: { rpm: 1, tpm: 80_000 } });

    expect(lease.overdrawn).toEqual(['tpm']);
    expect(await limiter.available(subject)).toEqual({ rpm: 499, tpm: 50_000 });
    await lease.settle({ tpm: 90_000 });
    expect(await limiter.available(subject)).toEqual({ rpm: 499, tpm: 50_000 });
    await lease.release();
    expect(await limiter.available(subject)).toEqual({ rpm: 500, tpm: 50_000 });
  });

  it('is charged and settled like any other while it has room', async () => {
    const limiter = (await fresh()).limiter();
    const subject = { ...on, limits: [watched] };

    const lease = await limiter.acquire({ ...subject, consume: { tpm: 30_000 } });
    expect(lease.overdrawn).toEqual([]);
    await lease.settle({ tpm: 20_000 });

    expect(await limiter.available(subject)).toEqual({ tpm: 30_000 });
    expect((await limiter.acquire({ ...subject, consume: { tpm: 30_001 } })).overdrawn).toEqual(['tpm']);
    expect(await limiter.available(subject)).toEqual({ tpm: 30_000 });
  });

  it('does not keep an enforced limit beside it from denying', async () => {
    const limiter = (await fresh()).limiter();
    const subject = { ...on, limits: [Limit.perMinute('rpm', 1), watched] };
    await limiter.acquire({ ...subject, consume: { rpm: 1, tpm: 80_000 } });

    const denied = await limiter.acquire({ ...subject, consume: { rpm: 1, tpm: 80_000 } }).catch((error: unknown) => error);

    expect(denied).toBeInstanceOf(RateLimitExceeded);
    expect((denied as RateLimitExceeded).violations.map(({ limit }) => limit)).toEqual(['rpm']);
  });

  it('of 50,000 lets 80,000 pass, and the 500 requests beside it are still the most', async () => {
    const limiter = (await fresh()).limiter();
    const request = { ...on, limits: [rpm, watched], consume: { rpm: 1, tpm: 80_000 } };
    await limiter.acquire({ ...request, consume: { rpm: 499 } });

    expect((await limiter.acquire(request)).overdrawn).toEqual(['tpm']);

    expect(await limiter.tryAcquire(request)).toMatchObject({
      granted: false,
      denial: { retryAfterMs: 120, violations: [{ limit: 'rpm', available: 0 }] },
    });
    expect(await limiter.available({ ...on, limits: [rpm, watched] })).toEqual({ rpm: 0, tpm: 50_000 });
  });

  it('locks nobody out when it is enforced after a day at ten times its rate', async () => {
    const bed = await fresh();
    const limiter = bed.limiter();
    for (let minute = 0; minute < 24 * 60; minute += 120) {
      for (let times = 0; times < 10; times += 1) await limiter.acquire({ ...on, limits: [watched], consume: { tpm: 50_000 } });
      bed.clock.advance(120 * 60_000);
    }
    for (let times = 0; times < 10; times += 1) await limiter.acquire({ ...on, limits: [watched], consume: { tpm: 50_000 } });

    const subject = { ...on, limits: [enforced] };
    expect((await limiter.available(subject)).tpm).toBeGreaterThanOrEqual(0);
    // 100 tokens at 50,000 a minute.
    expect(await limiter.timeUntilAvailable({ ...subject, needed: { tpm: 100 } })).toBeLessThanOrEqual(120);
  });

  it('costs one write a request, whether it has room or not', async () => {
    const limiter = (await fresh()).limiter();
    const subject = { ...on, limits: [rpm, watched] };
    await limiter.acquire({ ...subject, consume: { rpm: 1, tpm: 50_000 } });

    for (let times = 0; times < 5; times += 1) await limiter.acquire({ ...subject, consume: { rpm: 1, tpm: 100 } });

    expect(limiter.stats().writes).toBe(6);
  });
});
