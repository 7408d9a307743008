import { LimiterUnavailable } from './errors.js';
import { StoreFailure } from './store/store.js';

/** The error of a request that the database gave no answer to. */
export const unavailable = (cause: StoreFailure): LimiterUnavailable =>
  new LimiterUnavailable(`The limiter could not decide: ${cause.message}`, { cause: cause.cause ?? cause });

/** Throws it for a failure of the store, and any other error as it is. */
export function orUnavailable(error: unknown): never {
  throw error instanceof StoreFailure ? unavailable(error) : error;
}
