import { BoundedMap } from '../bounded-map.js';
import { type Clock, steadyMs } from '../clock.js';
import { type Item, type ItemKey, type Store, StoreFailure } from '../store/store.js';

/** Those of more than ten thousand busy entities: some four items each, of which most are known not to exist. */
const ITEMS_REMEMBERED = 50_000;

/** What a cache did so far. */
export interface CacheStats {
  /** Items answered from memory. */
  readonly hits: number;
  /** Items that somebody waited for. */
  readonly misses: number;
  /** Items fetched anew behind an answer. */
  readonly refreshes: number;
  /** Calls to the store. */
  readonly calls: number;
  /** Items remembered now, those that are known not to exist included. */
  readonly size: number;
}

/** Values, and until when they need not be asked for again: none of them is older than half its life by then. */
export interface Cached<T> {
  readonly values: readonly T[];
  readonly freshUntilMs: number;
}

/** Values by their ids, as old as the question they answered: they may have been true only then. */
interface Fetched<T> {
  readonly values: ReadonlyMap<string, T>;
  readonly readAtMs: number;
}

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
  readonly #counted = { hits: 0, misses: 0, refreshes: 0, calls: 0 };
  readonly #inFlight = new Map<string, Promise<Fetched<T>>>();

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

  get stats(): CacheStats {
    return { ...this.#counted, size: this.#entries.size };
  }

  /** The values of these keys, in their order, with one call for all that are not cached. Simultaneous calls for the same keys share it. */
  async get(keys: readonly ItemKey[]): Promise<Cached<T>> {
    const now = steadyMs(this.#clock);
    const entries = keys.map((key) => this.#entries.get(itemId(key)));
    const isFresh = (entry: Entry<T> | undefined): entry is Entry<T> => entry !== undefined && now - entry.readAtMs < this.#ttlMs;
    const missing = keys.filter((_, index) => !isFresh(entries[index]));
    const ageing = keys.filter((_, index) => {
      const entry = entries[index];
      return isFresh(entry) && now - entry.readAtMs >= this.#ttlMs / 2 && !entry.refreshing;
    });
    this.#counted.hits += keys.length - missing.length;
    this.#counted.misses += missing.length;
    if (ageing.length > 0) this.#refresh(ageing);
    const fetched = missing.length === 0 ? undefined : await this.#shared(missing, entries);
    let oldestMs = fetched?.readAtMs ?? now;
    const values = keys.map((key, index) => {
      const id = itemId(key);
      if (fetched?.values.has(id)) return fetched.values.get(id) as T;
      oldestMs = Math.min(oldestMs, entries[index]?.readAtMs ?? oldestMs);
      return entries[index]?.value as T;
    });
    return { values, freshUntilMs: oldestMs + this.#ttlMs / 2 };
  }

  /** Fetches what is missing, once for all who ask for the same now. `known`: what serves while the store gives no answer, if it is complete. */
  async #shared(missing: readonly ItemKey[], known: readonly (Entry<T> | undefined)[]): Promise<Fetched<T> | undefined> {
    const flight = missing.map(itemId).join('\n');
    let pending = this.#inFlight.get(flight);
    if (pending === undefined) {
      pending = this.#fetch(missing).finally(() => this.#inFlight.delete(flight));
      this.#inFlight.set(flight, pending);
    }
    try {
      return await pending;
    } catch (error) {
      if (!(error instanceof StoreFailure) || known.includes(undefined)) throw error;
      return undefined;
    }
  }

  async #fetch(keys: readonly ItemKey[]): Promise<Fetched<T>> {
    const readAtMs = steadyMs(this.#clock);
    this.#counted.calls += 1;
    const items = await this.#store.getItems(keys, { signal: AbortSignal.timeout(this.#deadlineMs) });
    const values = new Map<string, T>();
    for (const [index, key] of keys.entries()) {
      const [id, value] = [itemId(key), this.#parse(items[index])];
      values.set(id, value);
      const newer = (this.#entries.get(id)?.readAtMs ?? 0) > readAtMs;
      if (this.#ttlMs > 0 && !newer) this.#entries.set(id, { value, readAtMs, refreshing: false });
    }
    return { values, readAtMs };
  }

  #refresh(keys: readonly ItemKey[]): void {
    const entries = keys.flatMap((key) => this.#entries.get(itemId(key)) ?? []);
    for (const entry of entries) entry.refreshing = true;
    this.#counted.refreshes += entries.length;
    this.#fetch(keys).catch(() => {
      // The value goes on serving for the rest of its life; the next use asks again.
      for (const entry of entries) entry.refreshing = false;
    });
  }
}

const itemId = (key: ItemKey): string => `${key.pk}\n${key.sk}`;
