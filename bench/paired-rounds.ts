import { median } from './latency.js';

/** What a call took, over all rounds. */
export interface Took {
  readonly name: string;
  /** Median over the rounds of a round's mean. */
  readonly wallMicros: number;
  readonly cpuMicros: number;
  /** Median over the rounds of this one's mean through the first one's of the same round. */
  readonly wallRatio: number;
  readonly cpuRatio: number;
}

interface Round {
  readonly wallMicros: number;
  readonly cpuMicros: number;
}

/**
 * Runs the subjects by turns, one call at a time, forwards and backwards (A B B A A B …), so that whatever disturbs the machine disturbs all.
 * The first subject is what the others are compared with.
 */
export async function pairedRounds(
  calls: Readonly<Record<string, () => Promise<unknown>>>,
  { rounds, callsPerRound }: { readonly rounds: number; readonly callsPerRound: number },
): Promise<readonly Took[]> {
  const names = Object.keys(calls);
  const taken = new Map<string, Round[]>(names.map((name) => [name, []]));
  for (const name of names) await timed(calls[name], callsPerRound);
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      taken.get(name)?.push(await timed(calls[name], callsPerRound));
    }
  }
  const [first = []] = taken.values();
  const ratio = (rounds: readonly Round[], of: keyof Round) =>
    median(rounds.map((round, index) => round[of] / (first[index]?.[of] ?? Number.NaN)));
  return names.map((name) => {
    const own = taken.get(name) ?? [];
    return {
      name,
      wallMicros: median(own.map(({ wallMicros }) => wallMicros)),
      cpuMicros: median(own.map(({ cpuMicros }) => cpuMicros)),
      wallRatio: ratio(own, 'wallMicros'),
      cpuRatio: ratio(own, 'cpuMicros'),
    };
  });
}

async function timed(call: (() => Promise<unknown>) | undefined, calls: number): Promise<Round> {
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  for (let done = 0; done < calls; done += 1) await call?.();
  const wallMicros = ((performance.now() - startedMs) * 1_000) / calls;
  const { user, system } = process.cpuUsage(cpu);
  return { wallMicros, cpuMicros: (user + system) / calls };
}
