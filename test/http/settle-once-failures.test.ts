import { fc } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { Ending } from '../../lib/http/settle-once.js';
import { LEASE_SK, leasePk } from '../../lib/store/schema.js';
import type { Store } from '../../lib/store/store.js';
import { type Fate, UnreliableStore } from '../sdk/unreliable-store.js';
import { eachStore, memory, START_MS, type StoreUnderTest } from '../support/stores.js';
import { adjusted, closed, ending, on, release } from './ended-leases.js';

const request = { ...on, consume: { rpm: 1, tpm: 500 } };

/** A lease whose endings go through a store that treats its calls as `fates` say. */
async function endingThrough(
  fresh: StoreUnderTest['fresh'],
  fates: readonly Fate[],
  usual: Fate = 'answered',
  deadlineMs = 30_000,
) {
  let unreliable: UnreliableStore | undefined;
  const bed = await ending(fresh, request, {
    deadlineMs,
    through: (store) => {
      unreliable = new UnreliableStore(store);
      return unreliable;
    },
  });
  const store = unreliable!;
  store.fates = [...fates];
  store.usual = usual;
  return { ...bed, unreliable: store };
}

describe.each(eachStore)('an ending over the $name store that gives no answer', ({ fresh }: StoreUnderTest) => {
  it.each<{ when: string; fates: readonly Fate[]; calls: number }>([
    { when: 'its answer is lost', fates: ['lost'], calls: 2 },
    { when: 'it is lost before it arrives', fates: ['unsent'], calls: 2 },
    { when: 'it is throttled, then its answer is lost', fates: ['throttled', 'lost'], calls: 3 },
    { when: 'its answers are lost four times', fates: ['lost', 'lost', 'lost', 'lost'], calls: 5 },
  ])('happens once when $when', async ({ fates, calls }) => {
    const { limiter, end, unreliable } = await endingThrough(fresh, fates);
    await end(adjusted({ tpm: 120 }));
    expect(unreliable.calls).toEqual(Array.from({ length: calls }, () => 'transact'));
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_880 });
  });

  it('is recognised as its own when it comes again after the answer was lost for good', async () => {
    const { limiter, end, unreliable } = await endingThrough(fresh, ['lost'], 'refused');
    await expect(end(release)).rejects.toMatchObject({ code: 'LimiterUnavailable' });
    unreliable.usual = 'answered';
    await end(release);
    await expect(end(adjusted({ tpm: 0 }))).rejects.toMatchObject(closed);
    expect(await limiter.available(on)).toEqual({ rpm: 100, tpm: 10_000 });
  });

  it('changes nothing when the store is silent past the deadline, and may be tried again', async () => {
    const { limiter, end, unreliable } = await endingThrough(fresh, [], 'hanging', 20);
    await expect(end(release)).rejects.toMatchObject({ code: 'LimiterUnavailable', cause: { name: 'StoreFailure' } });
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_500 });
    unreliable.usual = 'answered';
    await end(adjusted({ tpm: 7 }));
    expect(await limiter.available(on)).toEqual({ rpm: 99, tpm: 9_993 });
  });
});

it('an ending is sent once to a store that refuses it', async () => {
  const { end, unreliable } = await endingThrough(memory.fresh, [], 'refused');
  await expect(end(release)).rejects.toMatchObject({ code: 'LimiterUnavailable' });
  expect(unreliable.calls).toEqual(['transact']);
});

it('the record of an ending outlives every token of its lease, which may start a day ahead', async () => {
  const { store, end, state, namespace } = await ending(memory.fresh);
  await end(release);
  const [record] = await store.getItems([{ pk: leasePk(namespace, state.id), sk: LEASE_SK }]);
  expect(record).toMatchObject({ ending: 'release', ttl: START_MS / 1_000 + 259_200 });
});

it('an ending that meets another window with each attempt gives up, changes nothing and says so', async () => {
  const windows = [Limit.perMinute('tpm', 10_000, { burst: 20_000 }), Limit.perMinute('tpm', 10_000)];
  let attempts = 0;
  const changing = (store: Store): Store =>
    new Proxy(store, {
      get(target, property: keyof Store) {
        if (property !== 'transact') return target[property].bind(target);
        return async (...given: Parameters<Store['transact']>) => {
          await limiter.acquire({ ...on, limits: [windows[attempts % 2]!], consume: { tpm: 0 } });
          attempts += 1;
          return target.transact(...given);
        };
      },
    });
  const bed = await ending(memory.fresh, { ...on, limits: [windows[1]!], consume: { tpm: 500 } }, { through: changing });
  const { limiter } = bed;
  const left = async () => (await limiter.available({ ...on, limits: [windows[1]!] })).tpm;
  await expect(bed.end(release)).rejects.toMatchObject({ code: 'LimiterUnavailable' });
  expect(attempts).toBe(8);
  expect(await left()).toBe(9_500);
});

const anyEnding: fc.Arbitrary<Ending> = fc.oneof(
  fc.constant(release),
  fc.record({ tpm: fc.nat(1_200) }, { requiredKeys: [] }).map(adjusted),
  fc.record({ tpm: fc.nat(1_200), rpm: fc.nat(3) }).map(adjusted),
);
const anyFate = fc.constantFrom<Fate>('answered', 'answered', 'lost', 'unsent', 'throttled', 'refused');

describe.each([
  { name: 'memory', store: memory, runs: 150 },
  { name: 'DynamoDB', store: eachStore[1]!, runs: 10 },
])('no sequence of endings of one lease on the $name store', ({ store: { fresh }, runs }) => {
  it('comes to anything but the one that happened first, whichever answers were lost and whoever called at once', async () => {
    const calls = fc.array(fc.array(anyEnding, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(calls, fc.array(anyFate, { maxLength: 12 }), async (rounds, fates) => {
        const { limiter, end, unreliable } = await endingThrough(fresh, fates);
        const taken: Ending[] = [];
        for (const round of rounds) {
          const outcomes = await Promise.allSettled(round.map(end));
          for (const [index, outcome] of outcomes.entries()) {
            if (outcome.status === 'fulfilled') taken.push(round[index]!);
            else expect(['LeaseClosed', 'LimiterUnavailable']).toContain(outcome.reason.code);
          }
        }
        unreliable.fates = [];
        const left = await limiter.available(on);
        const charged = (how: Ending | undefined) => {
          const { rpm = 1, tpm = 500 } = how?.kind === 'release' ? { rpm: 0, tpm: 0 } : (how?.actual ?? {});
          return { rpm: 100 - rpm, tpm: 10_000 - tpm };
        };
        for (const how of taken) expect(left).toEqual(charged(how));
        // Nobody was told of any: then none happened, or one whose answer was lost.
        if (taken.length === 0) expect([undefined, ...rounds.flat()].map(charged)).toContainEqual(left);
        expect(left.tpm).toBeLessThanOrEqual(10_000);
        expect(left.rpm).toBeLessThanOrEqual(100);
      }),
      { numRuns: runs },
    );
  });
});
