import { describe, expect, it } from 'vitest';
import { nowMs } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { leaseTokens } from '../../lib/http/lease-token.js';
import { endOnce } from '../../lib/http/settle-once.js';
import { eachStore, START_MS, type StoreUnderTest } from '../support/stores.js';
import { adjusted, closed, ending, on, release, stateOf } from './ended-leases.js';

/** A token in a hundred days: what refills meanwhile does not blur the count. */
const slowly = {
  entity: 'key-123',
  resource: 'gpt-4',
  limits: [Limit.custom({ name: 'tph', capacity: 1_000, refillAmount: 1, refillPeriodMs: 8_640_000_000 })],
};

describe.each(eachStore)('a lease that is ended over HTTP, on the $name store', ({ fresh }: StoreUnderTest) => {
  it('changes its bucket once, however often the same adjustment comes', async () => {
    const { limiter, end, positions } = await ending(fresh);
    await end(adjusted({ tpm: 120 }));
    const after = await positions();
    for (let again = 0; again < 4; again += 1) await end(adjusted({ tpm: 120 }));
    expect(await positions()).toEqual(after);
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_880 });
  });

  it('changes its bucket once when the adjustment comes again for as long as its token is good, a quarter of an hour', async () => {
    const { limiter, clock, state, end } = await ending(fresh, { ...slowly, consume: { tph: 500 } });
    const tokens = leaseTokens(['the key of these tests'], 'default', 900);
    const token = tokens.sign(state, START_MS);
    await end(adjusted({ tph: 120 }));
    for (const minutes of [1, 10, 3.9]) {
      clock.advance(minutes * 60_000);
      expect(tokens.verify(token, nowMs(clock)).id).toBe(state.id);
      await end(adjusted({ tph: 120 }));
    }
    await expect(end(adjusted({ tph: 119 }))).rejects.toMatchObject(closed);
    await expect(end(release)).rejects.toMatchObject(closed);
    expect(await limiter.available({ entity: 'key-123', resource: 'gpt-4', limits: slowly.limits })).toEqual({ tph: 880 });
  });

  it('gives all back once, however often the same release comes', async () => {
    const { limiter, end, positions } = await ending(fresh);
    await end(release);
    const after = await positions();
    await end(release);
    await end(release);
    expect(await positions()).toEqual(after);
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
  });

  it.each([
    {
      first: 'adjusted down',
      before: adjusted({ tpm: 120 }),
      later: 'adjusted to less',
      after: adjusted({ tpm: 1 }),
      tpm: 9_880,
    },
    {
      first: 'adjusted down',
      before: adjusted({ tpm: 120 }),
      later: 'adjusted to more',
      after: adjusted({ tpm: 121 }),
      tpm: 9_880,
    },
    {
      first: 'adjusted down',
      before: adjusted({ tpm: 120 }),
      later: 'adjusted on another limit as well',
      after: adjusted({ tpm: 120, rpm: 1 }),
      tpm: 9_880,
    },
    { first: 'adjusted down', before: adjusted({ tpm: 120 }), later: 'released', after: release, tpm: 9_880 },
    { first: 'adjusted to what it was', before: adjusted({ tpm: 500 }), later: 'released', after: release, tpm: 9_500 },
    { first: 'adjusted to nothing new', before: adjusted({}), later: 'released', after: release, tpm: 9_500 },
    { first: 'adjusted into debt', before: adjusted({ tpm: 30_000 }), later: 'released', after: release, tpm: -20_000 },
    { first: 'released', before: release, later: 'adjusted', after: adjusted({ tpm: 120 }), tpm: 10_000 },
    { first: 'released', before: release, later: 'adjusted to nothing new', after: adjusted({}), tpm: 10_000 },
  ])('is closed, and unchanged, when it was $first and is then $later', async ({ before, after, tpm }) => {
    const { limiter, end, state, positions } = await ending(fresh);
    await end(before);
    const settled = await positions();
    await expect(end(after)).rejects.toMatchObject({ code: 'LeaseClosed', leaseId: state.id });
    expect(await positions()).toEqual(settled);
    expect(await limiter.available(on)).toMatchObject({ tpm });
  });

  it('takes the same adjustment for the same, whatever the order of its limits', async () => {
    const { limiter, end } = await ending(fresh);
    await end(adjusted({ rpm: 2, tpm: 120 }));
    await end(adjusted({ tpm: 120, rpm: 2 }));
    expect(await limiter.available(on)).toEqual({ rpm: 98, tpm: 9_880 });
  });

  it('stays open after an ending that was refused', async () => {
    const { limiter, end } = await ending(fresh);
    await expect(end(adjusted({ tpm: -1 }))).rejects.toMatchObject({ code: 'InvalidArgument', field: 'actual.tpm' });
    await expect(end(adjusted({ tpd: 1 }))).rejects.toMatchObject({ code: 'UnknownLimit', limit: 'tpd' });
    await expect(end(adjusted('all' as never))).rejects.toMatchObject({ code: 'InvalidArgument', field: 'actual' });
    await end(release);
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
  });

  it('is ended by exactly one of many endings that come at the same time, and its bucket shows that one alone', async () => {
    const { limiter, end } = await ending(fresh);
    const endings = [release, ...Array.from({ length: 9 }, (_, index) => adjusted({ tpm: 100 * index }))];
    const outcomes = await Promise.allSettled(endings.map(end));
    const winners = endings.filter((_, index) => outcomes[index]?.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject(closed);
    const [winner] = winners;
    const tpm = winner?.kind === 'adjust' ? (winner.actual.tpm ?? Number.NaN) : 0;
    expect(await limiter.available(on)).toEqual({ rpm: winner?.kind === 'adjust' ? 99 : 100, tpm: 10_000 - tpm });
  });

  it('is ended once by the same ending from many callers at the same time, and all are told that it is', async () => {
    const { limiter, end } = await ending(fresh);
    await Promise.all(Array.from({ length: 10 }, () => end(adjusted({ tpm: 120 }))));
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_880 });
  });

  it('gives back nothing of another lease on the same bucket', async () => {
    const { limiter, end } = await ending(fresh);
    const other = await limiter.acquire({ ...on, consume: { tpm: 700 } });
    await end(release);
    await end(release);
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 9_300 });
    await other.release();
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
  });

  it('is settled at every level and released on every resource, in one transaction', async () => {
    const bed = await fresh();
    const admin = bed.admin();
    await admin.createEntity({ entity: 'acme' });
    await admin.createEntity({ entity: 'team', parent: 'acme' });
    await admin.setLimits({ system: true }, on.limits);
    const limiter = bed.limiter();
    const request = {
      entity: 'team',
      resource: 'gpt-4',
      consume: { tpm: 500 },
      also: [{ resource: 'search', consume: { rpm: 3 } }],
    };
    const [first, second] = [await limiter.acquire(request), await limiter.acquire(request)];
    const parts = { ...bed, deadlineMs: 30_000 };
    const left = async (entity: string, resource: string) => (await limiter.available({ entity, resource })).tpm;

    await endOnce(parts, stateOf(first), adjusted({ tpm: 40 }));
    expect([await left('team', 'gpt-4'), await left('acme', 'gpt-4')]).toEqual([9_460, 9_460]);
    await endOnce(parts, stateOf(second), release);

    expect([await left('team', 'gpt-4'), await left('acme', 'gpt-4')]).toEqual([9_960, 9_960]);
    for (const entity of ['team', 'acme'])
      expect(await limiter.available({ entity, resource: 'search' })).toMatchObject({ rpm: 97 });
  });

  it('moves no observed limit that did not charge it', async () => {
    const bed = await fresh();
    const soft = { ...on, limits: [Limit.perMinute('tpm', 400, { mode: 'observe' })] };
    const limiter = bed.limiter();
    const lease = await limiter.acquire({ ...soft, consume: { tpm: 500 } });
    await endOnce({ ...bed, deadlineMs: 30_000 }, stateOf(lease), release);
    expect(await limiter.available(soft)).toEqual({ tpm: 400 });
  });
});

