import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answerOffset, type ClockOffset, correctionMs, withAnswer } from '../../lib/core/clock-offset.js';

describe('what one answer tells of the offset', () => {
  it.each([
    { when: 'both agree', sentMs: 10_300, receivedMs: 10_310, serverSeconds: 10, leastMs: -311, mostMs: 700 },
    { when: 'we are a minute ahead', sentMs: 70_300, receivedMs: 70_310, serverSeconds: 10, leastMs: -60_311, mostMs: -59_300 },
    { when: 'we are a minute behind', sentMs: -49_700, receivedMs: -49_690, serverSeconds: 10, leastMs: 59_689, mostMs: 60_700 },
    { when: 'it took a second and a half', sentMs: 9_000, receivedMs: 10_500, serverSeconds: 10, leastMs: -501, mostMs: 2_000 },
  ])('is a second and the time under way, when $when', ({ sentMs, receivedMs, serverSeconds, leastMs, mostMs }) => {
    expect(answerOffset(sentMs, receivedMs, serverSeconds)).toEqual({ leastMs, mostMs, atMs: receivedMs });
  });

  it.each([
    { when: 'our clock was set back by more than a second under way', sentMs: 11_400, receivedMs: 10_398, serverSeconds: 10 },
    { when: 'the server says no time', sentMs: 10_300, receivedMs: 10_310, serverSeconds: Number.NaN },
    { when: 'our clock says none', sentMs: Number.NaN, receivedMs: 10_310, serverSeconds: 10 },
  ])('is nothing when $when', ({ sentMs, receivedMs, serverSeconds }) => {
    expect(answerOffset(sentMs, receivedMs, serverSeconds)).toBeUndefined();
  });
});

describe('what several answers tell', () => {
  const known: ClockOffset = { leastMs: -400, mostMs: 600, atMs: 0 };

  it.each([
    { when: 'it cuts both ends', leastMs: -300, mostMs: 500, wanted: { leastMs: -300, mostMs: 500 } },
    { when: 'it cuts one end', leastMs: -900, mostMs: 100, wanted: { leastMs: -400, mostMs: 100 } },
    { when: 'it says nothing new', leastMs: -900, mostMs: 900, wanted: { leastMs: -400, mostMs: 600 } },
    { when: 'they meet in one instant', leastMs: 600, mostMs: 1_600, wanted: { leastMs: 600, mostMs: 600 } },
    {
      when: 'they contradict each other, so a clock was set',
      leastMs: 601,
      mostMs: 1_601,
      wanted: { leastMs: 601, mostMs: 1_601 },
    },
  ])('is where they agree, when $when', ({ leastMs, mostMs, wanted }) => {
    expect(withAnswer(known, { leastMs, mostMs, atMs: 0 })).toEqual({ ...wanted, atMs: 0 });
  });

  it('widens by half a millisecond for each second since', () => {
    expect(withAnswer(known, { leastMs: -9_000, mostMs: 9_000, atMs: 60_000 })).toEqual({
      leastMs: -430,
      mostMs: 630,
      atMs: 60_000,
    });
  });

  it('does not narrow when our clock was set back', () => {
    expect(withAnswer({ ...known, atMs: 60_000 }, { leastMs: -9_000, mostMs: 9_000, atMs: 0 })).toMatchObject({
      leastMs: -400,
      mostMs: 600,
    });
  });
});

describe('the correction', () => {
  it.each([
    { leastMs: -1, mostMs: 1_000, wantedMs: 0 },
    { leastMs: 0, mostMs: 1_000, wantedMs: 0 },
    { leastMs: -1_000, mostMs: 0, wantedMs: 0 },
    { leastMs: 1, mostMs: 1_000, wantedMs: 1 },
    { leastMs: 0.2, mostMs: 1_000, wantedMs: 1 },
    { leastMs: -60_311, mostMs: -59_300, wantedMs: -59_300 },
    { leastMs: -60_311, mostMs: -0.2, wantedMs: -1 },
  ])('within $leastMs and $mostMs is $wantedMs ms: the smallest there is', ({ leastMs, mostMs, wantedMs }) => {
    expect(correctionMs({ leastMs, mostMs, atMs: 0 })).toBe(wantedMs);
  });
});

/** A request: so long after the one before, so long under way, and at which share of that the server wrote its time. */
const request = fc.record({
  afterMs: fc.integer({ min: 1, max: 20_000 }),
  underWayMs: fc.integer({ min: 0, max: 800 }),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
});
const offset = fc.integer({ min: -100_000_000, max: 100_000_000 });

/** What a clock learns that is read in whole milliseconds, by requests to a server that is off by `offsetMs`, and runs fast by `drift`. */
function learned(offsetMs: number, drift: number, requests: readonly { afterMs: number; underWayMs: number; share: number }[]) {
  let known: ClockOffset | undefined;
  let [localMs, trueMs] = [1_800_000_000_000, 1_800_000_000_000 + offsetMs];
  for (const { afterMs, underWayMs, share } of requests) {
    localMs += afterMs;
    trueMs += afterMs * (1 + drift);
    const answer = answerOffset(
      Math.floor(localMs),
      Math.floor(localMs + underWayMs),
      Math.floor((trueMs + underWayMs * share) / 1_000),
    );
    if (answer === undefined) throw new Error('every such answer tells something');
    known = withAnswer(known, answer);
  }
  if (known === undefined) throw new Error('nothing was asked');
  return { known, trueOffsetMs: trueMs - localMs };
}

describe('whatever the answers', () => {
  it('the true offset lies within what is known, to what a drift of 400 ppm adds under way', () => {
    fc.assert(
      fc.property(
        offset,
        fc.double({ min: -400e-6, max: 400e-6, noNaN: true }),
        fc.array(request, { minLength: 1, maxLength: 40 }),
        (offsetMs, drift, requests) => {
          const { known, trueOffsetMs } = learned(offsetMs, drift, requests);
          expect(known.leastMs).toBeLessThanOrEqual(trueOffsetMs + 0.5);
          expect(known.mostMs).toBeGreaterThanOrEqual(trueOffsetMs - 0.5);
        },
      ),
    );
  });

  it('a clock that is right is never corrected', () => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 40 }), (requests) => {
        expect(correctionMs(learned(0, 0, requests).known)).toBe(0);
      }),
    );
  });

  it('the correction never overshoots, and never points the wrong way', () => {
    fc.assert(
      fc.property(offset, fc.array(request, { minLength: 1, maxLength: 40 }), (offsetMs, requests) => {
        const corrected = correctionMs(learned(offsetMs, 0, requests).known);
        expect(Math.abs(corrected)).toBeLessThanOrEqual(Math.abs(offsetMs));
        expect(corrected * offsetMs).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('a hundred answers of 5 ms, spread over the second, tell the offset to 50 ms', () => {
    fc.assert(
      fc.property(offset, fc.integer({ min: 0, max: 999 }), (offsetMs, phaseMs) => {
        const requests = Array.from({ length: 100 }, (_, index) => ({
          afterMs: index === 0 ? phaseMs : 113,
          underWayMs: 5,
          share: 0.5,
        }));
        expect(Math.abs(offsetMs - correctionMs(learned(offsetMs, 0, requests).known))).toBeLessThanOrEqual(50);
      }),
    );
  });
});
