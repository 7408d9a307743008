import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import {
  evaluatedSlots,
  heldAfter,
  inFlight,
  isFull,
  NOTHING_HELD,
  predictSlots,
  refusesSlots,
  type Slots,
  slotWaitFs,
  thenFree,
  thenTake,
} from '../../lib/core/slots.js';
import { FS_PER_MS } from '../../lib/core/time.js';

const NOW = 1_800_000_000_000n * FS_PER_MS;
const ms = (count: number) => NOW + BigInt(count) * FS_PER_MS;
const slots = (expiries: Readonly<Record<string, number>>): Slots =>
  new Map(Object.entries(expiries).map(([key, atMs]) => [key, ms(atMs)]));
const two = Limit.concurrent('inflight', 2, { leaseMs: 1_000 });

describe('how many slots are in use', () => {
  it.each([
    { when: 'none were ever taken', taken: undefined, inUse: 0 },
    { when: 'all were given back', taken: slots({}), inUse: 0 },
    { when: 'one expires in a millisecond', taken: slots({ a: 1 }), inUse: 1 },
    { when: 'one expires now', taken: slots({ a: 0, b: 1 }), inUse: 1 },
    { when: 'one expired before', taken: slots({ a: -5, b: 1, c: 2 }), inUse: 2 },
  ])('is right when $when', ({ taken, inUse }) => {
    expect(inFlight(taken, NOW)).toBe(inUse);
  });
});

describe('the wait for a slot', () => {
  it.each([
    { when: 'one is free', taken: slots({ a: 500 }), cost: 1, within: 2, waitMs: 0 },
    { when: 'all are in use: until the first expires', taken: slots({ a: 500, b: 200 }), cost: 1, within: 2, waitMs: 200 },
    { when: 'more are in use than there are now', taken: slots({ a: 500, b: 200, c: 900 }), cost: 1, within: 2, waitMs: 500 },
    { when: 'a share of them is in use', taken: slots({ a: 500 }), cost: 1, within: 1, waitMs: 500 },
    { when: 'none is asked for', taken: slots({ a: 500, b: 200 }), cost: 0, within: 2, waitMs: 0 },
    { when: 'all in use have expired', taken: slots({ a: 0, b: -1 }), cost: 1, within: 2, waitMs: 0 },
  ])('is right when $when', ({ taken, cost, within, waitMs }) => {
    expect(slotWaitFs(two, taken, NOW, cost, within)).toBe(BigInt(waitMs) * FS_PER_MS);
  });
});

/** Takings and returns in a small world: six leases, three of which may be in the item already, alive or expired. */
type Operation = { readonly take: string; readonly within: number } | { readonly free: string };

const operation = fc.oneof(
  fc.record({ take: fc.constantFrom('d', 'e', 'f', 'g'), within: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ free: fc.constantFrom('a', 'b', 'c') }),
);
const stored = fc.option(
  fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(-10, 0, 10, 500), { noNullPrototype: true }).map(slots),
  { nil: undefined },
);
const three = Limit.concurrent('inflight', 3, { leaseMs: 1_000 });

/** One operation after the other: undefined when a taking finds no slot. */
function oneByOne(operations: readonly Operation[], before: Slots | undefined): Slots | undefined {
  const held = new Map([...(before ?? [])].filter(([, expiresFs]) => expiresFs > NOW));
  for (const one of operations) {
    if ('free' in one) held.delete(one.free);
    else if (held.size >= one.within) return undefined;
    else held.set(one.take, ms(1_000));
  }
  return held;
}

/** The operations as one step, as far as `seen` tells; undefined when one does not fit behind those before it. */
function asOne(operations: readonly Operation[], seen: Slots | undefined) {
  let step: ReturnType<typeof thenTake> = NOTHING_HELD;
  for (const one of operations) {
    if (step === undefined) return undefined;
    step =
      'free' in one ? thenFree(step, one.free, seen, NOW) : thenTake(step, three, one.take, NOW, seen, Math.min(one.within, 3));
  }
  return step;
}

