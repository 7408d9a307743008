import { describe, expect, it } from 'vitest';
import { FakeClock, nowFs, nowMs } from '../lib/clock.js';
import { InvalidArgument } from '../lib/errors.js';

const START_MS = 1_800_000_000_000;
const START_NS = 1_800_000_000_000_000_000n;

/** Lets everything that is ready run: promises only, no time. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
};

/** A clock that sleepers note their names on when they wake. */
function dormitory() {
  const clock = new FakeClock(START_MS);
  const woken: string[] = [];
  const lie = (name: string, ms: number, signal?: AbortSignal): Promise<void> =>
    clock.sleep(ms, signal).then(() => void woken.push(name));
  return { clock, woken, lie };
}

describe('FakeClock', () => {
  it('stands still until it is told to move', async () => {
    const clock = new FakeClock(START_MS);
    expect(clock.nowNs()).toBe(START_NS);
    await settled();
    expect(clock.nowNs()).toBe(START_NS);
  });

  it('starts in 2027 where no start is given', () => {
    expect(new Date(nowMs(new FakeClock())).toISOString()).toBe('2027-01-15T08:00:00.000Z');
  });

  it.each([
    { when: 'a millisecond', ms: 1, ns: 1_000_000n },
    { when: 'nothing', ms: 0, ns: 0n },
    { when: 'a nanosecond', ms: 0.000001, ns: 1n },
    { when: 'less than half a nanosecond', ms: 0.0000004, ns: 0n },
    { when: 'a fraction', ms: 1.5, ns: 1_500_000n },
    { when: 'a fraction without a finite binary form', ms: 0.1, ns: 100_000n },
    { when: 'the last nanosecond of a millisecond', ms: 0.999999, ns: 999_999n },
    { when: 'what rounds up to a millisecond', ms: 0.9999999, ns: 1_000_000n },
    { when: 'ten thousand years', ms: 315_576_000_000_000, ns: 315_576_000_000_000_000_000n },
  ])('moves by $ns ns for $when', ({ ms, ns }) => {
    const clock = new FakeClock(START_MS);
    clock.advance(ms);
    expect(clock.nowNs() - START_NS).toBe(ns);
  });

  it('adds up a thousand tenths of a millisecond to exactly a hundred', () => {
    const clock = new FakeClock(0);
    for (let step = 0; step < 1_000; step += 1) clock.advance(0.1);
    expect(clock.nowNs()).toBe(100_000_000n);
  });

  it('tells femtoseconds, and whole milliseconds rounded down', () => {
    const clock = new FakeClock(0);
    clock.advance(1.999999);
    expect(nowFs(clock)).toBe(1_999_999_000_000n);
    expect(nowMs(clock)).toBe(1);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, '5', undefined, null, 5n])(
    'refuses to move by %s ms, and stays where it is',
    (ms) => {
      const clock = new FakeClock(START_MS);
      expect(() => clock.advance(ms as number)).toThrow(InvalidArgument);
      expect(() => clock.advance(ms as number)).toThrow(/^Expected ms to be milliseconds, a finite number from 0, got /);
      expect(clock.nowNs()).toBe(START_NS);
    },
  );

  it.each([-1, Number.NaN, Number.NEGATIVE_INFINITY, '5', null])('refuses to start at %s', (startMs) => {
    expect(() => new FakeClock(startMs as number)).toThrow(/^Expected startMs to be milliseconds, a finite number from 0, got /);
  });

  it('wakes sleepers in the order of their times, those of one time in the order in which they lay down', async () => {
    const { clock, woken, lie } = dormitory();
    const all = [lie('c', 30), lie('a', 10), lie('d', 30), lie('b', 20), lie('a too', 10)];
    clock.advance(30);
    await Promise.all(all);
    expect(woken).toEqual(['a', 'a too', 'b', 'c', 'd']);
  });

  it('wakes a sleeper at its time, and not a nanosecond earlier', async () => {
    const { clock, woken, lie } = dormitory();
    void lie('a', 10);
    clock.advance(9.999999);
    await settled();
    expect(woken).toEqual([]);
    clock.advance(0.000001);
    await settled();
    expect(woken).toEqual(['a']);
  });

  it('counts a sleep from when it began', async () => {
    const { clock, woken, lie } = dormitory();
    void lie('early', 30);
    clock.advance(20);
    void lie('late', 20);
    clock.advance(10);
    await settled();
    expect(woken).toEqual(['early']);
    clock.advance(10);
    await settled();
    expect(woken).toEqual(['early', 'late']);
  });

  it.each([0, -0, -5])('does not sleep for %s ms', async (ms) => {
    const { woken, lie } = dormitory();
    await lie('a', ms);
    expect(woken).toEqual(['a']);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses to sleep for %s ms', async (ms) => {
    await expect(new FakeClock(START_MS).sleep(ms)).rejects.toThrow(InvalidArgument);
  });

  it('rejects an aborted sleeper with the reason, and wakes the others at their times', async () => {
    const { clock, woken, lie } = dormitory();
    const controller = new AbortController();
    const reason = new Error('enough');
    void lie('a', 10);
    const aborted = lie('b', 10, controller.signal);
    void lie('c', 10);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    clock.advance(10);
    await settled();
    expect(woken).toEqual(['a', 'c']);
  });

  it.each([0, 10])('rejects a sleep of %s ms whose signal was aborted before', async (ms) => {
    const reason = new Error('too late');
    await expect(new FakeClock(START_MS).sleep(ms, AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  it('an abort after the wake-up wakes nobody else and changes nothing', async () => {
    const { clock, woken, lie } = dormitory();
    const controller = new AbortController();
    const [first] = [lie('a', 10, controller.signal), lie('b', 20)];
    clock.advance(10);
    await first;
    controller.abort();
    clock.advance(10);
    await settled();
    expect(woken).toEqual(['a', 'b']);
  });
});
