import { type Clock, steadyMs } from '../lib/clock.js';

/** How long keys are used before they are read again: a rotation is known to every process after this. */
export const KEYS_FRESH_MS = 60_000;
/** Before a read that failed is tried again. */
const RETRY_AFTER_MS = 5_000;

/**
 * What keys of a secret amount to, read again when it is older than a minute, so that a key that is put or retired is known to functions that have run for
 * days. While reading fails, what was read last stands; rejects only where nothing was ever read.
 */
export function freshKeys<Made>(
  read: () => Promise<readonly string[]>,
  make: (keys: readonly string[]) => Made,
  clock: Clock,
): () => Promise<Made> {
  let last: { readonly keys: string; readonly made: Made } | undefined;
  let freshUntilMs = 0;
  let reading: Promise<Made> | undefined;
  const again = async (): Promise<Made> => {
    try {
      const keys = await read();
      if (last?.keys !== keys.join()) last = { keys: keys.join(), made: make(keys) };
      freshUntilMs = steadyMs(clock) + KEYS_FRESH_MS;
      return last.made;
    } catch (error) {
      if (last === undefined) throw error;
      console.error(error);
      freshUntilMs = steadyMs(clock) + RETRY_AFTER_MS;
      return last.made;
    } finally {
      reading = undefined;
    }
  };
  return async () => {
    if (last !== undefined && steadyMs(clock) < freshUntilMs) return last.made;
    reading ??= again();
    return reading;
  };
}
