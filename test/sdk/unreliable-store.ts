import { type BucketWrite, type CallOptions, type Store, StoreFailure } from '../../lib/store/store.js';

/**
 * What becomes of a call: it is `answered`; it happens and its answer is `lost`; it is `unsent`, which its caller cannot tell from lost;
 * it is `throttled`, or `refused` for good; it is `hanging` until its caller gives up.
 */
export type Fate = 'answered' | 'lost' | 'unsent' | 'throttled' | 'refused' | 'hanging';

/** What the failures of an unreliable store have as their cause. */
export const NO_ROUTE = new Error('no route to host');

/** A store whose calls meet the fates that a test has laid out for them; with none left, the usual one. */
export class UnreliableStore implements Store {
  usual: Fate = 'answered';
  fates: Fate[] = [];
  /** Every bucket write that was sent, in order, whatever became of it. */
  readonly writes: BucketWrite[] = [];
  /** The names of all calls, in order. */
  readonly calls: string[] = [];

  constructor(readonly inner: Store) {}

  write(write: BucketWrite, options?: CallOptions) {
    this.writes.push(write);
    return this.#fated('write', options, () => this.inner.write(write));
  }

  read(...[key, options]: Parameters<Store['read']>) {
    return this.#fated('read', options, () => this.inner.read(key));
  }

  getItems(...[keys, options]: Parameters<Store['getItems']>) {
    return this.#fated('getItems', options, () => this.inner.getItems(keys));
  }

  queryItems(...[pk, skPrefix, options]: Parameters<Store['queryItems']>) {
    return this.#fated('queryItems', options, () => this.inner.queryItems(pk, skPrefix));
  }

  transact(...[operations, options]: Parameters<Store['transact']>) {
    return this.#fated('transact', options, () => this.inner.transact(operations));
  }

  async #fated<T>(name: string, options: CallOptions | undefined, call: () => Promise<T>): Promise<T> {
    this.calls.push(name);
    const fate = this.fates.shift() ?? this.usual;
    switch (fate) {
      case 'answered':
        return call();
      case 'lost':
        await call();
        throw failure({ ambiguous: true, retryable: true });
      case 'unsent':
        throw failure({ ambiguous: true, retryable: true });
      case 'throttled':
        throw failure({ ambiguous: false, retryable: true, throttled: true });
      case 'refused':
        throw failure({ ambiguous: false, retryable: false });
      case 'hanging':
        await aborted(options?.signal);
        throw failure({ ambiguous: true, retryable: true });
    }
  }
}

const failure = (details: { ambiguous: boolean; retryable: boolean; throttled?: boolean }) =>
  new StoreFailure('no answer from the store', { ...details, cause: NO_ROUTE });

function aborted(signal: CallOptions['signal']): Promise<void> {
  return new Promise((resolve) => {
    if (signal === undefined) throw new Error('a call without a signal would hang for good');
    if (signal.aborted) resolve();
    signal.onabort = () => resolve();
  });
}
