import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };

describe.each(eachStore)('an operator on the $name store', ({ fresh }: StoreUnderTest) => {
  /** 60 requests and 6,000 tokens an hour; of them, 10 and 5,000 are left. */
  async function used() {
    const bed = await fresh();
    const admin = bed.admin();
    await admin.setLimits({ system: true }, [Limit.perHour('rph', 60), Limit.perHour('tph', 6_000)]);
    const limiter = bed.limiter();
    const lease = await limiter.acquire({ ...on, consume: { rph: 50, tph: 1_000 } });
    return { bed, admin, limiter, lease };
  }

  it('who resets a bucket makes all its limits full', async () => {
    const { admin, limiter } = await used();

    await admin.reset(on);

    expect(await limiter.available(on)).toEqual({ rph: 60, tph: 6_000 });
    expect((await limiter.tryAcquire({ ...on, consume: { rph: 60, tph: 6_000 } })).granted).toBe(true);
  });

  it('who resets a bucket forgives its debt', async () => {
    const { admin, limiter, lease } = await used();
    await lease.settle({ tph: 9_000 });
    expect(await limiter.available(on)).toEqual({ rph: 10, tph: -3_000 });

    await admin.reset(on);

    expect(await limiter.available(on)).toEqual({ rph: 60, tph: 6_000 });
  });

  it('who resets a bucket leaves those of other entities and resources as they are', async () => {
    const { admin, limiter } = await used();
    await limiter.acquire({ entity: 'key-124', resource: 'gpt-4', consume: { rph: 1 } });
    await limiter.acquire({ entity: 'key-123', resource: 'gpt-5', consume: { rph: 2 } });

    await admin.reset(on);

    expect(await limiter.available({ entity: 'key-124', resource: 'gpt-4' })).toEqual({ rph: 59, tph: 6_000 });
    expect(await limiter.available({ entity: 'key-123', resource: 'gpt-5' })).toEqual({ rph: 58, tph: 6_000 });
  });

  it('may reset a bucket that was never used', async () => {
    const { admin, limiter } = await used();

    await admin.reset({ entity: 'key-125', resource: 'gpt-4' });

    expect(await limiter.available({ entity: 'key-125', resource: 'gpt-4' })).toEqual({ rph: 60, tph: 6_000 });
  });

  it.each([
    { when: 'tokens of one limit', tokens: { rph: 20 }, left: { rph: 30, tph: 5_000 } },
    { when: 'tokens of both limits', tokens: { rph: 1, tph: 500 }, left: { rph: 11, tph: 5_500 } },
    { when: 'exactly what is missing', tokens: { rph: 50, tph: 1_000 }, left: { rph: 60, tph: 6_000 } },
    { when: 'more than is missing', tokens: { rph: 51, tph: 1_000_000 }, left: { rph: 60, tph: 6_000 } },
    { when: 'nothing', tokens: { rph: 0 }, left: { rph: 10, tph: 5_000 } },
  ])('who tops up by $when leaves $left', async ({ tokens, left }) => {
    const { admin, limiter } = await used();

    await admin.topUp({ ...on, tokens });

    expect(await limiter.available(on)).toEqual(left);
  });

  it('who tops up more than is missing lets no later caller have more than the capacity', async () => {
    const { admin, limiter } = await used();

    await admin.topUp({ ...on, tokens: { rph: 10_000 } });

    await limiter.acquire({ ...on, consume: { rph: 60 } });
    expect(await limiter.tryAcquire({ ...on, consume: { rph: 1 } })).toMatchObject({
      granted: false,
      denial: { retryAfterMs: 60_000 },
    });
  });

  it('who tops up pays back debt first', async () => {
    const { admin, limiter, lease } = await used();
    await lease.settle({ rph: 90 });

    await admin.topUp({ ...on, tokens: { rph: 40 } });

    expect(await limiter.available(on)).toEqual({ rph: 10, tph: 5_000 });
  });

  it('who tops up under load loses no charge: four processes and ten top-ups come to the same sum', async () => {
    const { bed, admin, limiter } = await used();
    const limiters = [limiter, bed.limiter(), bed.limiter(), bed.limiter()];

    await Promise.all([
      ...Array.from({ length: 40 }, (_, caller) => limiters[caller % 4]!.acquire({ ...on, consume: { tph: 100 } })),
      ...Array.from({ length: 10 }, () => admin.topUp({ ...on, tokens: { tph: 10 } })),
    ]);

    expect(await limiter.available(on)).toEqual({ rph: 10, tph: 1_100 });
    expect((await admin.audit()).filter(({ action }) => action === 'bucket.topUp')).toHaveLength(10);
  });

  it.each([
    { what: 'a limit that is not configured', tokens: { usd: 1 }, error: { code: 'UnknownLimit', limit: 'usd' } },
    { what: 'a fraction', tokens: { rph: 1.5 }, error: { code: 'InvalidArgument', field: 'tokens.rph' } },
    { what: 'less than nothing', tokens: { rph: -1 }, error: { code: 'InvalidArgument', field: 'tokens.rph' } },
    { what: 'one limit right and one wrong', tokens: { tph: 1, rph: -1 }, error: { code: 'InvalidArgument' } },
  ])('who tops up $what is refused, and nothing changes', async ({ tokens, error }) => {
    const { admin, limiter } = await used();

    await expect(admin.topUp({ ...on, tokens: tokens as never })).rejects.toMatchObject(error);

    expect(await limiter.available(on)).toEqual({ rph: 10, tph: 5_000 });
  });

  it('is seen by a process that was denied before at the latest 250 ms later', async () => {
    const { bed, admin, limiter } = await used();
    expect((await limiter.tryAcquire({ ...on, consume: { rph: 11 } })).granted).toBe(false);

    await admin.topUp({ ...on, tokens: { rph: 1 } });

    bed.clock.advance(250);
    expect((await limiter.tryAcquire({ ...on, consume: { rph: 11 } })).granted).toBe(true);
  });
});
