import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const at = (time: string) => new FakeClock(Date.parse(time));
const until = (clock: FakeClock, time: string) => clock.advance(Date.parse(time) - Number(clock.nowNs() / 1_000_000n));

async function denial(call: Promise<unknown>): Promise<RateLimitExceeded> {
  const error = await call.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RateLimitExceeded);
  return error as RateLimitExceeded;
}

describe.each(eachStore)('a calendar quota on the $name store', ({ fresh }: StoreUnderTest) => {
  const monthly = { ...on, limits: [Limit.quota('usd', 1_000, { per: 'month', timeZone: 'Europe/Paris' })] };

  it('that was spent on the 20th waits until the 1st, 00:00 Paris time, and gives nothing before', async () => {
    const clock = at('2026-03-20T12:00:00Z');
    const limiter = (await fresh(clock)).limiter();
    await limiter.acquire({ ...monthly, consume: { usd: 1_000 } });

    const { retryAfterMs } = await denial(limiter.acquire({ ...monthly, consume: { usd: 1 } }));

    // Summer time began on the 29th: Paris is two hours ahead by then.
    expect(retryAfterMs).toBe(Date.parse('2026-03-31T22:00:00Z') - Date.parse('2026-03-20T12:00:00Z'));
    until(clock, '2026-03-31T21:59:59.999Z');
    expect(await limiter.available(monthly)).toEqual({ usd: 0 });
    await denial(limiter.acquire({ ...monthly, consume: { usd: 1 } }));
    until(clock, '2026-03-31T22:00:00Z');
    await limiter.acquire({ ...monthly, consume: { usd: 1_000 } });
    expect(await limiter.available(monthly)).toEqual({ usd: 0 });
  });

  it('takes one write a request and one a settlement', async () => {
    const limiter = (await fresh(at('2026-03-20T12:00:00Z'))).limiter();
    const lease = await limiter.acquire({ ...monthly, consume: { usd: 100 } });
    expect(limiter.stats().writes).toBe(1);

    await lease.settle({ usd: 250 });
    expect(limiter.stats().writes).toBe(2);
    expect(await limiter.available(monthly)).toEqual({ usd: 750 });

    await limiter.acquire({ ...monthly, consume: { usd: 1 } });
    expect(limiter.stats().writes).toBe(3);
    expect(await limiter.available(monthly)).toEqual({ usd: 749 });
  });

  it('goes into debt by a settlement, and forgets it when the window ends', async () => {
    const clock = at('2026-03-20T12:00:00Z');
    const limiter = (await fresh(clock)).limiter();
    const lease = await limiter.acquire({ ...monthly, consume: { usd: 900 } });
    await lease.settle({ usd: 1_500 });
    expect(await limiter.available(monthly)).toEqual({ usd: -500 });
    expect((await limiter.status(monthly)).limits[0]).toMatchObject({ available: -500, debt: 500, queueMs: 0 });

    until(clock, '2026-04-01T00:00:00Z');
    expect(await limiter.available(monthly)).toEqual({ usd: 1_000 });
  });

  it('is not changed by a settlement or a release that comes after its window', async () => {
    const clock = at('2026-03-31T21:59:00Z');
    const limiter = (await fresh(clock)).limiter();
    const early = await limiter.acquire({ ...monthly, consume: { usd: 400 } });
    const other = await limiter.acquire({ ...monthly, consume: { usd: 100 } });
    until(clock, '2026-03-31T22:01:00Z');
    await limiter.acquire({ ...monthly, consume: { usd: 10 } });

    await early.settle({ usd: 900 });
    await other.release();

    expect(early.unposted + other.unposted).toBe(0);
    expect(await limiter.available(monthly)).toEqual({ usd: 990 });
  });

  it('is not changed by the settlement of a lease from before a reset', async () => {
    const bed = await fresh(at('2026-03-20T12:00:00Z'));
    const limiter = bed.limiter();
    const lease = await limiter.acquire({ ...monthly, consume: { usd: 400 } });
    await bed.admin().reset(on);

    await lease.settle({ usd: 900 });

    expect(lease.unposted).toBe(0);
    expect(await limiter.available(monthly)).toEqual({ usd: 1_000 });
  });

  it('settles a lease whose limiter knows an older window only', async () => {
    const clock = at('2026-03-20T12:00:00Z');
    const bed = await fresh(clock);
    const [old, other] = [bed.limiter(), bed.limiter()];
    await old.acquire({ ...monthly, consume: { usd: 1 } });
    until(clock, '2026-04-02T00:00:00Z');
    const { id, entity, resource, grants } = await other.acquire({ ...monthly, consume: { usd: 400 } });

    await old.reopen({ id, entity, resource, grants }).settle({ usd: 500 });

    expect(await other.available(monthly)).toEqual({ usd: 500 });
  });

  it('decides together with a token bucket, all or nothing', async () => {
    const limiter = (await fresh(at('2026-03-20T12:00:00Z'))).limiter();
    const subject = { ...on, limits: [Limit.perMinute('rpm', 100), Limit.quota('usd', 1_000, { per: 'day' })] };
    await limiter.acquire({ ...subject, consume: { rpm: 1, usd: 999 } });

    const error = await denial(limiter.acquire({ ...subject, consume: { rpm: 1, usd: 2 } }));

    expect(error.violations.map(({ limit, available }) => [limit, available])).toEqual([['usd', 1]]);
    expect(error.retryAfterMs).toBe(12 * 3_600_000);
    expect(await limiter.available(subject)).toEqual({ rpm: 99, usd: 1 });
    expect(error.toHeaders()['RateLimit-Policy']).toBe('"usd";q=1000;w=86400, "rpm";q=100;w=60');
  });

  it('cannot be reserved: a request that would wait for it is denied, and nothing else is reserved', async () => {
    const limiter = (await fresh(at('2026-03-20T12:00:00Z'))).limiter();
    const subject = { ...on, limits: [Limit.perMinute('rpm', 1), Limit.quota('usd', 10, { per: 'day' })] };
    await limiter.acquire({ ...subject, consume: { rpm: 1, usd: 10 } });

    await denial(limiter.acquire({ ...subject, consume: { rpm: 1, usd: 1 }, maxWaitMs: 3_600_000 }));

    expect(await limiter.available(subject)).toEqual({ rpm: 0, usd: 0 });
  });

  it('refuses a time zone that does not exist', () => {
    expect(() => Limit.quota('usd', 1, { per: 'day', timeZone: 'Europe/Pariss' })).toThrow(
      'Expected limit.timeZone to be an IANA time zone such as Europe/Paris, got "Europe/Pariss"',
    );
  });

  it('is stored, read back and applied like any other limit', async () => {
    const bed = await fresh(at('2026-03-20T12:00:00Z'));
    const limits = [
      Limit.quota('usd', 50, { per: 'month', timeZone: 'Asia/Tokyo' }),
      Limit.window('messages', 5, { everyMs: 60_000 }),
    ];
    await bed.admin().setLimits({ entity: 'key-123' }, limits);

    expect(await bed.admin().getLimits({ entity: 'key-123' })).toEqual(limits);
    const limiter = bed.limiter();
    await limiter.acquire({ ...on, consume: { usd: 20, messages: 1 } });
    expect(await limiter.available(on)).toEqual({ usd: 30, messages: 4 });
  });
});

