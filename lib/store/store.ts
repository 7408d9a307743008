/**
 * The port between Headgate and a database: conditional writes of buckets, and plain items for what is configured.
 * A store evaluates conditions; it never knows what a limit means.
 */

import type { LimitWrite } from '../core/branch.js';
import { NOTHING_STORED, type Stored } from '../core/standing.js';
import type { BucketKey } from './schema.js';

/** One conditional write of one bucket: all its limits' branches hold, or nothing changes. */
export interface BucketWrite {
  readonly key: BucketKey;
  readonly limits: readonly LimitWrite[];
  /** Added to the bucket's count of admitted requests; -1 takes one back. */
  readonly requests: number;
  /** Added to the bucket's count of denials: those this process has not reported yet. */
  readonly denials: number;
  /** The latest start of the places reserved by this write; undefined: none is. */
  readonly reservedUntilFs?: bigint | undefined;
  /** When the item may be deleted. `ifAbsent`: only where none is stored, because the stored one is not known and might be later. */
  readonly ttl: { readonly seconds: number; readonly ifAbsent: boolean };
}

/** A bucket as it is stored. */
export interface BucketState extends Stored {
  /** The latest start that a place in the queue was given; what is missing below it is a queue, and not debt. */
  readonly reservedUntilFs?: bigint | undefined;
  /** Epoch seconds. */
  readonly ttlSeconds: number | undefined;
}

/** What became of a write: the bucket after it, and the one that it met; an empty one where there was no item. */
export type WriteResult =
  | { readonly applied: true; readonly state: BucketState; readonly met: BucketState }
  /** A condition failed, and this is the bucket that it met. */
  | { readonly applied: false; readonly state: BucketState };

/** An item of configuration: `pk`, `sk` and plain values (strings, numbers, booleans, arrays, objects). */
export interface Item {
  readonly pk: string;
  readonly sk: string;
  readonly [attribute: string]: unknown;
}

export type ItemKey = Pick<Item, 'pk' | 'sk'>;

/** Attributes that a present item must have, each with exactly this value; undefined: that it must not have. */
export type Equal = Readonly<Record<string, string | number | undefined>>;

/** One part of a transaction. `ifEqual` also asks that the item is present. */
export type Operation =
  | { readonly kind: 'put'; readonly item: Item; readonly ifAbsent?: boolean; readonly ifEqual?: Equal }
  | ItemUpdate
  | { readonly kind: 'remove'; readonly key: ItemKey; readonly ifPresent?: boolean; readonly ifEqual?: Equal }
  | { readonly kind: 'requirePresent'; readonly key: ItemKey; readonly ifEqual?: Equal }
  | { readonly kind: 'bucket'; readonly write: BucketWrite };

/** Changes some attributes of an item that is present; the others stay as they are. */
export interface ItemUpdate {
  readonly kind: 'update';
  readonly key: ItemKey;
  /** New values; undefined takes the attribute away. */
  readonly set?: Readonly<Record<string, unknown>>;
  /** Added to numbers; an absent one counts as 0. */
  readonly add?: Readonly<Record<string, number>>;
  readonly ifEqual?: Equal;
}

/** Whether a transaction happened; if not, the operations whose conditions failed, each with the item it met. */
export type TransactionResult =
  | { readonly applied: true }
  | {
      readonly applied: false;
      readonly failed: readonly {
        readonly index: number;
        readonly met: Item | undefined;
        readonly state: BucketState | undefined;
      }[];
    };

/** Ends a call: the part of an AbortSignal that one call needs. */
export interface CallSignal {
  readonly aborted: boolean;
  readonly reason?: unknown;
  onabort: ((event: never) => void) | null;
}

export interface CallOptions {
  readonly signal?: CallSignal | undefined;
}

/** Which of the items found. */
export interface QueryOptions extends CallOptions {
  /** Only those whose sort key comes after this one, in the order asked for; it need not be there. */
  readonly after?: string | undefined;
  /** The last first. @default false */
  readonly backwards?: boolean | undefined;
  /** No more than this, from 1. @default all */
  readonly most?: number | undefined;
}

/** Every method throws `StoreFailure` when there is no answer, and `InvalidArgument` when the store is set up wrongly. */
export interface Store {
  write(write: BucketWrite, options?: CallOptions): Promise<WriteResult>;
  /** The bucket as it is now, strongly consistent; undefined where there is no item. */
  read(key: BucketKey, options?: CallOptions): Promise<BucketState | undefined>;
  /** The items of these keys, in their order, undefined where there is none. At most 100 different keys. */
  getItems(
    keys: readonly ItemKey[],
    options?: CallOptions & { /** As they are now, at twice the price. @default false */ readonly consistent?: boolean },
  ): Promise<readonly (Item | undefined)[]>;
  /** The items of a partition whose sort key starts with the prefix, as they are now, in the order of the sort key's UTF-8 bytes, or backwards. */
  queryItems(pk: string, skPrefix: string, options?: QueryOptions): Promise<readonly Item[]>;
  /** All operations, or none. At most 100. */
  transact(operations: readonly Operation[], options?: CallOptions): Promise<TransactionResult>;
}

/** A page of the table, in an order of no meaning that stays the same. */
export interface ScannedPage {
  /** Of the items looked at, those that were asked for. */
  readonly keys: readonly ItemKey[];
  /** How many were looked at, and paid for. */
  readonly examined: number;
  /** Where the next page begins; undefined: this is the last. */
  readonly next: ItemKey | undefined;
}

/** What works on the table as a whole, whoever's items they are: nothing but the purging of a namespace does. */
export interface WholeTable {
  /** Looks at up to `most` items after a key, as they are now, and gives the keys of those whose partition key has the prefix. */
  scanKeys(options: {
    readonly pkPrefix: string;
    /** @default from the first */
    readonly after?: ItemKey | undefined;
    /** From 1. */
    readonly most: number;
  }): Promise<ScannedPage>;
  /** Deletes the items of these keys, any number, buckets too, on no condition. After a failure some may be gone; the same call goes on. */
  removeItems(keys: readonly ItemKey[]): Promise<void>;
}

/** The store gave no answer, or one that is no decision. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure';
  /** The write may have happened all the same: its answer was lost. */
  readonly ambiguous: boolean;
  /** The same call may succeed in a moment. */
  readonly retryable: boolean;
  readonly throttled: boolean;

  constructor(
    message: string,
    details: { readonly ambiguous: boolean; readonly retryable: boolean; readonly throttled?: boolean; readonly cause: unknown },
  ) {
    super(message, { cause: details.cause });
    this.ambiguous = details.ambiguous;
    this.retryable = details.retryable;
    this.throttled = details.throttled ?? false;
  }
}

export const EMPTY_BUCKET: BucketState = { ...NOTHING_STORED, ttlSeconds: undefined };
