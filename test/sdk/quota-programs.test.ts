import { describe, expect, it } from 'vitest';
import { short } from '../support/long.js';
import { dynamo, memory } from '../support/stores.js';
import { nothingSeen, runProgram } from './quota-programs.js';

describe('programs of acquires, settlements and jumps in time, by three processes, over days, months and sessions', () => {
  it.each([
    { ...memory, programs: short(3_000, 10_000) },
    { ...dynamo, programs: short(25, 200) },
  ])(
    'leave on the $name store what a ledger of their charges says, step by step: $programs of them',
    async (store) => {
      const seen = nothingSeen();
      for (let seed = 1; seed <= store.programs; seed += 1) {
        await runProgram(seed, store, seen).catch((error: unknown) => {
          throw new Error(`seed ${seed}`, { cause: error });
        });
      }

      expect(seen.granted).toBeGreaterThan(3 * store.programs);
      expect(seen.denied).toBeGreaterThan(store.programs);
      expect(seen.settled).toBeGreaterThan(2 * store.programs);
      expect(seen.settledLate).toBeGreaterThan(store.programs / 2);
      expect(seen.edges).toBeGreaterThan(store.programs);
    },
    120_000,
  );
});
