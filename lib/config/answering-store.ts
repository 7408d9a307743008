import { setTimeout } from 'node:timers/promises';
import { LimiterUnavailable } from '../errors.js';
import { type Store, StoreFailure, type WholeTable } from '../store/store.js';

const ATTEMPTS = 8;
const FIRST_PAUSE_MS = 10;

/**
 * The store as administration uses it: "no answer" is `LimiterUnavailable`, an error of the public table. A transaction that was refused because
 * another one held its items wrote nothing, and is sent again, up to eight times.
 */
export function answeringStore(store: Store): Store {
  return {
    write: (write, options) => answered(store.write(write, options)),
    read: (key, options) => answered(store.read(key, options)),
    getItems: (keys, options) => answered(store.getItems(keys, options)),
    queryItems: (pk, prefix, options) => answered(store.queryItems(pk, prefix, options)),
    transact: (operations, options) => answered(patiently(() => store.transact(operations, options))),
  };
}

/** The same of a store whose table is worked on as a whole. */
export function answeringTable(store: Store & WholeTable): Store & WholeTable {
  return {
    ...answeringStore(store),
    scanKeys: (options) => answered(patiently(() => store.scanKeys(options))),
    removeItems: (keys) => answered(patiently(() => store.removeItems(keys))),
  };
}

async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof StoreFailure)) throw error;
    throw new LimiterUnavailable(`The table could not be asked: ${error.message}`, { cause: error.cause ?? error });
  }
}

async function patiently<T>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof StoreFailure) || !error.retryable || error.ambiguous || attempt === ATTEMPTS) throw error;
      await pause(attempt);
    }
  }
}

/** A random part of 10 ms after the first attempt, of twice as long after each next one. */
export function pause(attempt: number): Promise<void> {
  return setTimeout(Math.random() * FIRST_PAUSE_MS * 2 ** (attempt - 1));
}
