import { BoundedMap } from '../lib/bounded-map.js';
import { type Clock, nowMs, steadyMs } from '../lib/clock.js';
import { type ApiKey, apiKeyOf, credentialKey, isLive } from '../lib/config/api-keys.js';
import { type ItemKey, type Store, StoreFailure } from '../lib/store/store.js';

/** Which secrets are looked up: those that Headgate makes, or any that it may have been told to store. */
export type KeyFormat = 'generated' | 'any';

const FORMATS: Readonly<Record<KeyFormat, RegExp>> = {
  generated: /^hg_[A-Za-z0-9_-]{43}$/,
  any: /^[\x21-\x7e]{12,256}$/,
};
/** How old an answer may be: a new, changed or revoked key is noticed within this time. */
const LIFE_MS = 60_000;
const KEYS_REMEMBERED = 10_000;
/** Seconds of the budget that may be spent at once. */
const BURST_SECONDS = 5;

export interface KeyLookupParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly namespace: string;
  readonly deadlineMs: number;
  readonly format: KeyFormat;
  /** Reads a second that may be spent on secrets of which none is a key; five times as many at once. */
  readonly unknownPerSecond: number;
}

interface Known {
  readonly key: ApiKey;
  readonly readAtMs: number;
  refreshing: boolean;
}

/**
 * Whose API key a secret is, with as few reads as guesses deserve:
 *
 *     secret --- not the format of a key ------------------------> nobody
 *        |------ a key, read less than a minute ago -------------> its entity     (read anew behind the answer from half that age on)
 *        |------ none, as read less than a minute ago -----------> nobody
 *        |------ too many of late were none: not read -----------> nobody
 *        '------ read -------------------------------------------> its entity, or nobody
 *
 * Keys and what is none are remembered apart, ten thousand of each, so that a flood of guesses pushes out no key. Only the SHA-256 of a secret is
 * remembered, and only that is asked for: no comparison whose time could tell anything of a secret is made here. While the store gives no answer,
 * keys that were read before go on being known.
 */
export class KeyLookup {
  readonly #parts: KeyLookupParts;
  readonly #keys = new BoundedMap<string, Known>(KEYS_REMEMBERED);
  /** When each of these was found to be none. */
  readonly #unknown = new BoundedMap<string, number>(KEYS_REMEMBERED);
  readonly #inFlight = new Map<string, Promise<ApiKey | undefined>>();
  readonly #readMs: number;
  /** When the whole budget will be there again, on the steady clock. */
  #budgetFullAtMs = 0;
  #unread = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: KeyLookupParts) {
    this.#parts = parts;
    this.#readMs = 1_000 / parts.unknownPerSecond;
  }

  /** The entity of a live key; undefined for any other secret. Throws `StoreFailure` when the store gives no answer and the key was never read. */
  async entityOf(secret: string): Promise<string | undefined> {
    const { clock, namespace, format } = this.#parts;
    if (!FORMATS[format].test(secret)) return undefined;
    const item = credentialKey(namespace, secret);
    const atMs = steadyMs(clock);
    const key = await this.#keyAt(item, atMs);
    return key !== undefined && isLive(key, nowMs(clock)) ? key.entity : undefined;
  }

  async #keyAt(item: ItemKey, atMs: number): Promise<ApiKey | undefined> {
    const known = this.#keys.get(item.pk);
    if (known !== undefined) return this.#current(item, known, atMs);
    const readAtMs = this.#unknown.get(item.pk);
    if (readAtMs !== undefined && atMs - readAtMs < LIFE_MS) return undefined;
    const pending = this.#inFlight.get(item.pk);
    if (pending !== undefined) return pending;
    if (this.#isSpent(atMs)) {
      this.#refuseUnread(atMs);
      return undefined;
    }
    const key = await this.#read(item, atMs);
    // Only guesses are charged, and so only once it is known: how many are under way at the same time may be spent too much.
    if (key === undefined) this.#budgetFullAtMs = Math.max(this.#budgetFullAtMs, atMs) + this.#readMs;
    return key;
  }

  async #current(item: ItemKey, known: Known, atMs: number): Promise<ApiKey | undefined> {
    const ageMs = atMs - known.readAtMs;
    if (ageMs < LIFE_MS) {
      if (ageMs >= LIFE_MS / 2 && !known.refreshing) this.#refresh(item, known, atMs);
      return known.key;
    }
    try {
      return await this.#read(item, atMs);
    } catch (error) {
      if (error instanceof StoreFailure) return known.key;
      throw error;
    }
  }

  #refresh(item: ItemKey, known: Known, atMs: number): void {
    known.refreshing = true;
    // Nobody waits for it: while a Lambda is frozen it can die unnoticed.
    this.#fetched(item, atMs).catch(() => {
      // It goes on being known for the rest of its life; the next use asks again.
      known.refreshing = false;
    });
  }

  /** Reads a key, once for all who ask for it now. */
  #read(item: ItemKey, atMs: number): Promise<ApiKey | undefined> {
    const pending = this.#inFlight.get(item.pk);
    if (pending !== undefined) return pending;
    const read = this.#fetched(item, atMs).finally(() => this.#inFlight.delete(item.pk));
    this.#inFlight.set(item.pk, read);
    return read;
  }

  async #fetched(item: ItemKey, atMs: number): Promise<ApiKey | undefined> {
    const { store, deadlineMs } = this.#parts;
    const [found] = await store.getItems([item], { signal: AbortSignal.timeout(deadlineMs) });
    // A read that was under way for long is older news than another that was sent after it.
    if ((this.#keys.get(item.pk)?.readAtMs ?? 0) > atMs) return found && apiKeyOf(found);
    if (found === undefined) {
      this.#keys.delete(item.pk);
      this.#unknown.set(item.pk, atMs);
      return undefined;
    }
    const key = apiKeyOf(found);
    this.#unknown.delete(item.pk);
    this.#keys.set(item.pk, { key, readAtMs: atMs, refreshing: false });
    return key;
  }

  #refuseUnread(atMs: number): void {
    this.#unread += 1;
    if (atMs - this.#warnedAtMs < LIFE_MS) return;
    this.#warnedAtMs = atMs;
    console.warn(`Too many unknown keys: ${this.#unread} so far were refused by this process without a look at the table`);
  }

  /** Whether the budget does not hold another read. */
  #isSpent(atMs: number): boolean {
    return Math.max(this.#budgetFullAtMs, atMs) + this.#readMs > atMs + BURST_SECONDS * 1_000;
  }
}