describe.each(eachStore)('a session window on the $name store', ({ fresh }: StoreUnderTest) => {
  const messages = { ...on, limits: [Limit.window('messages', 3, { everyMs: 5 * 3_600_000 })] };
  const one = { ...messages, consume: { messages: 1 } };

  it('starts with the first use, and anew with the first use after its end', async () => {
    const clock = at('2026-03-20T09:00:00Z');
    const limiter = (await fresh(clock)).limiter();
    for (let times = 0; times < 3; times += 1) await limiter.acquire(one);
    expect((await denial(limiter.acquire(one))).retryAfterMs).toBe(5 * 3_600_000);

    until(clock, '2026-03-20T13:59:59.999Z');
    expect((await denial(limiter.acquire(one))).retryAfterMs).toBe(1);
    until(clock, '2026-03-20T14:30:00Z');
    for (let times = 0; times < 3; times += 1) await limiter.acquire(one);

    // The second window ends at 19:30.
    expect((await denial(limiter.acquire(one))).retryAfterMs).toBe(5 * 3_600_000);
  });

  it('is not moved by a denial', async () => {
    const clock = at('2026-03-20T09:00:00Z');
    const limiter = (await fresh(clock)).limiter();
    for (let times = 0; times < 3; times += 1) await limiter.acquire(one);
    until(clock, '2026-03-20T12:00:00Z');
    await denial(limiter.acquire(one));

    until(clock, '2026-03-20T14:00:00Z');
    await limiter.acquire(one);
  });

  it('admits exactly its capacity to many at once, from several processes', async () => {
    const bed = await fresh(at('2026-03-20T09:00:00Z'));
    const limiters = [bed.limiter(), bed.limiter(), bed.limiter(), bed.limiter()];
    const wide = { ...on, limits: [Limit.window('messages', 50, { everyMs: 60_000 })], consume: { messages: 1 } };

    const outcomes = await Promise.all(Array.from({ length: 200 }, async (_, index) => limiters[index % 4]?.tryAcquire(wide)));

    expect(outcomes.filter((outcome) => outcome?.granted)).toHaveLength(50);
  });
});
