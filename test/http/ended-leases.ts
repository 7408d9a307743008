import { Limit } from '../../lib/core/limit.js';
import { type Ending, endOnce } from '../../lib/http/settle-once.js';
import type { Lease, Tokens } from '../../lib/lease.js';
import type { LeaseState } from '../../lib/limiter.js';
import type { AcquireRequest } from '../../lib/request.js';
import { BUCKET_SK, bucketPk } from '../../lib/store/schema.js';
import type { Store } from '../../lib/store/store.js';
import type { StoreUnderTest } from '../support/stores.js';

export const on = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)] };

export const release: Ending = { kind: 'release' };
export const adjusted = (actual: Tokens): Ending => ({ kind: 'adjust', actual });
/** What travels of a lease. */
export const stateOf = ({ id, entity, resource, grants }: Lease): LeaseState => ({ id, entity, resource, grants });

export const closed = { code: 'LeaseClosed' };

interface Options {
  /** What the endings go through, instead of the store itself. */
  readonly through?: (store: Store) => Store;
  readonly deadlineMs?: number;
}

/** A lease of 1 request and 500 tokens, and how to end it as the API does: from its state, in no process's memory. */
export async function ending(
  fresh: StoreUnderTest['fresh'],
  request: AcquireRequest = { ...on, consume: { rpm: 1, tpm: 500 } },
  { through = (store) => store, deadlineMs = 30_000 }: Options = {},
) {
  const bed = await fresh();
  const limiter = bed.limiter();
  const state = stateOf(await limiter.acquire(request));
  const parts = { ...bed, store: through(bed.store), deadlineMs };
  return {
    ...bed,
    limiter,
    state,
    key: { pk: bucketPk(bed.bucket()), sk: BUCKET_SK },
    end: (how: Ending) => endOnce(parts, state, how),
    /** Where the bucket's limits stand, to the femtosecond. */
    positions: async () => (await bed.store.read(bed.bucket()))?.positions,
  };
}
