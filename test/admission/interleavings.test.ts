import { describe, expect, it } from 'vitest';
import { short } from '../support/long.js';
import { Interleavings, type Scope } from './interleavings.js';
import { KINDS, type Kind, settles } from './one-by-one.js';

const NOW_MS = 1_000_000;

/** Every sequence of so many operations. */
function sequences(length: number): readonly (readonly Kind[])[] {
  if (length === 0) return [[]];
  return sequences(length - 1).flatMap((before) => KINDS.map((kind) => [...before, kind]));
}

/** Every mix of so many operations, in every order, over two processes, whose clocks differ by `aheadMs`. */
function mixes(operations: number, aheadMs: number): Scope['scripts'][] {
  return Array.from({ length: operations + 1 }, (_, first) => first).flatMap((first) => {
    if (aheadMs === 0 && first < operations - first) return [];
    return sequences(first).flatMap((one) =>
      sequences(operations - first).map((other): Scope['scripts'] => [
        { kinds: one, nowMs: NOW_MS },
        { kinds: other, nowMs: NOW_MS + aheadMs },
      ]),
    );
  });
}

const FULL = NOW_MS - 5_000;
const [ONE_USED, ALMOST_EMPTY, IN_DEBT] = [NOW_MS + 1_000, NOW_MS + 2_500, NOW_MS + 4_000];
const everyStart = [undefined, FULL, ONE_USED, ALMOST_EMPTY, IN_DEBT];

describe('group commit of two processes, in every order of their arrivals, writes and answers, is one by one', () => {
  // `scopes` and `worlds`: what is checked at least, so that it cannot shrink unseen.
  it.each([
    { operations: 1, starts: everyStart, warmths: [true, false], aheadMs: [0, 500], mostSent: 2, scopes: 168, worlds: 300 },
    { operations: 2, starts: everyStart, warmths: [true, false], aheadMs: [0, 500], mostSent: 2, scopes: 1_600, worlds: 8_000 },
    {
      operations: 3,
      starts: everyStart,
      warmths: [true, false],
      aheadMs: [0, 500],
      mostSent: 1,
      scopes: 11_136,
      worlds: 180_000,
    },
    { operations: 3, starts: [FULL, IN_DEBT], warmths: [true], aheadMs: [0], mostSent: 2, scopes: 864, worlds: 20_000 },
    {
      operations: 4,
      starts: short([FULL], everyStart),
      warmths: [true],
      aheadMs: [0],
      mostSent: 1,
      scopes: 3_888,
      worlds: 100_000,
    },
  ])(
    'for every mix of $operations operations, with up to $mostSent writes of a process under way',
    ({ operations, starts, warmths, aheadMs, mostSent, scopes, worlds }) => {
      const interleavings = new Interleavings(mostSent);
      for (const scripts of aheadMs.flatMap((ahead) => mixes(operations, ahead))) {
        for (const fullAtMs of starts) {
          // A lease's bucket has been written to.
          if (fullAtMs === undefined && scripts.some(({ kinds }) => kinds.some(settles))) continue;
          for (const warm of warmths) interleavings.explore({ scripts, fullAtMs, warm });
        }
      }

      const { checked } = interleavings;
      expect(checked.scopes).toBeGreaterThanOrEqual(scopes);
      expect(checked.worlds).toBeGreaterThanOrEqual(worlds);
    },
    600_000,
  );
});
