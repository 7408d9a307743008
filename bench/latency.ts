/** The `share` quantile of ascending values (0.5: the median). NaN where there are none. */
export function quantile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN;
}

export const ascending = (values: readonly number[]): readonly number[] => values.toSorted((a, b) => a - b);
export const median = (values: readonly number[]): number => quantile(ascending(values), 0.5);

export interface Load {
  readonly calls: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface LoadOptions {
  readonly callers: number;
  readonly forMs: number;
  /** Calls that end in it are not measured. */
  readonly warmUpMs: number;
  readonly call: (caller: number) => Promise<unknown>;
}

/** A closed loop: every caller calls again as soon as it is answered. What is under way at the end is waited for, and counts. */
export async function closedLoop({ callers, forMs, warmUpMs, call }: LoadOptions): Promise<Load> {
  const fromMs = performance.now() + warmUpMs;
  const untilMs = fromMs + forMs;
  const tookMs: number[] = [];
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let startMs = performance.now(); startMs < untilMs; startMs = performance.now()) {
        await call(caller);
        const endMs = performance.now();
        if (endMs >= fromMs) tookMs.push(endMs - startMs);
      }
    }),
  );
  const elapsedMs = performance.now() - fromMs;
  const sorted = ascending(tookMs);
  return {
    calls: tookMs.length,
    perSecond: (tookMs.length / elapsedMs) * 1_000,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  };
}
