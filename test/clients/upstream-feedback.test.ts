import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { InvalidArgument } from '../../lib/errors.js';
import { short } from '../support/long.js';
import { eachStore, memory } from '../support/stores.js';
import { seeded } from '../support/virtual-time.js';
import { type Begun, LIMITS, MODEL, onAccount } from './account-clients.js';

describe.each(eachStore)('feedback of the provider, on the $name store', ({ fresh }) => {
  it('lowers the level within one call to what is left after others used the account', async () => {
    const { account, client, left } = await onAccount(await fresh());
    const { call } = client();
    await call(42);
    expect(await left()).toEqual({ rpm: 599, tpm: 59_958 });
    account.use(30_000, 5);
    await call(42);
    expect(await left()).toEqual({ rpm: 593, tpm: 29_916 });
    expect(account.left).toEqual({ requests: 593, tokens: 29_916 });
  });

  it('lowers nothing by fifty calls of its own at once, in two processes, whose answers end in any order', async () => {
    const { account, client, left } = await onAccount(await fresh());
    const clients = [client(), client()];
    const begun = await Promise.all(Array.from({ length: 50 }, (_, index) => (clients[index % 2] ?? client()).begin(42)));
    const random = seeded(3);
    for (const call of begun.sort(() => random() - 0.5)) await call.end();
    expect(await left()).toEqual({ rpm: 550, tpm: 57_900 });
    expect(account.left).toEqual({ requests: 550, tokens: 57_900 });

    account.use(20_000, 3);
    await clients[0]?.call(42);
    expect(await left()).toEqual({ rpm: 546, tpm: 37_858 });
  });

  it('lowers the level once when fifty answers tell of the same use by others', async () => {
    const { account, client, left } = await onAccount(await fresh());
    const { begin } = client();
    account.use(20_000);
    const begun = await Promise.all(Array.from({ length: 50 }, () => begin(42)));
    await Promise.all(begun.map((call) => call.end()));
    expect(await left()).toEqual({ rpm: 549, tpm: 37_900 });
  });

  it('takes no write more, and no read', async () => {
    const bed = await fresh();
    const { account, client } = await onAccount(bed);
    const [with_, without] = [client(), client({ feedback: undefined })];
    for (const { call, limiter } of [with_, without]) {
      await call(42);
      const { writes } = limiter.stats();
      account.use(1_000);
      for (let calls = 0; calls < 5; calls += 1) await call(42);
      expect(limiter.stats().writes - writes).toBe(10);
    }
  });
});

