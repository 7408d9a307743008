import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { LeaseClosed } from '../../lib/errors.js';
import type { Lease } from '../../lib/lease.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)] };
const request = { ...on, consume: { rpm: 1, tpm: 500 } };

describe.each(eachStore)('a lease on the $name store', ({ fresh }: StoreUnderTest) => {
  it('is settled to what was said last, not to the sum', async () => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);

    await lease.settle({ tpm: 2_000 });
    await lease.settle({ tpm: 300 });
    await lease.settle({ tpm: 300 });

    expect(lease.charged).toEqual({ rpm: 1, tpm: 300 });
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_700 });
  });

  it('is settled by no write at all to what is charged already', async () => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);

    await lease.settle({ rpm: 1, tpm: 500 });
    await lease.settle({});
    await lease.adjust({ tpm: 0 });

    expect(limiter.stats().writes).toBe(1);
  });

  it('adds up adjustments, and a settlement replaces them', async () => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);

    await lease.adjust({ tpm: 100 });
    await lease.adjust({ rpm: 2, tpm: -50 });
    expect(lease.charged).toEqual({ rpm: 3, tpm: 550 });
    await lease.settle({ tpm: 10 });

    expect(lease.charged).toEqual({ rpm: 3, tpm: 10 });
    expect(await limiter.available(on)).toEqual({ rpm: 97, tpm: 9_990 });
  });

  it('takes adjustments that are made at the same time one after the other', async () => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);

    await Promise.all([lease.adjust({ tpm: 1_000 }), lease.settle({ tpm: 700 }), lease.adjust({ tpm: -200 })]);

    expect(lease.charged).toEqual({ rpm: 1, tpm: 500 });
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_500 });
  });

  it.each([
    {
      call: 'adjust',
      given: { tpm: -501 },
      says: 'Expected difference.tpm to be an integer from -500 (all that is charged) to 9007199254740491, got -501',
    },
    { call: 'adjust', given: { tpm: 9_007_199_254_740_491 + 1 }, says: 'got 9007199254740492' },
    { call: 'adjust', given: { tpm: 0.5 }, says: 'difference.tpm' },
    { call: 'adjust', given: { tpm: Number.NaN }, says: 'got NaN' },
    { call: 'adjust', given: { tpm: '5' as unknown as number }, says: 'got "5"' },
    { call: 'adjust', given: null, says: 'Expected difference to be an object of tokens by limit name, got null' },
    { call: 'settle', given: { tpm: -1 }, says: 'Expected actual.tpm to be an integer from 0 to 9007199254740991, got -1' },
    { call: 'settle', given: { rpm: 1, tpm: 1.5 }, says: 'actual.tpm' },
    { call: 'settle', given: { tpm: undefined as unknown as number }, says: 'got undefined' },
    { call: 'settle', given: [5], says: 'Expected actual to be an object of tokens by limit name, got [5]' },
  ] as const)('refuses to $call by $given and changes nothing', async ({ call, given, says }) => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);

    const refused = lease[call](given as unknown as Record<string, number>);

    await expect(refused).rejects.toMatchObject({ code: 'InvalidArgument', message: expect.stringContaining(says) });
    expect(lease.charged).toEqual({ rpm: 1, tpm: 500 });
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_500 });
  });

  it('is adjusted down to nothing, and no further', async () => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);

    await lease.adjust({ rpm: -1, tpm: -500 });

    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
    await expect(lease.adjust({ tpm: -1 })).rejects.toMatchObject({ code: 'InvalidArgument' });
  });

  it.each(['adjust', 'settle'] as const)('refuses to %s a limit that it does not have, and names those it has', async (call) => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);

    await expect(lease[call]({ tpm: 1, usd: 5 })).rejects.toMatchObject({
      code: 'UnknownLimit',
      limit: 'usd',
      known: ['rpm', 'tpm'],
    });

    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_500 });
  });

  it('gives back on release all that is charged then, what was settled included', async () => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);
    await lease.settle({ tpm: 9_000 });

    await lease.release();

    expect(lease.closed).toBe(true);
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
  });

  it('never lifts a limit above its capacity by what it gives back late', async () => {
    const { limiter: newLimiter, clock } = await fresh();
    const limiter = newLimiter();
    const lease = await limiter.acquire(request);
    clock.advance(3_600_000);

    await lease.release();

    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
    expect((await limiter.tryAcquire({ ...on, consume: { rpm: 100 } })).granted).toBe(true);
    expect((await limiter.tryAcquire({ ...on, consume: { rpm: 1 } })).granted).toBe(false);
  });

  it.each([
    { ended: 'released', end: (lease: Lease) => lease.release(), left: { rpm: 100, tpm: 10_000 } },
    { ended: 'disposed of', end: (lease: Lease) => lease[Symbol.asyncDispose](), left: { rpm: 99, tpm: 9_500 } },
    { ended: 'abandoned', end: (lease: Lease) => lease.abandon(), left: { rpm: 100, tpm: 10_000 } },
  ])('answers every call with LeaseClosed once it is $ended', async ({ end, left }) => {
    const limiter = (await fresh()).limiter();
    const lease = await limiter.acquire(request);
    await end(lease);

    for (const call of [lease.adjust({ tpm: 1 }), lease.settle({ tpm: 1 }), lease.release()]) {
      await expect(call).rejects.toBeInstanceOf(LeaseClosed);
      await expect(call).rejects.toMatchObject({ code: 'LeaseClosed', leaseId: lease.id });
    }
    await lease.abandon();
    await lease[Symbol.asyncDispose]();

    expect(await limiter.available(on)).toEqual(left);
  });

  it('keeps an unsettled charge at the end of its scope', async () => {
    const limiter = (await fresh()).limiter();
    {
      await using lease = await limiter.acquire(request);
      expect(lease.closed).toBe(false);
    }

    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_500 });
  });

  it('keeps what was settled when the work throws afterwards, and gives the rest back', async () => {
    const limiter = (await fresh()).limiter();

    const run = limiter.run(request, async (lease) => {
      await lease.settle({ tpm: 800 });
      throw new Error('the answer could not be stored');
    });

    await expect(run).rejects.toThrow('the answer could not be stored');
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 9_200 });
  });

  it('keeps its charge when the work returns, and the work returns through run', async () => {
    const limiter = (await fresh()).limiter();

    expect(await limiter.run(request, (lease) => lease.charged)).toEqual({ rpm: 1, tpm: 500 });

    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_500 });
  });

  it('is settled by another process that is given its state', async () => {
    const bed = await fresh();
    const { id, entity, resource, grants } = await bed.limiter().acquire(request);
    const other = bed.limiter();

    const reopened = other.reopen({ id, entity, resource, grants });
    expect(reopened.charged).toEqual({ rpm: 1, tpm: 500 });
    await reopened.settle({ tpm: 200 });
    expect(await other.available(on)).toEqual({ rpm: 99, tpm: 9_800 });
    await reopened.release();

    expect(await other.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
    await expect(reopened.settle({ tpm: 1 })).rejects.toMatchObject({ code: 'LeaseClosed', leaseId: id });
  });

  it('says what each of its limits counts', async () => {
    const limits = [
      Limit.perMinute('rpm', 5),
      Limit.perMinute('words', 5, { counts: 'outputTokens' }),
      Limit.perMinute('pages', 5),
      Limit.perMinute('tpm', 5, { weights: { output: 5 } }),
    ];

    const lease = await (await fresh()).limiter().acquire({ ...on, limits, consume: {} });

    expect(lease.counts).toEqual([
      { name: 'rpm', counts: 'requests' },
      { name: 'words', counts: 'outputTokens' },
      { name: 'pages', counts: 'custom' },
      { name: 'tpm', counts: 'tokens', weights: { input: 1, cachedInput: 1, output: 5 } },
    ]);
  });

  it('charges and settles limits that are named like members of objects', async () => {
    const limiter = (await fresh()).limiter();
    const limits = [Limit.perMinute('constructor', 10), Limit.perMinute('__proto__', 10), Limit.perMinute('a.b', 10)];
    const subject = { entity: 'key-123', resource: 'gpt-4', limits };

    const lease = await limiter.acquire({ ...subject, consume: { ['__proto__']: 4, 'a.b': 1 } });
    await lease.settle({ constructor: 3 as never, ['__proto__']: 2 });

    expect(Object.entries(await limiter.available(subject))).toEqual([
      ['constructor', 7],
      ['__proto__', 8],
      ['a.b', 9],
    ]);
  });

  it('ends with what was used of each resource, in one write each', async () => {
    const limiter = (await fresh()).limiter();
    const limits = [
      Limit.perMinute('rpm', 100),
      Limit.perMinute('tpm', 10_000),
      Limit.concurrent('inflight', 2, { leaseMs: 60_000 }),
    ];
    const consume = { rpm: 1, tpm: 500, inflight: 1 };
    const lease = await limiter.acquire({ ...on, limits, consume, also: [{ resource: 'openai', consume }] });
    expect(lease.countsOn('openai').map(({ counts }) => counts)).toEqual(['requests', 'tokens', 'inFlight']);
    const { writes } = limiter.stats();

    await lease.end({ tpm: 40 }, { also: [{ resource: 'openai', actual: { tpm: 30 } }] });

    expect(limiter.stats().writes - writes).toBe(2);
    expect(await limiter.available({ ...on, limits })).toEqual({ rpm: 99, tpm: 9_960, inflight: 2 });
    expect(await limiter.available({ ...on, resource: 'openai', limits })).toEqual({ rpm: 99, tpm: 9_970, inflight: 2 });
  });

  it('ends with nothing done where it was not granted a limit of another resource', async () => {
    const limiter = (await fresh()).limiter();
    const limits = [Limit.perMinute('tpm', 10_000)];
    const lease = await limiter.acquire({ ...on, limits, consume: { tpm: 500 }, also: [{ resource: 'openai', consume: {} }] });
    const wrong = { also: [{ resource: 'openai', actual: { rpm: 1 } }] };
    await expect(lease.end({ tpm: 40 }, wrong)).rejects.toMatchObject({ code: 'UnknownLimit', limit: 'rpm' });
    expect([lease.closed, lease.charged]).toEqual([false, { tpm: 500 }]);
  });
});
