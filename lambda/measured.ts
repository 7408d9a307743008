import { type Composition, composedBefore } from './compose.js';
import type { HandlerMetrics } from './handler-metrics.js';

/**
 * The handler, its metrics printed at the end of each invocation, also of one that fails. `answered` and `failed` add to them what only they know.
 * An invocation that could not even be composed prints none: Lambda's own metrics count it.
 */
export function measured<Event, Result>(
  handle: (event: Event) => Promise<Result>,
  answered: (metrics: HandlerMetrics, event: Event, result: Result) => void = () => {},
  failed: (metrics: HandlerMetrics, error: unknown) => void = () => {},
): (event: Event) => Promise<Result> {
  return async (event) => {
    const startedAtMs = Date.now();
    try {
      const result = await handle(event);
      added((metrics) => answered(metrics, event, result));
      return result;
    } catch (error) {
      added((metrics) => failed(metrics, error));
      throw error;
    } finally {
      printMetrics(startedAtMs);
    }
  };
}

/** Prints what was measured in an invocation that began at `startedAtMs`: Lambda's own metrics have the same time. */
export function printMetrics(startedAtMs: number): void {
  added((metrics, { limiter }) => metrics.flush(limiter.stats(), startedAtMs));
}

/** Metrics cost nobody an answer. */
function added(add: (metrics: HandlerMetrics, composition: Composition) => void): void {
  const composition = composedBefore();
  if (composition?.metrics === undefined) return;
  try {
    add(composition.metrics, composition);
  } catch (error) {
    console.error(error);
  }
}
