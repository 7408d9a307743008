import { randomUUID } from 'node:crypto';
import { HeadgateAdmin, type HeadgateAdminOptions } from '../../lib/admin.js';
import { FakeClock } from '../../lib/clock.js';
import { RateLimiter } from '../../lib/limiter.js';
import type { RateLimiterOptions } from '../../lib/limiter-options.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { BucketKey } from '../../lib/store/schema.js';
import type { Store } from '../../lib/store/store.js';
import { createTestTable, testClient } from './dynamodb.js';

/** When a fresh clock stands: 2027-01-15T08:00:00Z, on the second, the minute and the hour. */
export const START_MS = 1_800_000_000_000;

/** A store, a clock that stands still, and a namespace that nobody else uses. */
export interface TestBed {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly namespace: string;
  /** A new limiter, as another process would have it: it shares the buckets and has seen none of them. */
  readonly limiter: (options?: RateLimiterOptions) => RateLimiter;
  readonly admin: (options?: HeadgateAdminOptions) => HeadgateAdmin;
  readonly bucket: (entity?: string, resource?: string) => BucketKey;
}

/** What every suite that runs against all stores is given: the store's name, and how to get one. */
export interface StoreUnderTest {
  readonly name: string;
  readonly fresh: (clock?: FakeClock) => Promise<TestBed>;
}

/** Far more than a decision takes on a busy machine: only tests of deadlines meet one. */
const DEADLINE_MS = 30_000;

export function testBed(store: Store, clock = new FakeClock(START_MS)): TestBed {
  const namespace = `test-${randomUUID()}`;
  return {
    store,
    clock,
    namespace,
    limiter: (options = {}) => new RateLimiter({ store, clock, namespace, deadlineMs: DEADLINE_MS, ...options }),
    admin: (options = {}) => new HeadgateAdmin({ store, clock, namespace, ...options }),
    bucket: (entity = 'key-123', resource = 'gpt-4') => ({ namespace, resource, entity, shard: 0 }),
  };
}

let table: Promise<Store> | undefined;

/** One table for a whole test file: the namespaces keep its tests apart. */
function sharedTable(): Promise<Store> {
  table ??= createTestTable().then((tableName) => new DynamoStore({ client: testClient(), tableName }));
  return table;
}

export const memory: StoreUnderTest = { name: 'memory', fresh: async (clock) => testBed(new MemoryStore(), clock) };
export const dynamo: StoreUnderTest = { name: 'DynamoDB', fresh: async (clock) => testBed(await sharedTable(), clock) };

/** For `describe.each`: every adapter of the port, held to the same behaviour. */
export const eachStore: readonly StoreUnderTest[] = [memory, dynamo];
