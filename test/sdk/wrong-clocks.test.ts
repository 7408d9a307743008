import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { createTestTable, testEndpoint } from '../support/dynamodb.js';
import { eachStore, START_MS } from '../support/stores.js';
import type { Order, Result } from './wrong-clock-process.js';

const PROCESS = fileURLToPath(new URL('./wrong-clock-process.ts', import.meta.url));
const FAKETIME = spawnSync('faketime', ['--version']).error === undefined;
if (!FAKETIME) console.warn('Skipped: tests of processes with a wrong clock need faketime (apt-get install faketime)');

/** A process whose clock is wrong by so many seconds, and what its orders came to. */
class Limiting {
  readonly #child: ChildProcess;
  readonly #aheadMs: number;
  readonly #waiting = new Map<string, (result: Result) => void>();
  readonly ready: Promise<void>;

  constructor(aheadSeconds: number, args: readonly string[]) {
    this.#aheadMs = aheadSeconds * 1_000;
    const node = [process.execPath, '--import', 'tsx', PROCESS, ...args];
    const [command = '', ...rest] =
      aheadSeconds === 0 ? node : ['faketime', '-f', `${aheadSeconds > 0 ? '+' : ''}${aheadSeconds}s`, ...node];
    this.#child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    let begun = () => {};
    this.ready = new Promise((resolve) => {
      begun = resolve;
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      if (line === 'ready') begun();
      else {
        const result = JSON.parse(line) as Result;
        this.#waiting.get(result.entity)?.(result);
      }
    });
  }

  /** What an order came to, in true time. */
  carryOut(order: Order): Promise<Result> {
    return new Promise((resolve) => {
      const really = (ms: number): number => ms - this.#aheadMs;
      this.#waiting.set(order.entity, (result) => {
        resolve({
          ...result,
          startedAtMs: really(result.startedAtMs),
          endedAtMs: really(result.endedAtMs),
          grantedAtMs: result.grantedAtMs.map(really),
          deniedAtMs: result.deniedAtMs.map(really),
        });
      });
      this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    });
  }

  /** Ends it once it has read that there are no more orders. */
  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await ended;
  }
}

/** The most that 20 a second, 20 at once, admit in so many milliseconds by clocks that are up to `apartMs` from each other. */
const mostIn = (ms: number, apartMs: number): number => 20 + (20 * (ms + apartMs)) / 1_000;

/** The windows, from one grant to another, in which more was granted than the guarantee says. */
function exceeded(grantedAtMs: readonly number[], apartMs: number): string[] {
  const inOrder = grantedAtMs.toSorted((a, b) => a - b);
  return inOrder.flatMap((fromMs, first) =>
    inOrder.slice(first).flatMap((toMs, index) => {
      return index + 1 > mostIn(toMs - fromMs, apartMs) ? [`${index + 1} in ${toMs - fromMs} ms`] : [];
    }),
  );
}

/** What clocks may be apart by once each has had one answer, which tells the time to a second, and how old a write's instant may be. */
const APART_MS = 1_000 + 250;

