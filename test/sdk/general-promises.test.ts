import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { short } from '../support/long.js';
import { dynamo, memory } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

const stores = [
  { ...memory, numRuns: 500 },
  { ...dynamo, numRuns: short(12, 25) },
];

/** Amounts an hour of which whole tokens come back in a minute. */
const hourly = fc.constantFrom(60, 120, 180, 240, 300, 360, 600, 1_200, 3_600);
const shares = fc.record({ a: fc.nat({ max: 60 }), b: fc.nat({ max: 60 }) });
const someOf = fc.record({ a: hourly, b: hourly }, { requiredKeys: [] }).filter((set) => Object.keys(set).length > 0);
const limitsOf = (amounts: { a?: number; b?: number }) =>
  Object.entries(amounts).map(([name, amount]) => Limit.perHour(name, amount));

/** A name of each alphabet that people use, and of none. */
const anyName = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
    fc.constantFrom(
      '__proto__',
      'constructor',
      '/',
      '%23',
      '..',
      ' ',
      'a b',
      '*',
      '"',
      '\\',
      '名',
      '🙂',
      'é'.repeat(128),
      'x'.repeat(256),
    ),
  )
  .filter((name) => !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}#]/u.test(name) && Buffer.byteLength(name) <= 256);
const limitName = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/),
  fc.constantFrom('__proto__', 'constructor', '.', '-', '_', 'size', 'ttl', 'z', 'N', 'A'.repeat(64)),
);

