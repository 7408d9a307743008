import type { Bed } from './bed.js';
import { WITHOUT_MEMORY } from './contention-process.js';
import { type Contest, type SimulatedLimit, simulate } from './contention-simulation.js';
import { type Section, shown, type Target } from './report.js';

const ROUND_TRIP_MS = 5;
const SKEW_MS = 20;
const LIMITS: readonly SimulatedLimit[] = [
  { name: 'rpm', periodMs: 60_000, cost: 1 },
  { name: 'tpm', periodMs: 60_000, cost: 500 },
];
const LOADS = [0.05, 0.5, 0.9] as const;

/** Writes an acquire, at most, at so many writers. */
const PROMISED: ReadonlyMap<number, number> = new Map([
  [10, 1.1],
  [100, 1.1],
  [1_000, 1.05],
]);

export interface Crowd {
  readonly writers: number;
  readonly acquiresPerSecondEach: number;
  readonly load: number;
}

/** What a crowd's processes do before anything counts and after, in acquires of each. */
interface Length {
  readonly warmUp: number;
  readonly counted: number;
}

/** What writers that share nothing but the bucket cost each other. */
export async function simulatedContention({ sized }: Bed): Promise<Section> {
  const lengthOf = (writers: number): Length =>
    sized({ warmUp: 20, counted: writers < 1_000 ? 300 : 40 }, { warmUp: 20, counted: writers < 1_000 ? 60 : 10 });
  const contests = crowds(sized([1, 5], [1])).map((crowd) => ({
    crowd,
    shipped: contest(crowd, lengthOf(crowd.writers)),
    plain: simulate({ ...contentionOf(crowd, lengthOf(crowd.writers)), learning: WITHOUT_MEMORY }),
  }));
  return {
    title: 'Many processes on one key, simulated',
    method: [
      `What each process sends is composed, guessed and learned by the shipped code; around it time is simulated: Poisson arrivals, a round trip of ${ROUND_TRIP_MS} ms on average, clocks wrong by up to ±${SKEW_MS} ms, one bucket of two limits with a minute's tokens. Load: tokens asked through tokens refilled. The first 20 acquires of each process are a warm-up; "cold" counts them too. Same seed, same numbers, on every machine.`,
      'Without memory: the branch is guessed from the position seen last, and nothing else.',
    ],
    tables: [
      {
        title: '',
        columns: [
          'writers',
          'acquires/s each',
          'load',
          'writes an acquire',
          'most attempts',
          'denied',
          'gave up',
          'over-admitted',
          'cold',
          'without memory',
        ],
        rows: contests.map(({ crowd, shipped, plain }) => row(crowd, shipped, plain)),
      },
    ],
    remarks: [
      'Reading the bucket and then writing it if it has not changed, the usual way, is at least two calls an acquire, and more under contention.',
      'Over-admitted: tokens beyond capacity + rate × (w + 2 d + L) in the worst window w, where clocks are wrong by d and a decision is L old when it is written.',
    ],
    targets: targets(contests),
  };
}

/** One crowd under the shipped prediction. */
export function contest(crowd: Crowd, length: Length): Contest {
  return simulate(contentionOf(crowd, length));
}

function contentionOf(crowd: Crowd, { warmUp, counted }: Length) {
  const warmUpSeconds = warmUp / crowd.acquiresPerSecondEach;
  const seconds = counted / crowd.acquiresPerSecondEach;
  return { ...crowd, roundTripMs: ROUND_TRIP_MS, skewMs: SKEW_MS, limits: LIMITS, seed: 1, warmUpSeconds, seconds };
}

function crowds(rates: readonly number[]): readonly Crowd[] {
  return [...PROMISED.keys()].flatMap((writers) =>
    rates.flatMap((acquiresPerSecondEach) => LOADS.map((load) => ({ writers, acquiresPerSecondEach, load }))),
  );
}

function row({ writers, acquiresPerSecondEach, load }: Crowd, shipped: Contest, plain: Contest): string[] {
  return [
    shown(writers),
    shown(acquiresPerSecondEach),
    `${shown(100 * load)} %`,
    shown(shipped.writesPerAcquire, 3),
    shown(shipped.attemptsMax),
    shown(shipped.denied),
    shown(shipped.contended),
    shown(shipped.overAdmitted),
    shown(shipped.coldWritesPerAcquire, 3),
    shown(plain.writesPerAcquire, 3),
  ];
}

function targets(contests: readonly { readonly crowd: Crowd; readonly shipped: Contest }[]): readonly Target[] {
  const overAdmitted = Math.max(...contests.map(({ shipped }) => shipped.overAdmitted));
  return [
    ...[...PROMISED].map(([writers, most]) => {
      const measured = Math.max(
        ...contests.filter(({ crowd }) => crowd.writers === writers).map(({ shipped }) => shipped.writesPerAcquire),
      );
      return {
        what: `${shown(writers)} writers on one key (simulated), writes an acquire at the worst load`,
        promised: `at most ${shown(most, 2)}`,
        measured: shown(measured, 3),
        met: measured <= most,
      };
    }),
    {
      what: 'writers on one key (simulated), tokens over-admitted',
      promised: '0',
      measured: shown(overAdmitted),
      met: overAdmitted === 0,
    },
  ];
}
