import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { LeaseClosed } from '../../lib/errors.js';
import { eachStore } from '../support/stores.js';

const limits = [Limit.perMinute('rpm', 60), Limit.perMinute('tpm', 60_000)];
const at = { entity: 'key-123', resource: 'gpt-4' };

describe.each(eachStore)('a lease that ends with what somebody else knows to be left, on the $name store', ({ fresh }) => {
  it.each([
    { when: 'less than it seems', told: [{ limit: 'tpm', tokens: 20_000, afterMs: 0 }], left: { rpm: 59, tpm: 20_000 } },
    { when: 'as much', told: [{ limit: 'tpm', tokens: 59_900, afterMs: 0 }], left: { rpm: 59, tpm: 59_900 } },
    { when: 'more', told: [{ limit: 'tpm', tokens: 59_990, afterMs: 0 }], left: { rpm: 59, tpm: 59_900 } },
    { when: 'more than it holds', told: [{ limit: 'tpm', tokens: 900_000, afterMs: 0 }], left: { rpm: 59, tpm: 59_900 } },
    { when: 'nothing', told: [{ limit: 'tpm', tokens: 0, afterMs: 0 }], left: { rpm: 59, tpm: 0 } },
    {
      when: 'less ten seconds before',
      told: [{ limit: 'tpm', tokens: 20_000, afterMs: -10_000 }],
      left: { rpm: 59, tpm: 30_000 },
    },
    {
      when: 'twice something, of which the least counts',
      told: [
        { limit: 'tpm', tokens: 7, afterMs: 0 },
        { limit: 'tpm', tokens: 20_000, afterMs: 0 },
      ],
      left: { rpm: 59, tpm: 7 },
    },
    { when: 'less of what it did not use', told: [{ limit: 'rpm', tokens: 3, afterMs: 0 }], left: { rpm: 3, tpm: 59_900 } },
    {
      when: 'less of a limit that it does not have',
      told: [{ limit: 'usd', tokens: 0, afterMs: 0 }],
      left: { rpm: 59, tpm: 59_900 },
    },
  ])('keeps to $when', async ({ told, left }) => {
    const bed = await fresh();
    const limiter = bed.limiter();
    const lease = await limiter.acquire({ ...at, limits, consume: { rpm: 1, tpm: 500 } });
    await lease.end({ tpm: 100 }, { told: told.map((one) => ({ entity: 'key-123', ...one })) });
    expect(await limiter.available({ ...at, limits })).toEqual(left);
    expect(lease.charged).toEqual({ rpm: 1, tpm: 100 });
  });

  it('leaves other entities, and other resources of the same request, as they are', async () => {
    const bed = await fresh();
    const limiter = bed.limiter();
    const lease = await limiter.acquire({
      ...at,
      limits,
      consume: { rpm: 1 },
      also: [{ resource: 'other', consume: { rpm: 1 } }],
    });
    const told = [
      { entity: 'key-123', limit: 'rpm', tokens: 5, afterMs: 0 },
      { entity: 'key-456', limit: 'tpm', tokens: 5, afterMs: 0 },
    ];
    await lease.end({}, { told });
    expect(await limiter.available({ ...at, limits })).toEqual({ rpm: 5, tpm: 60_000 });
    expect(await limiter.available({ entity: 'key-123', resource: 'other', limits })).toEqual({ rpm: 59, tpm: 60_000 });
  });

  it('lowers a level once, by however many leases of however many processes it is told', async () => {
    const bed = await fresh();
    const leases = await Promise.all(
      [bed.limiter(), bed.limiter()].flatMap((limiter) =>
        Array.from({ length: 10 }, () => limiter.acquire({ ...at, limits, consume: { tpm: 100 } })),
      ),
    );
    await Promise.all(
      leases.map((lease) => lease.end({ tpm: 50 }, { told: [{ entity: 'key-123', limit: 'tpm', tokens: 30_000, afterMs: 0 }] })),
    );
    const { tpm = 0 } = await bed.limiter().available({ ...at, limits });
    // What some give back after the others told it is above that: at most 50 of each.
    expect(tpm).toBeGreaterThanOrEqual(30_000);
    expect(tpm).toBeLessThanOrEqual(31_000);
  });

  it('stays charged with what it used itself, and is told nothing once it has ended', async () => {
    const bed = await fresh();
    const limiter = bed.limiter();
    const lease = await limiter.acquire({ ...at, limits, consume: { tpm: 500 } });
    await lease.end({}, { told: [{ entity: 'key-123', limit: 'tpm', tokens: 10, afterMs: 0 }] });
    expect(lease.charged).toEqual({ rpm: 0, tpm: 500 });
    await expect(lease.end({}, { told: [] })).rejects.toThrow(LeaseClosed);
  });
});