describe.skipIf(!FAKETIME)('with a process whose clock is wrong by a minute, and one whose clock is right', () => {
  const processes = new Map<number, Limiting>();
  const results = new Map<string, { readonly wrong: Result; readonly right: Result }>();

  /** A right process tries ten times a second for ten seconds; another acquires once before that, or a second later. */
  async function tried(aheadSeconds: number, when: 'before' | 'amid'): Promise<void> {
    const entity = `${aheadSeconds} ${when}`;
    const right = () => processes.get(0)!.carryOut({ entity, times: 100, everyMs: 100 });
    const wrong = () => processes.get(aheadSeconds)!.carryOut({ entity, times: 1, everyMs: 0 });
    if (when === 'before') results.set(entity, { wrong: await wrong(), right: await right() });
    else {
      const [theirs, ours] = await Promise.all([right(), pause(1_000).then(wrong)]);
      results.set(entity, { wrong: ours, right: theirs });
    }
  }

  beforeAll(async () => {
    const args = [testEndpoint(), await createTestTable(), randomUUID()];
    for (const aheadSeconds of [0, 60, -60]) processes.set(aheadSeconds, new Limiting(aheadSeconds, args));
    await Promise.all([...processes.values()].map(({ ready }) => ready));
    // A process's first call loads and compiles; here, what follows matters.
    await Promise.all([...processes.values()].map((one) => one.carryOut({ entity: 'warm', times: 1, everyMs: 0 })));
    await Promise.all([60, -60].flatMap((ahead) => [tried(ahead, 'before'), tried(ahead, 'amid')]));
  });

  afterAll(async () => {
    await Promise.all([...processes.values()].map((process) => process.end()));
  });

  const resultsOf = (entity: string) => results.get(entity)!;

  it.each(['60 before', '-60 before'])('the right one is admitted at least 95 times of 100 (%s)', (entity) => {
    const { right, wrong } = resultsOf(entity);
    expect(wrong.grantedAtMs).toHaveLength(1);
    expect(right.grantedAtMs.length).toBeGreaterThanOrEqual(95);
  });

  it.each(['60 amid', '-60 amid'])(
    'the right one is hardly denied once the other has had its answer for a second (%s)',
    (entity) => {
      const { right, wrong } = resultsOf(entity);
      // One answer tells the time to a second and the time it was under way; a denial is remembered for 250 ms.
      const untilMs = wrong.endedAtMs + (wrong.endedAtMs - wrong.startedAtMs) + 1_000 + 250;
      // On a machine that stalls, a write can come so late that its own instant no longer fits.
      expect(right.deniedAtMs.filter((ms) => ms < wrong.startedAtMs || ms > untilMs).length).toBeLessThanOrEqual(5);
      expect(right.endedAtMs - untilMs).toBeGreaterThan(5_000);
    },
  );

  it.each(['60 before', '-60 before', '60 amid'])(
    'the wrong one is admitted, and takes its error back by one more write (%s)',
    (entity) => {
      const { wrong } = resultsOf(entity);
      expect({ granted: wrong.grantedAtMs.length, writes: wrong.writes }).toEqual({ granted: 1, writes: 2 });
    },
  );

  it.each(['60 before', '-60 before', '60 amid', '-60 amid'])(
    'no more is granted than clocks a second apart allow (%s)',
    (entity) => {
      const { right, wrong } = resultsOf(entity);
      expect(exceeded([...right.grantedAtMs, ...wrong.grantedAtMs], APART_MS)).toEqual([]);
    },
  );

  it.each(['60 before', '-60 before', '60 amid', '-60 amid'])(
    'each says what its clock is corrected by: to a second, or 0 (%s)',
    (entity) => {
      const { right, wrong } = resultsOf(entity);
      expect(right.clockOffsetMs).toBe(0);
      const byMs = entity.startsWith('-') ? wrong.clockOffsetMs : -wrong.clockOffsetMs;
      expect(byMs).toBeLessThanOrEqual(60_000);
      // One answer tells a second, and the time it was under way.
      expect(byMs).toBeGreaterThan(58_000);
    },
  );
});

describe.each(eachStore)('with injected clocks two seconds apart, on the $name store', ({ fresh }) => {
  const request = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perSecond('rps', 20)], consume: { rps: 1 } };

  /** A right process and one that is two seconds ahead, asking so often every 100 ms for 10 s; when each was granted, in true milliseconds. */
  async function asked(rightTimes: number, aheadTimes: (round: number) => number): Promise<Record<'right' | 'ahead', number[]>> {
    const bed = await fresh();
    const aheadClock = new FakeClock(START_MS + 2_000);
    const [right, ahead] = [bed.limiter(), bed.limiter({ clock: aheadClock })];
    const grantedAtMs: Record<'right' | 'ahead', number[]> = { right: [], ahead: [] };
    for (let round = 0; round < 100; round += 1) {
      const asks = async (who: 'right' | 'ahead', times: number): Promise<void> => {
        const outcomes = await Promise.all(Array.from({ length: times }, () => ({ right, ahead })[who].tryAcquire(request)));
        for (const { granted } of outcomes) if (granted) grantedAtMs[who].push(round * 100);
      };
      await asks('ahead', aheadTimes(round));
      await asks('right', rightTimes);
      bed.clock.advance(100);
      aheadClock.advance(100);
    }
    expect([right.stats().clockOffsetMs, ahead.stats().clockOffsetMs]).toEqual([0, 0]);
    return grantedAtMs;
  }

  it('one grant two seconds ahead costs the right one those seconds less the window, and nothing after', async () => {
    const { right, ahead } = await asked(1, (round) => (round === 0 ? 1 : 0));
    expect(ahead).toEqual([0]);
    // Full again at 2.05 s: from 1.1 s on there is room for one more.
    expect(right[0]).toBe(1_100);
    expect(right).toHaveLength(89);
  });

  it('both together are never granted more than capacity + rate x (window + 2 s)', async () => {
    const { right, ahead } = await asked(5, () => 5);
    expect(exceeded([...right, ...ahead], 2_000)).toEqual([]);
    // At least what one clock alone would have been granted: 20 at once, and 20 a second for 9.9 s.
    expect(right.length + ahead.length).toBeGreaterThanOrEqual(20 + 198);
  });
});
