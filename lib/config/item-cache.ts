import { BoundedMap } from '../bounded-map.js';
import { type Clock, nowMs } from '../clock.js';
import { type Item, type ItemKey, type Store, StoreFailure } from '../store/store.js';

const ITEMS_REMEMBERED = 10_000;

interface Entry<T> {
  readonly value: T;
  readonly readAtMs: number;
  refreshing: boolean;
}

/**
 * What the table said of configuration items less than `ttlMs` ago, "there is none" included. From half that age on a use fetches it anew behind
 * the answer, so that under traffic no request ever waits; items that are not here are fetched together, in one call. While the store gives no
 * answer, what was known last goes on serving.
 */
export class ItemCache<T> {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #deadlineMs: number;
  readonly #parse: (item: Item | undefined) => T;
  readonly #entries = new BoundedMap<string, Entry<T>>(ITEMS_REMEMBERED);
  readonly #inFlight = new Map<string, Promise<readonly T[]>>();

  constructor(parts: {
    readonly store: Store;
    readonly clock: Clock;
    readonly ttlMs: number;
    readonly deadlineMs: number;
    readonly parse: (item: Item | undefined) => T;
  }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#ttlMs = parts.ttlMs;
    this.#deadlineMs = parts.deadlineMs;
    this.#parse = parts.parse;
  }

  /** The values of these keys, in their order, with one call for all that are not cached. Simultaneous calls for the same keys share it. */
  async get(keys: readonly ItemKey[]): Promise<readonly T[]> {
    const fresh = this.#cached(keys);
    if (fresh !== undefined) return fresh;
    const flight = keys.map(itemId).join('\n');
    let pending = this.#inFlight.get(flight);
    if (pending === undefined) {
      pending = this.#fetch(keys).finally(() => this.#inFlight.delete(flight));
      this.#inFlight.set(flight, pending);
    }
    try {
      return await pending;
    } catch (error) {
      const entries = keys.map((key) => this.#entries.get(itemId(key)));
      if (!(error instanceof StoreFailure) || entries.includes(undefined)) throw error;
      return entries.flatMap((entry) => (entry === undefined ? [] : [entry.value]));
    }
  }

  /** The values of these keys if all are young enough; starts a refresh of those past half their life. */
  #cached(keys: readonly ItemKey[]): readonly T[] | undefined {
    if (this.#ttlMs === 0) return undefined;
    const now = nowMs(this.#clock);
    const values: T[] = [];
    const ageing: ItemKey[] = [];
    for (const key of keys) {
      const entry = this.#entries.get(itemId(key));
      if (entry === undefined || now - entry.readAtMs >= this.#ttlMs) return undefined;
      if (now - entry.readAtMs >= this.#ttlMs / 2 && !entry.refreshing) ageing.push(key);
      values.push(entry.value);
    }
    if (ageing.length > 0) this.#refresh(ageing);
    return values;
  }

  async #fetch(keys: readonly ItemKey[]): Promise<readonly T[]> {
    const items = await this.#store.getItems(keys, { signal: AbortSignal.timeout(this.#deadlineMs) });
    const readAtMs = nowMs(this.#clock);
    return keys.map((key, index) => {
      const value = this.#parse(items[index]);
      if (this.#ttlMs > 0) this.#entries.set(itemId(key), { value, readAtMs, refreshing: false });
      return value;
    });
  }

  #refresh(keys: readonly ItemKey[]): void {
    const entries = keys.flatMap((key) => this.#entries.get(itemId(key)) ?? []);
    for (const entry of entries) entry.refreshing = true;
    this.#fetch(keys).catch(() => {
      // The value goes on serving for the rest of its life; the next use asks again.
      for (const entry of entries) entry.refreshing = false;
    });
  }
}

const itemId = (key: ItemKey): string => `${key.pk}\n${key.sk}`;