const subset = fc.option(fc.subarray(['a', 'b', 'c']), { nil: undefined });
const only = (all: Slots | undefined, keys: readonly string[] | undefined): Slots | undefined =>
  keys && new Map([...(all ?? [])].filter(([key]) => keys.includes(key)));

const distinct = (operations: readonly Operation[]) => {
  const seen = new Set<string>();
  return operations.filter((one) => {
    const key = 'free' in one ? one.free : one.take;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
};
const operations = fc.array(operation, { minLength: 1, maxLength: 5 }).map(distinct);
const inUse = (held: Slots | undefined) => new Map([...(held ?? [])].filter(([, expiresFs]) => expiresFs > NOW));

describe('several takings and returns as one write', () => {
  it('leave what they leave one by one, where what was seen is what is stored', () => {
    fc.assert(
      fc.property(stored, operations, (before, ops) => {
        const step = asOne(ops, before);
        const refused = step === undefined || refusesSlots(step, before, NOW);
        const wanted = oneByOne(ops, before);
        expect(refused).toBe(wanted === undefined);
        if (step === undefined || wanted === undefined) return;
        const takes = ops.some((one) => 'take' in one);
        const after = evaluatedSlots(predictSlots(step, before, NOW), before);
        if (takes || before !== undefined) expect(inUse(after)).toEqual(wanted);
        else expect(after).toBeUndefined();
        expect(heldAfter(step, before, NOW)).toEqual(wanted);
      }),
      { numRuns: 3_000 },
    );
  });

  it('never admit more than one by one, where what is stored is not what was seen', () => {
    fc.assert(
      fc.property(stored, subset, subset, operations, (all, keysSeen, keysStored, ops) => {
        // A key's expiry never changes, so what is stored differs from what was seen by keys alone.
        const [seen, before] = [only(all, keysSeen), only(all, keysStored)];
        const step = asOne(ops, seen);
        if (step === undefined) return;
        const after = evaluatedSlots(predictSlots(step, seen, NOW), before);
        if (after === undefined) return;
        const wanted = oneByOne(ops, before);
        expect(wanted, 'it was written, so it fits one by one').toBeDefined();
        expect(inUse(after)).toEqual(wanted);
      }),
      { numRuns: 3_000 },
    );
  });

  it('remove the expired slots they know of', () => {
    const before = slots({ a: -5, b: 500 });
    const step = asOne([{ take: 'd', within: 3 }], before);
    expect(step && evaluatedSlots(predictSlots(step, before, NOW), before)).toEqual(slots({ b: 500, d: 1_000 }));
  });

  it('take a free slot although another process has removed an expired one meanwhile', () => {
    const seen = slots({ a: -5, b: 500 });
    const step = asOne([{ take: 'd', within: 3 }], seen);
    expect(step && evaluatedSlots(predictSlots(step, seen, NOW), slots({ b: 500 }))).toEqual(slots({ b: 500, d: 1_000 }));
  });

  it('get past any number of expired slots, more than one write can name', () => {
    const before = slots(Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`k${index}`, -1])));
    const step = asOne([{ take: 'd', within: 3 }], before);
    expect(step && evaluatedSlots(predictSlots(step, before, NOW), before)).toEqual(slots({ d: 1_000 }));
  });

  it('are full at fifty, which is what one expression can hold', () => {
    const hundred = Limit.concurrent('inflight', 100, { leaseMs: 1_000 });
    let step = NOTHING_HELD;
    for (let count = 0; count < 50; count += 1) {
      expect(isFull(step)).toBe(false);
      step = thenTake(step, hundred, `k${count}`, NOW, undefined) ?? NOTHING_HELD;
    }
    expect(isFull(step)).toBe(true);
    expect(thenFree(step, 'other', undefined, NOW)).toBeUndefined();
  });
});

it('a slot that was taken by an attempt whose answer was lost is not taken twice', () => {
  const before = slots({ a: 500, d: 1_000 });
  const step = thenTake(NOTHING_HELD, two, 'd', NOW, before);
  expect(step && refusesSlots(step, before, NOW)).toBe(false);
  expect(step && evaluatedSlots(predictSlots(step, before, NOW), before)).toEqual(before);
});