describe.each(eachStore)('a bucket that changed since the grant, on the $name store', ({ fresh }: StoreUnderTest) => {
  // 500 of 1,000 a minute are half a minute, and half the bucket.
  const before = { ...on, limits: [Limit.perMinute('tpm', 1_000)], consume: { tpm: 500 } };

  it.each([
    { change: 'twice the window', limit: Limit.perMinute('tpm', 1_000, { burst: 2_000 }), to: 250, available: 1_500 },
    { change: 'twice the window', limit: Limit.perMinute('tpm', 1_000, { burst: 2_000 }), to: 750, available: 500 },
    { change: 'half the window', limit: Limit.perMinute('tpm', 1_000, { burst: 500 }), to: 250, available: 375 },
    { change: 'half the window', limit: Limit.perMinute('tpm', 1_000, { burst: 500 }), to: 750, available: 125 },
    { change: 'half the rate', limit: Limit.perMinute('tpm', 500, { burst: 1_000 }), to: 0, available: 1_000 },
    { change: 'ten times the amount in the same window', limit: Limit.perMinute('tpm', 10_000), to: 250, available: 7_500 },
  ])('keeps the share that the lease used when it has $change, settled to $to of 500', async ({ limit, to, available }) => {
    const { limiter, end } = await ending(fresh, before);
    const now = { ...on, limits: [limit] };
    await (await limiter.acquire({ ...now, consume: { tpm: 1 } })).release();
    await end(adjusted({ tpm: to }));
    expect(await limiter.available(now)).toEqual({ tpm: available });
    await expect(end(release)).rejects.toMatchObject(closed);
    await end(adjusted({ tpm: to }));
    expect(await limiter.available(now)).toEqual({ tpm: available });
  });

  it.each([
    { how: 'adjusted', closing: adjusted({ tpm: 120 }), tpm: 9_880 },
    { how: 'adjusted, its slot named', closing: adjusted({ tpm: 120, inflight: 1 }), tpm: 9_880 },
    { how: 'released', closing: release, tpm: 10_000 },
  ])('frees its slot with the rest when it is $how, on every resource that it drew on', async ({ closing, tpm }) => {
    const limits = [...on.limits, Limit.concurrent('inflight', 1, { leaseMs: 60_000 })];
    const request = { ...on, limits, consume: { rpm: 1, tpm: 500, inflight: 1 } };
    const also = [{ resource: 'embeddings', consume: { inflight: 1 } }];
    const { limiter, end } = await ending(fresh, { ...request, also });
    expect(await limiter.available({ ...on, limits })).toMatchObject({ inflight: 0 });

    await end(closing);
    await end(closing);

    expect(await limiter.available({ ...on, limits })).toMatchObject({ inflight: 1, tpm });
    expect(await limiter.available({ ...on, resource: 'embeddings', limits })).toMatchObject({ inflight: 1 });
  });

  it('owes what a lease used when the bucket was deleted meanwhile, and no more', async () => {
    const { store, limiter, end, key } = await ending(fresh);
    await store.transact([{ kind: 'remove', key }]);
    await end(adjusted({ tpm: 800 }));
    expect(await limiter.available(on)).toMatchObject({ tpm: 9_200 });
  });

  it('is full, and not more, when it was deleted meanwhile and its lease is released', async () => {
    const { store, limiter, end, key } = await ending(fresh);
    await store.transact([{ kind: 'remove', key }]);
    await end(release);
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
    expect((await limiter.tryAcquire({ ...on, consume: { tpm: 10_001 } }).catch((error) => error)).code).toBe(
      'CostExceedsCapacity',
    );
    await limiter.acquire({ ...on, consume: { tpm: 10_000 } });
    expect((await limiter.tryAcquire({ ...on, consume: { tpm: 1 } })).granted).toBe(false);
  });
});
