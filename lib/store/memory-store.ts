import { after } from './bucket-after.js';
import { BUCKET_SK, type BucketKey, bucketPk } from './schema.js';
import {
  type BucketState,
  type BucketWrite,
  EMPTY_BUCKET,
  type Equal,
  type Item,
  type ItemKey,
  type ItemUpdate,
  type Operation,
  type QueryOptions,
  type ScannedPage,
  type Store,
  type TransactionResult,
  type WholeTable,
  type WriteResult,
} from './store.js';

/**
 * A store in this process's memory, for users' tests and single-process tools: it evaluates the very conditions the database does.
 * Share one instance between limiters to share their buckets. Nothing expires, nothing is persisted.
 */
export class MemoryStore implements Store, WholeTable {
  readonly #buckets = new Map<string, BucketState>();
  readonly #items = new Map<string, Item>();

  async write(write: BucketWrite): Promise<WriteResult> {
    const pk = bucketPk(write.key);
    const stored = this.#buckets.get(pk);
    const written = after(write, stored);
    if (written === undefined) return { applied: false, state: stored ?? EMPTY_BUCKET };
    this.#buckets.set(pk, written);
    return { applied: true, state: written, met: stored ?? EMPTY_BUCKET };
  }

  async read(key: BucketKey): Promise<BucketState | undefined> {
    return this.#buckets.get(bucketPk(key));
  }

  async getItems(keys: readonly ItemKey[]): Promise<readonly (Item | undefined)[]> {
    return keys.map((key) => copied(this.#items.get(itemId(key))));
  }

  async queryItems(pk: string, skPrefix: string, options: QueryOptions = {}): Promise<readonly Item[]> {
    const { after: start, most, backwards = false } = options;
    const order = (a: string, b: string) => (backwards ? byBytes(b, a) : byBytes(a, b));
    return [...this.#items.values()]
      .filter((item) => item.pk === pk && item.sk.startsWith(skPrefix) && (start === undefined || order(item.sk, start) > 0))
      .sort((a, b) => order(a.sk, b.sk))
      .slice(0, most)
      .map((item) => structuredClone(item));
  }

  async transact(operations: readonly Operation[]): Promise<TransactionResult> {
    const failed = operations.flatMap((operation, index) => {
      const met = this.#refusal(operation);
      return met === undefined ? [] : [{ index, ...met }];
    });
    if (failed.length > 0) return { applied: false, failed };
    for (const operation of operations) this.#perform(operation);
    return { applied: true };
  }

  async scanKeys({ pkPrefix, after: start, most }: Parameters<WholeTable['scanKeys']>[0]): Promise<ScannedPage> {
    const buckets = [...this.#buckets.keys()].map((pk): ItemKey => ({ pk, sk: BUCKET_SK }));
    const keys = [...this.#items.values(), ...buckets]
      .sort((a, b) => byBytes(itemId(a), itemId(b)))
      .filter((key) => start === undefined || byBytes(itemId(key), itemId(start)) > 0);
    const page = keys.slice(0, most).map(({ pk, sk }) => ({ pk, sk }));
    return {
      keys: page.filter(({ pk }) => pk.startsWith(pkPrefix)),
      examined: page.length,
      next: keys.length > most ? page.at(-1) : undefined,
    };
  }

  async removeItems(keys: readonly ItemKey[]): Promise<void> {
    for (const key of keys) this.#perform({ kind: 'remove', key });
  }

  /** What an operation met, when that keeps it from happening. */
  #refusal(operation: Operation): { met: Item | undefined; state: BucketState | undefined } | undefined {
    switch (operation.kind) {
      case 'put': {
        const { item, ifAbsent, ifEqual } = operation;
        const met = this.#items.get(itemId(item));
        if (ifEqual !== undefined) return this.#unlike(item, ifEqual);
        return ifAbsent && met !== undefined ? { met: copied(met), state: undefined } : undefined;
      }
      case 'remove':
        if (!operation.ifPresent && operation.ifEqual === undefined) return undefined;
        return this.#unlike(operation.key, operation.ifEqual);
      case 'update':
      case 'requirePresent':
        return this.#unlike(operation.key, operation.ifEqual);
      case 'bucket': {
        const stored = this.#buckets.get(bucketPk(operation.write.key));
        return after(operation.write, stored) === undefined ? { met: undefined, state: stored ?? EMPTY_BUCKET } : undefined;
      }
    }
  }

  #unlike(key: ItemKey, equal: Equal = {}): { met: Item | undefined; state: undefined } | undefined {
    const met = this.#items.get(itemId(key));
    const alike = met !== undefined && Object.entries(equal).every(([attribute, value]) => met[attribute] === value);
    return alike ? undefined : { met: copied(met), state: undefined };
  }

  #perform(operation: Operation): void {
    switch (operation.kind) {
      case 'put':
        this.#items.set(itemId(operation.item), defined(structuredClone(operation.item)));
        return;
      case 'update':
        this.#items.set(
          itemId(operation.key),
          updated({ ...this.#items.get(itemId(operation.key)), ...operation.key }, operation),
        );
        return;
      case 'remove':
        this.#items.delete(itemId(operation.key));
        if (operation.key.sk === BUCKET_SK) this.#buckets.delete(operation.key.pk);
        return;
      case 'requirePresent':
        return;
      case 'bucket': {
        const pk = bucketPk(operation.write.key);
        const written = after(operation.write, this.#buckets.get(pk));
        if (written !== undefined) this.#buckets.set(pk, written);
      }
    }
  }
}

function updated(item: Item, { set = {}, add = {} }: ItemUpdate): Item {
  const changed: Record<string, unknown> = { ...item, ...structuredClone(set) };
  for (const [attribute, amount] of Object.entries(add)) changed[attribute] = Number(changed[attribute] ?? 0) + amount;
  return defined(changed as Item);
}

/** An item has no attribute without a value. */
function defined(item: Item): Item {
  return Object.fromEntries(Object.entries(item).filter(([, value]) => value !== undefined)) as unknown as Item;
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const itemId = (key: ItemKey): string => `${key.pk}\n${key.sk}`;
const copied = (item: Item | undefined): Item | undefined => (item === undefined ? undefined : structuredClone(item));