describe('feedback of the provider', () => {
  it.each([
    { when: 'calls use what they reserved at most', least: 10, most: 100 },
    { when: 'calls use far more than they reserved', least: 10, most: 900 },
  ])('leaves the level at what is left when $when, however they overlap and whatever others use', async ({ least, most }) => {
    for (let seed = 1; seed <= short(8, 200); seed += 1) {
      const bed = await memory.fresh();
      const { account, client, left } = await onAccount(bed);
      const { begin, call } = client();
      const random = seeded(seed);
      const between = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
      const isShared = seed % 2 === 0;
      const underWay: Begun[] = [];
      for (let step = 0; step < 60; step += 1) {
        if (random() < 0.5) underWay.push(await begin(between(least, most)));
        else if (underWay.length > 0) await underWay.splice(between(0, underWay.length - 1), 1)[0]?.end();
        if (isShared && random() < 0.05) account.use(between(1, 3_000));
        bed.clock.advance(between(0, 100));
      }
      for (const one of underWay) await one.end();
      // Only the last call knows what others have used since: until then it may be more than is left.
      const { rpm = 0, tpm = 0 } = await left();
      expect({ seed, rpm, tpm }).toSatisfy(() => rpm >= account.left.requests && tpm >= account.left.tokens);
      if (!isShared) expect({ seed, rpm, tpm }).toEqual({ seed, rpm: account.left.requests, tpm: account.left.tokens });
      await call(50);
      expect({ seed, ...(await left()) }).toEqual({ seed, rpm: account.left.requests, tpm: account.left.tokens });
    }
  });

  it('never raises the level', async () => {
    const bed = await memory.fresh();
    const { account, client, left } = await onAccount(bed);
    const { call, limiter } = client();
    const lease = await limiter.acquire({ entity: 'acme', resource: MODEL, consume: { tpm: 50_000, rpm: 100 } });
    await call(42);
    expect(await left()).toEqual({ rpm: 499, tpm: 9_958 });
    expect(account.left).toEqual({ requests: 599, tokens: 59_958 });
    await lease.release();
    expect(await left()).toEqual({ rpm: 599, tpm: 59_958 });
  });

  it('counts what came back since the provider said it', async () => {
    const bed = await memory.fresh();
    const { account, client, left } = await onAccount(bed);
    account.use(40_000, 0);
    const { begin } = client();
    const begun = await begin(1_000);
    bed.clock.advance(10_000);
    await begun.end();
    // 19,000 were left, and 10,000 come back in ten seconds.
    expect(await left()).toEqual({ rpm: 600, tpm: 29_000 });
    expect(account.left.tokens).toBe(29_000);
  });

  it('stops calls that the provider would turn away', async () => {
    const bed = await memory.fresh();
    const { account, client, left } = await onAccount(bed);
    account.use(59_990, 0);
    const { call } = client();
    expect([await call(42), await left()]).toEqual([429, { rpm: 599, tpm: 10 }]);
    // The limiter itself denies it: the provider is not asked again.
    expect([await call(42), account.left.requests]).toEqual([429, 599]);
    bed.clock.advance(1_000);
    expect([await call(42), await left()]).toEqual([200, { rpm: 599, tpm: 968 }]);
  });

  it('is for the limits of the account alone, above the caller’s own', async () => {
    const bed = await memory.fresh();
    const { account, client, left } = await onAccount(bed);
    await bed.admin().createEntity({ entity: 'acme' });
    await bed.admin().createEntity({ entity: 'team', parent: 'acme' });
    await bed
      .admin()
      .setLimits({ entity: 'team', resource: MODEL }, [Limit.perMinute('rpm', 60), Limit.perMinute('tpm', 60_000)]);
    account.use(50_000);
    const { call, limiter } = client({ entity: 'team' });
    await call(42);
    const { limits } = await limiter.status({ entity: 'team', resource: MODEL });
    expect(limits.map(({ entity, limit, available }) => [entity, limit, available])).toEqual([
      ['team', 'rpm', 59],
      ['team', 'tpm', 59_958],
      ['acme', 'rpm', 598],
      ['acme', 'tpm', 9_958],
    ]);
    expect(await left('acme')).toEqual({ rpm: 598, tpm: 9_958 });
  });

  it('is for the limit that holds as much as the provider’s, of several that count the same', async () => {
    const bed = await memory.fresh();
    const day = [Limit.perDay('rpd', 10_000), Limit.perDay('tpd', 1_000_000)];
    const { account, client, left } = await onAccount(bed, [...day, ...LIMITS]);
    account.use(50_000, 300);
    await client().call(42);
    expect(await left()).toEqual({ rpm: 299, tpm: 9_958, rpd: 9_999, tpd: 999_958 });
  });

  it('is for the limit over the shortest time where none holds as much', async () => {
    const bed = await memory.fresh();
    const limits = [Limit.perDay('tpd', 1_000_000), Limit.perMinute('tpm', 50_000), Limit.perHour('tph', 500_000)];
    const { account, client, left } = await onAccount(bed, limits);
    account.use(50_000);
    await client().call(42);
    expect(await left()).toEqual({ tpm: 9_958, tph: 499_958, tpd: 999_958 });
  });

  it('touches neither quotas, slots, observed limits that are overdrawn, nor buckets in shards', async () => {
    const bed = await memory.fresh();
    const quota = Limit.quota('tpd', 60_000, { per: 'day', timeZone: 'UTC' });
    const { account, client, left } = await onAccount(bed, [quota, Limit.concurrent('inflight', 5, { leaseMs: 600_000 })]);
    account.use(50_000);
    await client().call(42);
    expect(await left()).toEqual({ tpd: 59_958, inflight: 5 });

    await bed.admin().setLimits({ entity: 'acme', resource: MODEL }, LIMITS, { shards: 2 });
    await client().call(42);
    expect(await left()).toEqual({ rpm: 599, tpm: 59_958 });
  });

  it('lets calls through where there is nothing to lower, and says so once', async () => {
    const { client, left, warnings } = await onAccount(await memory.fresh());
    const { call } = client({ feedback: 'another' });
    expect([await call(42), await call(42)]).toEqual([200, 200]);
    expect(await left()).toEqual({ rpm: 598, tpm: 59_916 });
    expect(warnings).toEqual([
      'No feedback of the provider: another has no limits on gpt-4o, or none that is a token bucket in one piece',
    ]);
  });

  it('goes on though a body is never read', async () => {
    const bed = await memory.fresh();
    const { account, client, left } = await onAccount(bed);
    const { begin, call } = client();
    await begin(100);
    account.use(50_000);
    await call(42);
    expect((await left()).tpm).toBe(59_858);
    bed.clock.advance(600_001);
    account.use(50_000);
    await call(42);
    await call(42);
    expect((await left()).tpm).toBe(9_916);
  });

  it('is refused where it names nobody', async () => {
    const { client } = await onAccount(await memory.fresh());
    expect(() => client({ feedback: 'a#b' })).toThrow(InvalidArgument);
  });
});
