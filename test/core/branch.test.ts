import { expect, it } from 'vitest';
import { type Branch, evaluated, predict } from '../../lib/core/branch.js';
import type { Position } from '../../lib/core/bucket.js';
import { Limit } from '../../lib/core/limit.js';
import { IDENTITY, type Step, thenAcquire, thenAdjust } from '../../lib/core/step.js';

const WINDOW = 400n;
const OTHER = 300n;
const at = (fullAtFs: bigint, windowFs = WINDOW): Position => ({ fullAtFs, windowFs });

const busy: Branch = { kind: 'busy', addFs: 5n, minFs: 10n, maxFs: 20n };
const idle: Branch = { kind: 'idle', fullAtFs: 15n, belowFs: 10n };
const replace: Branch = { kind: 'replace', fullAtFs: 33n, seen: at(12n, OTHER) };
const shift: Branch = { kind: 'shift', addFs: -7n, ifAbsentFs: 100n };

it.each([
  { when: 'busy meets z below its least', branch: busy, stored: at(9n), left: undefined },
  { when: 'busy meets its least z', branch: busy, stored: at(10n), left: at(15n) },
  { when: 'busy meets its latest z', branch: busy, stored: at(20n), left: at(25n) },
  { when: 'busy meets z above its latest', branch: busy, stored: at(21n), left: undefined },
  { when: 'busy meets another window', branch: busy, stored: at(15n, OTHER), left: undefined },
  { when: 'busy meets no z', branch: busy, stored: undefined, left: undefined },
  { when: 'idle meets no z', branch: idle, stored: undefined, left: at(15n) },
  { when: 'idle meets z just below its bound', branch: idle, stored: at(9n), left: at(15n) },
  { when: 'idle meets z at its bound', branch: idle, stored: at(10n), left: undefined },
  { when: 'idle meets another window, however early its z', branch: idle, stored: at(-9n, OTHER), left: undefined },
  { when: 'replace meets the position it saw', branch: replace, stored: at(12n, OTHER), left: at(33n) },
  { when: 'replace meets the z it saw under another window', branch: replace, stored: at(12n), left: undefined },
  { when: 'replace meets another z', branch: replace, stored: at(13n, OTHER), left: undefined },
  { when: 'replace meets no z', branch: replace, stored: undefined, left: undefined },
  { when: 'shift meets its window', branch: shift, stored: at(3n), left: at(-4n) },
  { when: 'shift meets no z', branch: shift, stored: undefined, left: at(93n) },
  { when: 'shift meets another window', branch: shift, stored: at(3n, OTHER), left: undefined },
])('leaves the right position when $when', ({ branch, stored, left }) => {
  expect(evaluated(branch, WINDOW, stored)).toEqual(left);
});

/** 4 tokens of 100 fs. */
const limit = Limit.custom({ name: 'n', capacity: 4, refillAmount: 10_000_000_000, refillPeriodMs: 1 });
const acquire = (step: Step, nowFs: bigint, fillFs: bigint): Step => {
  const next = thenAcquire(step, nowFs, fillFs, WINDOW);
  if (next === undefined) throw new Error('the acquire is above its bound');
  return next;
};

it.each([
  { when: 'nothing was seen', seen: undefined, branch: { kind: 'idle', fullAtFs: 1_100n, belowFs: 1_000n } },
  { when: 'z was long ago', seen: at(999n), branch: { kind: 'idle', fullAtFs: 1_100n, belowFs: 1_000n } },
  { when: 'z was now', seen: at(1_000n), branch: { kind: 'busy', addFs: 100n, minFs: 1_000n, maxFs: 1_300n } },
  { when: 'z was too late to admit', seen: at(1_301n), branch: { kind: 'busy', addFs: 100n, minFs: 1_000n, maxFs: 1_300n } },
  {
    when: 'the window was another, half of it in use',
    seen: at(1_150n, OTHER),
    branch: { kind: 'replace', fullAtFs: 1_300n, seen: at(1_150n, OTHER) },
  },
  {
    when: 'the window was another, and the bucket full',
    seen: at(500n, OTHER),
    branch: { kind: 'replace', fullAtFs: 1_100n, seen: at(500n, OTHER) },
  },
])('predicts the right branch for one token when $when', ({ seen, branch }) => {
  expect(predict(acquire(IDENTITY, 1_000n, 100n), limit, seen, 1_000n)).toEqual(branch);
});

it.each([
  { when: 'the limit was raised', windowFs: 200n, fullAtFs: 1_200n },
  { when: 'the limit was lowered', windowFs: 4_000n, fullAtFs: 5_000n },
  { when: 'the change leaves just too little', windowFs: 200n, fullAtFs: 1_151n },
])('a request that a drained bucket refuses is not admitted by the write that changes its limit, when $when', (row) => {
  const seen = at(row.fullAtFs, row.windowFs);
  expect(evaluated(predict(acquire(IDENTITY, 1_000n, 100n), limit, seen, 1_000n), WINDOW, seen)).toBeUndefined();
});

it('a changed limit takes the share in use along, for every share, cost, adjustment and old window', () => {
  const nowFs = 1_000n;
  const differences: string[] = [];
  const counted = { admitted: 0, refused: 0 };
  for (const windowFs of [1n, 50n, 133n, 399n, 401n, 800n, 1_333n]) {
    for (const aheadFs of span(-3n, 420n)) {
      // One by one: rescale what is ahead of now (upwards), then acquire.
      const scaled = aheadFs <= 0n ? aheadFs : aheadFs * WINDOW;
      const fromFs = nowFs + (aheadFs <= 0n ? scaled : scaled / windowFs + (scaled % windowFs === 0n ? 0n : 1n));
      for (const fillFs of [0n, 1n, 100n, 399n, 400n]) {
        for (const thenFs of [-70n, 0n, 30n]) {
          const seen = at(nowFs + aheadFs, windowFs);
          const startFs = fromFs < nowFs ? nowFs : fromFs;
          const wanted = startFs + fillFs > nowFs + WINDOW ? undefined : startFs + fillFs + thenFs;
          const branch = predict(thenAdjust(acquire(IDENTITY, nowFs, fillFs), thenFs), limit, seen, nowFs);
          const left = evaluated(branch, WINDOW, seen);
          counted[wanted === undefined ? 'refused' : 'admitted'] += 1;
          if (left?.fullAtFs !== wanted)
            differences.push(`${windowFs} ${aheadFs} ${fillFs} ${thenFs}: ${left?.fullAtFs}, not ${wanted}`);
          if (evaluated(branch, WINDOW, at(nowFs + aheadFs + 1n, windowFs)) !== undefined) differences.push('met another z');
        }
      }
    }
  }
  expect(differences.slice(0, 5)).toEqual([]);
  expect(counted).toEqual({ admitted: 16_089, refused: 28_431 }); // 7 windows x 424 z x 5 costs x 3 adjustments
});

function* span(least: bigint, most: bigint): Generator<bigint> {
  for (let value = least; value <= most; value += 1n) yield value;
}
