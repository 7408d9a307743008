import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Clock, correctedByMs, nowMs, steadyMs } from '../lib/clock.js';

let SystemClock: typeof import('../lib/clock.js').SystemClock;

describe('SystemClock', () => {
  beforeEach(async () => {
    vi.useFakeTimers();
    // What a process remembers of its machine's clock is not for the next test.
    vi.resetModules();
    ({ SystemClock } = await import('../lib/clock.js'));
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

  it('goes on at its pace while the machine, set back, stands behind it', async () => {
    const startMs = nowMs(new SystemClock());
    await vi.advanceTimersByTimeAsync(10_000);
    expect(nowMs(new SystemClock()) - startMs).toBe(10_000);
    vi.setSystemTime(startMs - 3_600_000);
    const told = [];
    for (const ms of [0, 250, 60_000]) {
      await vi.advanceTimersByTimeAsync(ms);
      told.push(nowMs(new SystemClock()) - startMs);
    }
    expect(told).toEqual([10_000, 10_250, 70_250]);
    vi.setSystemTime(startMs + 70_251);
    expect(nowMs(new SystemClock()) - startMs).toBe(70_251);
  });

  it('sleeps no longer than it was told to while the machine is set back', async () => {
    let awake = false;
    const sleep = new SystemClock().sleep(1_000).then(() => {
      awake = true;
    });
    await vi.advanceTimersByTimeAsync(500);
    vi.setSystemTime(Date.now() - 3_600_000);
    await vi.advanceTimersByTimeAsync(499);
    expect(awake).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(awake).toBe(true);
    await sleep;
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, '5', undefined])('refuses to sleep for %s ms', async (ms) => {
    await expect(new SystemClock().sleep(ms as number)).rejects.toThrow(/^Expected ms to be milliseconds, a finite number, got /);
    expect(vi.getTimerCount()).toBe(0);
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

  describe('told of a server 60 s behind it', () => {
    let clock: InstanceType<typeof SystemClock>;
    let machineMs: number;

    /** An answer to a request of 2 ms, from a server whose clock the machine is ahead of by `aheadMs`. */
    function answered(aheadMs: number): void {
      const sentMs = clock.machineMs();
      vi.advanceTimersByTime(2);
      clock.observe(sentMs, clock.machineMs(), Math.floor((sentMs + 1 - aheadMs) / 1_000));
    }

    beforeEach(() => {
      vi.setSystemTime(1_800_000_000_700);
      clock = new SystemClock();
      machineMs = clock.machineMs();
    });

    it('is set back by as little as explains the answer', () => {
      answered(60_000);
      // The server said …640 s, a second of which the last instant lies 59.7 s before the request.
      expect(correctedByMs(clock)).toBe(-59_700);
      expect(nowMs(clock)).toBe(machineMs + 2 - 59_700);
    });

    it('comes within 50 ms of the server after answers all over its second', () => {
      for (let answer = 0; answer < 100; answer += 1) {
        answered(60_000);
        vi.advanceTimersByTime(37);
      }
      expect(correctedByMs(clock)).toBeGreaterThanOrEqual(-60_000);
      expect(correctedByMs(clock)).toBeLessThan(-59_950);
    });

    it('tells ages by a time that no correction touches', () => {
      const before = steadyMs(clock);
      answered(60_000);
      expect(steadyMs(clock) - before).toBe(2);
    });

    it('follows the server when the machine is set on by another minute', () => {
      answered(60_000);
      vi.advanceTimersByTime(10_000);
      vi.setSystemTime(Date.now() + 60_000);
      answered(120_000);
      // The server said …950 s: its last instant lay no later than the request, which was sent 2 ms ago.
      expect(nowMs(clock)).toBe(1_799_999_951_002);
    });

    it('leaves every other clock of the process as it is', () => {
      const other: Clock = new SystemClock();
      answered(60_000);
      expect([correctedByMs(other), nowMs(other)]).toEqual([0, machineMs + 2]);
    });
  });

  it.each([
    { when: 'the server is right', serverSeconds: 1_800_000_000 },
    { when: 'the server says no time', serverSeconds: Number.NaN },
  ])('is not corrected where $when', ({ serverSeconds }) => {
    vi.setSystemTime(1_800_000_000_400);
    const clock = new SystemClock();
    clock.observe(1_800_000_000_400, 1_800_000_000_410, serverSeconds);
    expect([correctedByMs(clock), nowMs(clock)]).toEqual([0, 1_800_000_000_400]);
  });
});
