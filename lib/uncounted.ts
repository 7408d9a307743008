import type { LimiterUnavailable } from './errors.js';
import type { Outcome, RateLimiter } from './limiter.js';
import type { AcquireRequest } from './request.js';

/**
 * What `onUnavailable` says of a request whose limits could not be read, so that nobody knows what it consumes. Should the database answer by now, it is
 * told to come again: throws `unavailable`.
 */
export async function uncounted(
  limiter: RateLimiter,
  request: Omit<AcquireRequest, 'consume'>,
  unavailable: LimiterUnavailable,
): Promise<Outcome> {
  const outcome = await limiter.tryAcquire({ ...request, consume: {} });
  if (!outcome.granted || outcome.lease.decidedBy !== 'store') return outcome;
  await outcome.lease.release();
  throw unavailable;
}
