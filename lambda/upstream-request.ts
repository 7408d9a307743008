import type { Problem } from '../lib/http/problem.js';
import { problem } from '../lib/http/problem.js';

/** How long a provider is waited for, and what ends the waiting before. */
export interface Patience {
  /** Until the answer begins. */
  readonly timeoutMs: number;
  /** Until the function's own time is over, settling included. */
  readonly remainingMs: number;
  /** Aborted when nobody waits for the answer any more; undefined: the provider is left to finish. */
  readonly left: AbortSignal | undefined;
}

/** What an answer may not outlast: the settlement is written in it. */
const TO_SETTLE_MS = 5_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The provider's answer, or why there is none, as a problem; its body breaks off when the function's time is over or its client has left. */
export async function answerOf(
  target: URL,
  init: RequestInit,
  { timeoutMs, remainingMs, left }: Patience,
): Promise<Response | Problem> {
  const beginning = new AbortController();
  const slow = setTimeout(() => beginning.abort(timedOut('The provider has not answered in time')), timeoutMs);
  const end = AbortSignal.timeout(Math.min(Math.max(0, remainingMs - TO_SETTLE_MS), LONGEST_TIMER_MS));
  try {
    const signal = AbortSignal.any([beginning.signal, end, ...(left ? [left] : [])]);
    return await fetch(target, { ...init, signal, redirect: 'manual' });
  } catch (error) {
    if (left?.aborted) return problem(499, 'ClientLeft', 'Client closed request', 'The client has left; no tokens were charged');
    if (beginning.signal.aborted || end.aborted)
      return problem(504, 'UpstreamTimeout', 'Gateway timeout', 'The provider has not answered in time; no tokens were charged');
    console.error(withoutSecrets(error));
    return problem(502, 'UpstreamUnreachable', 'Bad gateway', 'The provider could not be reached; no tokens were charged');
  } finally {
    clearTimeout(slow);
  }
}

const timedOut = (message: string) => new DOMException(message, 'TimeoutError');

/** What the log may have of an error of `fetch`: its causes' messages and codes, for an error itself may carry the request and its key. */
function withoutSecrets(error: unknown): string {
  const told: string[] = [];
  for (let each = error; each instanceof Error && told.length < 5; each = each.cause)
    told.push(`${each.name}: ${each.message}${'code' in each ? ` (${String(each.code)})` : ''}`);
  return told.join(', caused by ') || 'the provider could not be reached';
}
