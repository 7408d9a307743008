import fc from 'fast-check';
import { expect, it } from 'vitest';
import { short } from '../support/long.js';
import { dynamo, memory } from '../support/stores.js';
import { limitSet, program, Run } from './programs.js';

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
    { seed: 20_261_122, numRuns: short(20, 60) },
  );

  // Otherwise the programs prove little.
  expect(outcomes).toMatchObject({
    'acquire granted': expect.toSatisfy((times: number) => times > 100),
    'acquire denied': expect.toSatisfy((times: number) => times > 30),
    'acquire error': expect.toSatisfy((times: number) => times > 20),
    'reserve granted': expect.toSatisfy((times: number) => times > 50),
    'settle charged': expect.toSatisfy((times: number) => times > 30),
    'adjust charged': expect.toSatisfy((times: number) => times > 10),
    'release charged': expect.toSatisfy((times: number) => times > 10),
  });
}, 120_000);
