/**
 * How far a local clock is off, learned from answers that carry the server's time in whole seconds (HTTP's `Date`, RFC 9110 section 6.6.1).
 * A request leaves at local a, its answer arrives at local b. In between the server wrote d: at some local instant of [a, b] the true time lay
 * in [d, d + 1 s). With offset = true - local:
 *
 *     local    -------- a ======= b ------------------->
 *     true     ------------------------ d ====== d+1s ->
 *                                 | <-- least
 *                       | <-------------------- most
 *
 *     d - b  <=  offset  <=  d + 1 s - a
 *
 * One answer tells the offset to a second. Each further one, falling anywhere within its second, cuts a piece off either end: n of them tell it
 * to about 2 s / n, but no closer than the shortest round trip. Spans and local instants are milliseconds.
 */

/** The true time less the local time lies within these bounds, as known at local `atMs`. */
export interface ClockOffset {
  readonly leastMs: number;
  readonly mostMs: number;
  readonly atMs: number;
}

/** What a clock may run fast or slow by: five times an ordinary quartz, and as fast as NTP turns one (RFC 5905, 500 ppm). */
const MOST_DRIFT = 500e-6;
/** A clock read in whole milliseconds shows this much less than it stands at. */
const READING_MS = 1;

/**
 * What one answer tells of the offset, to a local clock that is read in whole milliseconds. Undefined when that is nothing: the clock was set back
 * by more than a second while the request was under way, or one of the numbers is none.
 */
export function answerOffset(sentMs: number, receivedMs: number, serverSeconds: number): ClockOffset | undefined {
  const leastMs = serverSeconds * 1_000 - receivedMs - READING_MS;
  const mostMs = serverSeconds * 1_000 + 1_000 - sentMs;
  return leastMs <= mostMs ? { leastMs, mostMs, atMs: receivedMs } : undefined;
}

/**
 * What is known with one more answer: the intersection. What was known before has widened by the drift since. When they contradict each other, one of
 * the clocks was set: the newest answer alone counts then.
 */
export function withAnswer(known: ClockOffset | undefined, answer: ClockOffset): ClockOffset {
  if (known === undefined) return answer;
  const driftMs = Math.max(0, answer.atMs - known.atMs) * MOST_DRIFT;
  const leastMs = Math.max(known.leastMs - driftMs, answer.leastMs);
  const mostMs = Math.min(known.mostMs + driftMs, answer.mostMs);
  return leastMs <= mostMs ? { leastMs, mostMs, atMs: answer.atMs } : answer;
}

/** The smallest correction that the answers ask for, in whole milliseconds within the bounds' own: 0 while the local clock may be right. */
export function correctionMs({ leastMs, mostMs }: ClockOffset): number {
  if (leastMs > 0) return Math.ceil(leastMs);
  return mostMs < 0 ? Math.floor(mostMs) : 0;
}
