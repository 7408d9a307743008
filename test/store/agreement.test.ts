import fc from 'fast-check';
import { expect, it } from 'vitest';
import { short } from '../support/long.js';
import { dynamo, memory } from '../support/stores.js';
import { limitSet, program, Run } from './programs.js';

const RUNS = short(20, 60);

it('the memory store and DynamoDB come to the same after every step of any program', async () => {
  const outcomes: Record<string, number> = {};

  await fc.assert(
    fc.asyncProperty(limitSet, limitSet, program, async (limits, parentLimits, steps) => {
      const runs = [new Run(await memory.fresh(), limits), new Run(await dynamo.fresh(), limits)] as const;
      for (const run of runs) await run.begin(parentLimits);
      for (const step of steps) {
        const [inMemory, inTable] = [await runs[0].step(step), await runs[1].step(step)];
        expect(inTable).toEqual(inMemory);
        expect(runs[1].writes).toEqual(runs[0].writes);
        const kind = `${step.kind} ${Object.keys(Object(inMemory))[0]}`;
        outcomes[kind] = (outcomes[kind] ?? 0) + 1;
      }
    }),
    { seed: 20_261_122, numRuns: RUNS },
  );

  // Otherwise the programs prove little.
  const atLeast = (timesInThirty: number) => expect.toSatisfy((times: number) => times >= (timesInThirty * RUNS) / 30);
  expect(outcomes).toMatchObject({
    'acquire granted': atLeast(100),
    'acquire denied': atLeast(30),
    'acquire error': atLeast(15),
    'reserve granted': atLeast(25),
    'settle charged': atLeast(15),
    'adjust charged': atLeast(5),
    'release charged': atLeast(5),
  });
}, 120_000);