describe.each(stores)('on the $name store', ({ fresh, numRuns }) => {
  it('stored limits that are lowered, raised, added or removed count on a live bucket once the cache time is over', async () => {
    await fc.assert(
      fc.asyncProperty(someOf, shares, someOf, async (before, used, after) => {
        const bed = await fresh(new FakeClock());
        const [admin, limiter] = [bed.admin(), bed.limiter({ cacheTtlMs: MINUTE_MS })];
        await admin.setLimits({ entity: 'key-123' }, limitsOf(before));
        const consume = Object.fromEntries(
          Object.entries(before).map(([name, amount]) => [name, (amount / 60) * used[name as 'a' | 'b']]),
        );
        await limiter.acquire({ ...on, consume });
        await admin.setLimits({ entity: 'key-123' }, limitsOf(after));
        bed.clock.advance(MINUTE_MS);

        // Used: so many minutes' worth of an hour. One minute's worth has come back, and the share in use is the share in use.
        const left = Object.fromEntries(
          Object.entries(after).map(([name, amount]) => {
            const minutes = name in before ? Math.max(0, used[name as 'a' | 'b'] - 1) : 0;
            return [name, amount - (amount / 60) * minutes];
          }),
        );
        expect(await limiter.available(on)).toEqual(left);
        await limiter.acquire({ ...on, consume: left });
        for (const name of Object.keys(after)) {
          expect((await limiter.tryAcquire({ ...on, consume: { [name]: 1 } })).granted).toBe(false);
        }
      }),
      { numRuns },
    );
  });

  it('limits given with a request are what counts for it, whatever is stored', async () => {
    await fc.assert(
      fc.asyncProperty(someOf, someOf, async (stored, given) => {
        const bed = await fresh(new FakeClock());
        await bed.admin().setLimits({ entity: 'key-123' }, limitsOf(stored));
        const limiter = bed.limiter();
        const subject = { ...on, limits: limitsOf(given) };

        const lease = await limiter.acquire({ ...subject, consume: given });

        expect(lease.limits.map(({ limit, capacity, available }) => [limit, capacity, available])).toEqual(
          Object.entries(given).map(([name, amount]) => [name, amount, 0]),
        );
        expect((await limiter.tryAcquire({ ...subject, consume: { [Object.keys(given)[0]!]: 1 } })).granted).toBe(false);
      }),
      { numRuns },
    );
  });

  it('a name with a typo, and a cost that is negative or no whole number, are errors: nothing is written', async () => {
    const wrong = fc.oneof(
      fc.integer({ max: -1 }),
      fc.double({ noInteger: true }),
      fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, '1', null, true, 1n, [1], {}),
    );
    await fc.assert(
      fc.asyncProperty(limitName, limitName, wrong, async (name, typo, cost) => {
        fc.pre(name !== typo);
        const bed = await fresh(new FakeClock());
        const limiter = bed.limiter();
        const subject = { ...on, limits: [Limit.perHour(name, 100)] };

        await expect(limiter.acquire({ ...subject, consume: { [name]: 1, [typo]: 1 } })).rejects.toMatchObject({
          code: 'UnknownLimit',
          limit: typo,
        });
        await expect(limiter.acquire({ ...subject, consume: { [name]: cost as number } })).rejects.toMatchObject({
          code: 'InvalidArgument',
        });

        expect(limiter.stats().writes).toBe(0);
        expect(await bed.store.read(bed.bucket())).toBeUndefined();
      }),
      { numRuns },
    );
  });

  it('refunds never lift a limit above its capacity, whenever they come', async () => {
    const use = fc.record({
      cost: fc.integer({ min: 1, max: 60 }),
      waitMs: fc.nat({ max: HOUR_MS }),
      settled: fc.option(fc.nat({ max: 60 }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(use, { minLength: 1, maxLength: 5 }), fc.nat({ max: HOUR_MS }), async (uses, laterMs) => {
        const bed = await fresh(new FakeClock());
        const limiter = bed.limiter();
        const subject = { ...on, limits: [Limit.perHour('rph', 60)] };
        const held = [];
        for (const { cost, waitMs, settled } of uses) {
          const outcome = await limiter.tryAcquire({ ...subject, consume: { rph: cost } });
          if (outcome.granted) held.push({ lease: outcome.lease, settled });
          bed.clock.advance(waitMs);
        }
        bed.clock.advance(laterMs);
        for (const { lease, settled } of held) await (settled === undefined ? lease.release() : lease.settle({ rph: settled }));

        const { rph = 0 } = await limiter.available(subject);
        expect(rph).toBeLessThanOrEqual(60);
        if (rph > 0) await limiter.acquire({ ...subject, consume: { rph } });
        expect((await bed.limiter().tryAcquire({ ...subject, consume: { rph: 1 } })).granted).toBe(false);
      }),
      { numRuns },
    );
  });

  it('every name that is accepted has a bucket of its own, which charges, settles and shows', async () => {
    await fc.assert(
      fc.asyncProperty(anyName, anyName, anyName, limitName, async (entity, other, resource, name) => {
        fc.pre(entity !== other);
        const bed = await fresh(new FakeClock());
        const limiter = bed.limiter();
        const admin = bed.admin();
        await admin.setLimits({ entity }, [Limit.perHour(name, 60)]);
        await admin.setLimits({ entity: other }, [Limit.perHour(name, 60)]);
        const consume = Object.fromEntries([[name, 20]]);

        const lease = await limiter.acquire({ entity, resource, consume });
        await lease.settle(Object.fromEntries([[name, 30]]));

        expect(Object.entries(await limiter.available({ entity, resource }))).toEqual([[name, 30]]);
        expect(Object.entries(await limiter.available({ entity: other, resource }))).toEqual([[name, 60]]);
      }),
      { numRuns },
    );
  });

  it('a token bucket gains and loses nothing where months, years and daylight saving change', async () => {
    const starts = [
      '2026-03-28T20:00:00Z',
      '2026-10-24T20:00:00Z',
      '2027-02-28T12:00:00Z',
      '2028-02-28T12:00:00Z',
      '2026-12-31T12:00:00Z',
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...starts),
        fc.array(fc.integer({ min: 1, max: 20 * HOUR_MS }), { maxLength: 6 }),
        async (at, jumps) => {
          const bed = await fresh(new FakeClock(Date.parse(at)));
          const limiter = bed.limiter();
          const subject = { ...on, limits: [Limit.perDay('rpd', 24)] };
          await limiter.acquire({ ...subject, consume: { rpd: 24 } });

          let passedMs = 0;
          for (const jumpMs of jumps) {
            passedMs += jumpMs;
            bed.clock.advance(jumpMs);
            expect(await limiter.available(subject)).toEqual({ rpd: Math.min(24, Math.floor(passedMs / HOUR_MS)) });
          }
        },
      ),
      { numRuns },
    );
  });
});
