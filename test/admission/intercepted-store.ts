import type { Clock } from '../../lib/clock.js';
import type { BucketWrite, Store } from '../../lib/store/store.js';

/** One call on its way to a store. */
export interface Call {
  readonly method: keyof Store;
  /** The bucket write that it asks for; undefined for every other call. */
  readonly write: BucketWrite | undefined;
}

/** What happens around a call: it may be held, counted, lost, or let through by `proceed`. */
export type Around = <T>(proceed: () => Promise<T>, call: Call) => Promise<T>;

/** The store, with every call led through `around`. */
export function intercepted(store: Store, around: Around): Store {
  const other = (method: keyof Store): Call => ({ method, write: undefined });
  return {
    write: (write, options) => around(() => store.write(write, options), { method: 'write', write }),
    read: (key, options) => around(() => store.read(key, options), other('read')),
    getItems: (keys, options) => around(() => store.getItems(keys, options), other('getItems')),
    queryItems: (pk, prefix, options) => around(() => store.queryItems(pk, prefix, options), other('queryItems')),
    transact: (operations, options) => around(() => store.transact(operations, options), other('transact')),
  };
}

/** The store, with every call noted in `calls` as it leaves. */
export function recorded(store: Store): { readonly store: Store; readonly calls: Call[]; readonly writes: () => number } {
  const calls: Call[] = [];
  const recording = intercepted(store, (proceed, call) => {
    calls.push(call);
    return proceed();
  });
  return { store: recording, calls, writes: () => calls.filter(({ method }) => method === 'write').length };
}

/** A store whose calls, after the first `free` ones, stand still before they happen, until `open`; from then on nothing is held. */
export function gated(store: Store, free = 0): { readonly store: Store; readonly held: Call[]; readonly open: () => void } {
  const held: Call[] = [];
  let passed = 0;
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const holding = intercepted(store, async (proceed, call) => {
    passed += 1;
    if (passed > free) {
      held.push(call);
      await opened;
    }
    return proceed();
  });
  return { store: holding, held, open: () => open() };
}

/** The store at `latencyMs` a call of the clock's time: half of it before the call happens, half after. */
export function distant(store: Store, clock: Clock, latencyMs: number): Store {
  return intercepted(store, async (proceed) => {
    await clock.sleep(latencyMs / 2);
    const answer = await proceed();
    await clock.sleep(latencyMs / 2);
    return answer;
  });
}
