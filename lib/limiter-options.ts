import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { type Clock, SystemClock } from './clock.js';
import { InvalidArgument } from './errors.js';
import type { OnEvent } from './limiter-event.js';
import { checkFields, checkName, checkTableName } from './names.js';
import type { LearningClock } from './store/dynamo-clock.js';
import { DynamoStore } from './store/dynamo-store.js';
import { MemoryStore } from './store/memory-store.js';
import type { Store } from './store/store.js';

/** What to do with a request when the database gives no answer in time. */
export type OnUnavailable = 'deny' | 'allow' | 'local' | { readonly local: { readonly share: number } };

export interface RateLimiterOptions {
  /** The table. Required unless a `store` is given. */
  readonly tableName?: string | undefined;
  /** Used as it is, with its middleware. @default a new DynamoDBClient, set up by the environment */
  readonly client?: DynamoDBClient | undefined;
  /** Isolates tenants in one table. @default 'default' */
  readonly namespace?: string | undefined;
  /** In place of a table: a MemoryStore in tests. */
  readonly store?: Store | undefined;
  /** Authoritative, never corrected. @default the machine's clock, corrected by the time in DynamoDB's answers */
  readonly clock?: Clock | undefined;
  /** How old a stored limit may be when it is applied, in milliseconds; 0: always read. @default 60000 */
  readonly cacheTtlMs?: number | undefined;
  /** `LimiterUnavailable`, free passage, or in-process buckets at a share of each limit (0.1 unless given). @default 'deny' */
  readonly onUnavailable?: OnUnavailable | undefined;
  /** The longest a decision may take in real time, in milliseconds. @default 1000 */
  readonly deadlineMs?: number | undefined;
  /** The most requests that may queue for one bucket in this process. @default 20000 */
  readonly maxQueue?: number | undefined;
  /**
   * Takes tokens of busy buckets in lots of this share of each capacity, and hands them out without a call: for long-lived processes, which give the
   * rest back with `close`. Admits at most this share of a capacity more at once. @default none: off
   */
  readonly prefetch?: { readonly share: number } | undefined;
  /** Called with what became of each request and settlement, for logs and metrics: see `LimiterEvent`. What it throws is dropped. @default none */
  readonly onEvent?: OnEvent | undefined;
}

export type StoreOptions = Pick<RateLimiterOptions, 'store' | 'tableName' | 'client'>;

export interface Settings {
  readonly store: Store;
  /** Ends the connections of a client that was made here; a client that was given stays open. */
  readonly disconnect: () => void;
  readonly namespace: string;
  readonly clock: Clock;
  readonly cacheTtlMs: number;
  readonly deadlineMs: number;
  readonly maxQueue: number;
  /** Undefined: no lots are taken. */
  readonly prefetchShare: number | undefined;
  /** An object: buckets at a share of each limit, in a store of their own. */
  readonly onUnavailable: 'deny' | 'allow' | { readonly share: number; readonly store: Store };
}

const FIELDS = [
  'tableName',
  'client',
  'namespace',
  'store',
  'clock',
  'cacheTtlMs',
  'onUnavailable',
  'deadlineMs',
  'maxQueue',
  'prefetch',
  'onEvent',
];
const DEFAULT_SHARE = 0.1;
const LONGEST_DEADLINE_MS = 60_000;
const LONGEST_CACHE_MS = 86_400_000;

/** The settings that options amount to. Throws `InvalidArgument` naming the option. */
export function settingsOf(options: RateLimiterOptions): Settings {
  checkFields(options, FIELDS, 'options');
  const {
    namespace = 'default',
    cacheTtlMs = 60_000,
    deadlineMs = 1_000,
    maxQueue = 20_000,
    onUnavailable = 'deny',
    prefetch,
    onEvent,
  } = options;
  checkName(namespace, 'namespace');
  inRange(cacheTtlMs, 0, LONGEST_CACHE_MS, 'cacheTtlMs');
  inRange(deadlineMs, 1, LONGEST_DEADLINE_MS, 'deadlineMs');
  inRange(maxQueue, 1, 10_000_000, 'maxQueue');
  if (prefetch !== undefined) {
    checkFields(prefetch, ['share'], 'prefetch');
    checkShare(prefetch.share, 'prefetch.share');
  }
  if (onEvent !== undefined && typeof onEvent !== 'function')
    throw new InvalidArgument({ field: 'onEvent', value: onEvent, expected: 'a function' });
  const own = options.clock === undefined ? new SystemClock() : undefined;
  const clock = own ?? options.clock;
  if (typeof clock?.nowNs !== 'function' || typeof clock.sleep !== 'function') {
    throw new InvalidArgument({ field: 'clock', value: clock, expected: 'a Clock: { nowNs(), sleep(ms, signal) }' });
  }
  return {
    ...storeOf(options, own),
    namespace,
    clock,
    cacheTtlMs,
    deadlineMs,
    maxQueue,
    prefetchShare: prefetch?.share,
    onUnavailable: policyOf(onUnavailable),
  };
}

/**
 * The store that options name (the one given, or the table), and what ends the connections that were made for it. `clock` learns from the table's
 * answers.
 */
export function storeOf(
  { store, tableName, client }: StoreOptions,
  clock?: LearningClock,
): Pick<Settings, 'store' | 'disconnect'> {
  if (store !== undefined) {
    if (typeof store !== 'object' || store === null || typeof store.write !== 'function') {
      throw new InvalidArgument({ field: 'store', value: store, expected: 'a Store, such as new MemoryStore()' });
    }
    if (tableName !== undefined || client !== undefined) {
      throw new InvalidArgument({
        field: 'tableName',
        value: tableName,
        expected: 'left out when a store is given, and client too',
      });
    }
    return { store, disconnect: () => {} };
  }
  checkTableName(tableName);
  if (client !== undefined && typeof client?.send !== 'function') {
    throw new InvalidArgument({ field: 'client', value: client, expected: 'a DynamoDBClient' });
  }
  if (client !== undefined) return { store: new DynamoStore({ client, tableName, clock }), disconnect: () => {} };
  const own = new DynamoDBClient({});
  return { store: new DynamoStore({ client: own, tableName, clock }), disconnect: () => own.destroy() };
}

function policyOf(policy: OnUnavailable): Settings['onUnavailable'] {
  if (policy === 'deny' || policy === 'allow') return policy;
  if (policy === 'local') return { share: DEFAULT_SHARE, store: new MemoryStore() };
  if (typeof policy !== 'object' || policy === null || Object.keys(policy).join() !== 'local') {
    throw new InvalidArgument({
      field: 'onUnavailable',
      value: policy,
      expected: "'deny', 'allow', 'local' or { local: { share } }",
    });
  }
  checkFields(policy.local, ['share'], 'onUnavailable.local');
  checkShare(policy.local.share, 'onUnavailable.local.share');
  return { share: policy.local.share, store: new MemoryStore() };
}

function checkShare(value: unknown, field: string): asserts value is number {
  if (typeof value !== 'number' || !(value > 0 && value <= 1)) {
    throw new InvalidArgument({ field, value, expected: 'a number above 0, at most 1' });
  }
}

function inRange(value: unknown, least: number, most: number, field: string): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new InvalidArgument({ field, value, expected: `an integer from ${least} to ${most}` });
  }
}
