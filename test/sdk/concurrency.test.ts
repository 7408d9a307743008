import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };

describe.each(eachStore)('many callers at once on the $name store', ({ fresh }: StoreUnderTest) => {
  it('are granted exactly the capacity by four processes', async () => {
    const { limiter: newLimiter } = await fresh();
    const limiters = [newLimiter(), newLimiter(), newLimiter(), newLimiter()];
    const request = { ...on, limits: [Limit.perMinute('rpm', 50)], consume: { rpm: 1 } };

    const outcomes = await Promise.all(Array.from({ length: 200 }, (_, caller) => limiters[caller % 4]!.tryAcquire(request)));

    expect(outcomes.filter(({ granted }) => granted)).toHaveLength(50);
    expect(await limiters[0]!.available({ ...on, limits: request.limits })).toEqual({ rpm: 0 });
    expect(limiters.reduce((sum, limiter) => sum + limiter.stats().granted, 0)).toBe(50);
    expect(limiters.reduce((sum, limiter) => sum + limiter.stats().denied, 0)).toBe(150);
  });

  it('are granted exactly what the scarcest of their limits holds, and leave the other untouched beyond it', async () => {
    const { limiter: newLimiter } = await fresh();
    const limiters = [newLimiter(), newLimiter()];
    const limits = [Limit.perMinute('rpm', 1_000), Limit.perMinute('tpm', 1_000)];

    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, caller) =>
        limiters[caller % 2]!.tryAcquire({ ...on, limits, consume: { rpm: 1, tpm: 90 } }),
      ),
    );

    expect(outcomes.filter(({ granted }) => granted)).toHaveLength(11);
    expect(await limiters[0]!.available({ ...on, limits })).toEqual({ rpm: 989, tpm: 10 });
  });

  it('never overdraw a parent, and what it denies its children get back', async () => {
    const bed = await fresh();
    const admin = bed.admin();
    await admin.createEntity({ entity: 'org' });
    await admin.setLimits({ entity: 'org' }, [Limit.perMinute('rpm', 15)]);
    await admin.setLimits({ system: true }, [Limit.perMinute('rpm', 1_000)]);
    const children = ['a', 'b', 'c'];
    for (const entity of children) await admin.createEntity({ entity, parent: 'org' });
    const limiters = [bed.limiter(), bed.limiter()];

    const outcomes = await Promise.all(
      Array.from({ length: 30 }, (_, caller) =>
        limiters[caller % 2]!.tryAcquire({ entity: children[caller % 3]!, resource: 'gpt-4', consume: { rpm: 1 } }),
      ),
    );

    expect(outcomes.filter(({ granted }) => granted)).toHaveLength(15);
    expect(await limiters[0]!.available({ entity: 'org', resource: 'gpt-4' })).toEqual({ rpm: 0 });
    const used = await Promise.all(
      children.map(async (entity) => {
        const { limits } = await limiters[0]!.status({ entity, resource: 'gpt-4' });
        return 1_000 - limits.find((limit) => limit.entity === entity)!.available;
      }),
    );
    expect(used.reduce((sum, tokens) => sum + tokens, 0)).toBe(15);
  });

  it('lose no adjustment of two leases in two processes', async () => {
    const { limiter: newLimiter } = await fresh();
    const limits = [Limit.perDay('tpd', 1_000)];
    const [one, other] = [newLimiter(), newLimiter()];
    const [first, second] = await Promise.all([
      one.acquire({ ...on, limits, consume: { tpd: 10 } }),
      other.acquire({ ...on, limits, consume: { tpd: 5 } }),
    ]);

    await Promise.all([first.adjust({ tpd: 20 }), second.adjust({ tpd: 15 })]);

    expect(await newLimiter().available({ ...on, limits })).toEqual({ tpd: 950 });
    expect(first.charged.tpd! + second.charged.tpd!).toBe(50);
  });

  it('settle to the last token while others acquire', async () => {
    const { limiter: newLimiter } = await fresh();
    const limiters = [newLimiter(), newLimiter(), newLimiter()];
    const limits = [Limit.perHour('rph', 1_000), Limit.perHour('tph', 100_000)];

    await Promise.all(
      Array.from({ length: 60 }, async (_, caller) => {
        const lease = await limiters[caller % 3]!.acquire({ ...on, limits, consume: { rph: 1, tph: 100 } });
        if (caller % 4 === 0) await lease.release();
        else await lease.settle({ tph: caller % 4 === 1 ? 150 : 20 });
      }),
    );

    expect(await newLimiter().available({ ...on, limits })).toEqual({ rph: 955, tph: 97_150 });
  });
});
