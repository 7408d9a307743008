import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeClock, nowFs, nowMs, SystemClock } from '../lib/clock.js';
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

describe('SystemClock', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  it('reads the machine each time, to the millisecond', () => {
    const clock = new SystemClock();
    const startMs = nowMs(clock) + 1;
    vi.setSystemTime(startMs);
    expect(nowMs(clock)).toBe(startMs);
    vi.setSystemTime(startMs + 1_234);
    expect(clock.nowNs()).toBe(BigInt(startMs + 1_234) * 1_000_000n);
  });

  it('never goes backwards in a process, whichever instance is asked', () => {
    const startMs = nowMs(new SystemClock()) + 5_000;
    const machine = vi.spyOn(Date, 'now');
    const told = [0, 10, -3_000, 9, 11].map((offsetMs) => {
      machine.mockReturnValue(startMs + offsetMs);
      return nowMs(new SystemClock()) - startMs;
    });
    expect(told).toEqual([0, 10, 10, 10, 11]);
  });

  it.each([
    { ms: 1, timers: [1] },
    { ms: 0.2, timers: [1] },
    { ms: 1_000.5, timers: [1_001] },
    { ms: 2_147_483_648, timers: [2_147_483_647, 1] },
    { ms: 0, timers: [] },
    { ms: -5, timers: [] },
  ])('sleeps $ms ms in timers of $timers ms, none longer than a timer can be', async ({ ms, timers }) => {
    const timer = vi.spyOn(globalThis, 'setTimeout');
    let awake = false;
    const sleep = new SystemClock().sleep(ms).then(() => {
      awake = true;
    });
    const lastMs = timers.at(-1) ?? 0;
    await vi.advanceTimersByTimeAsync(Math.max(0, Math.ceil(ms) - lastMs));
    if (lastMs > 0) {
      await vi.advanceTimersByTimeAsync(lastMs - 1);
      expect(awake).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
    }
    await sleep;
    expect(timer.mock.calls.map(([, delayMs]) => delayMs)).toEqual(timers);
  });

  it('goes back to sleep when its timer fires before the time', async () => {
    const startMs = Date.now();
    const machine = vi.spyOn(Date, 'now').mockReturnValue(startMs);
    const timer = vi.spyOn(globalThis, 'setTimeout');
    const sleep = new SystemClock().sleep(100);
    machine.mockReturnValue(startMs + 99);
    await vi.advanceTimersByTimeAsync(100);
    machine.mockReturnValue(startMs + 100);
    await vi.advanceTimersByTimeAsync(1);
    await sleep;
    expect(timer.mock.calls.map(([, delayMs]) => delayMs)).toEqual([100, 1]);
  });

  it('rejects an aborted sleep with the reason, and leaves no timer behind', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const aborted = expect(new SystemClock().sleep(60_000, controller.signal)).rejects.toBe(reason);
    expect(vi.getTimerCount()).toBe(1);
    controller.abort(reason);
    await aborted;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets go of the signal when the sleep is over', async () => {
    const { signal } = new AbortController();
    const [listens, forgets] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')];
    const sleep = new SystemClock().sleep(10, signal);
    await vi.advanceTimersByTimeAsync(10);
    await sleep;
    expect(forgets.mock.calls.map(([, listener]) => listener)).toEqual(listens.mock.calls.map(([, listener]) => listener));
  });

  it.each([0, 10])('rejects a sleep of %s ms whose signal was aborted before', async (ms) => {
    const reason = new Error('too late');
    await expect(new SystemClock().sleep(ms, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(vi.getTimerCount()).toBe(0);
  });
});
