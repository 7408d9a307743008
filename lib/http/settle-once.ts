import type { Grant } from '../admission/admission.js';
import { Deadline } from '../admission/deadline.js';
import { type Clock, nowMs } from '../clock.js';
import { type Difference, settlementWrites } from '../core/settlement.js';
import { LeaseClosed, LimiterUnavailable } from '../errors.js';
import { Lease, type PostDifferences, type Tokens } from '../lease.js';
import type { LeaseState } from '../limiter.js';
import { LEASE_SK, leasePk, TTL } from '../store/schema.js';
import { type BucketState, type Operation, type Store, StoreFailure, type TransactionResult } from '../store/store.js';

/** How a lease was ended over HTTP. The record of it outlives every token of the lease. */
export type Ending = { readonly kind: 'adjust'; readonly actual: Tokens } | { readonly kind: 'release' };

/** A token is good for a day at most after its start, which lies a day ahead at most; and clocks differ. */
const RECORD_LIFE_SECONDS = 3 * 86_400;
const BUCKET_LIFE_SECONDS = 35 * 86_400;
const MOST_ATTEMPTS = 8;
const FIRST_BACKOFF_MS = 5;
const LONGEST_BACKOFF_MS = 200;

/**
 * Ends a lease exactly once: the record that it is closed and the change of its buckets are one transaction (a token alone could be settled to
 * 1, to 2, and released, each giving tokens back). The same ending again changes nothing and succeeds; another one throws `LeaseClosed`.
 */
export async function endOnce(
  parts: { readonly store: Store; readonly clock: Clock; readonly namespace: string; readonly deadlineMs: number },
  state: LeaseState,
  ending: Ending,
): Promise<void> {
  const changes = await changesOf(state, ending);
  const nowSeconds = Math.floor(nowMs(parts.clock) / 1_000);
  const record = {
    pk: leasePk(parts.namespace, state.id),
    sk: LEASE_SK,
    ending: canonical(ending),
    [TTL]: nowSeconds + RECORD_LIFE_SECONDS,
  };
  const ttl = { seconds: nowSeconds + BUCKET_LIFE_SECONDS, ifAbsent: true };
  const met = new Map<Change, BucketState>();
  const write = (change: Change): Operation => {
    const { grant, differences } = change;
    const seen = met.get(change);
    const limits = settlementWrites([{ differences, acquiredAtFs: grant.acquiredAtFs, answered: seen !== undefined }], seen);
    return { kind: 'bucket', write: { key: grant.key, limits, requests: 0, denials: 0, ttl } };
  };
  const deadline = new Deadline(parts.deadlineMs);
  try {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
      const result = await transacted(
        parts.store,
        [{ kind: 'put', item: record, ifAbsent: true }, ...changes.map(write)],
        deadline,
      );
      if (result.applied) return;
      for (const { index, met: item, state: bucket } of result.failed) {
        const change = changes[index - 1];
        if (change === undefined && item?.ending === record.ending) return;
        if (change === undefined) throw new LeaseClosed(state.id);
        // A limit was changed since the grant: the next attempt scales the difference to the window that is stored now.
        if (bucket !== undefined) met.set(change, bucket);
      }
    }
  } finally {
    deadline.done();
  }
  throw new LimiterUnavailable(
    `Lease ${state.id} could not be ended: its buckets changed with each of ${MOST_ATTEMPTS} attempts`,
  );
}

interface Change {
  readonly grant: Grant;
  readonly differences: readonly Difference[];
}

/** What the ending changes, by the very rules of a lease in one process. */
async function changesOf(state: LeaseState, ending: Ending): Promise<readonly Change[]> {
  const changes: Change[] = [];
  const post: PostDifferences = async (grant, differences) => {
    changes.push({ grant, differences });
    return true;
  };
  const lease = new Lease({ ...state, grants: () => state.grants, decidedBy: 'store', post });
  await (ending.kind === 'release' ? lease.release() : lease.end(ending.actual));
  return changes;
}

/** Sends a transaction until it is answered. Its record makes a repetition harmless, even of one whose answer was lost. */
async function transacted(store: Store, operations: readonly Operation[], deadline: Deadline): Promise<TransactionResult> {
  for (let retry = 0; ; retry += 1) {
    try {
      return await store.transact(operations, { signal: deadline.signal });
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** retry) * (0.5 + Math.random() / 2);
      if (!error.retryable || !(await deadline.pause(backoffMs)))
        throw new LimiterUnavailable(`The lease could not be ended: ${error.message}`, { cause: error });
    }
  }
}

/** One text for endings that mean the same: names in order. */
function canonical(ending: Ending): string {
  if (ending.kind === 'release') return 'release';
  return `adjust ${JSON.stringify(Object.entries(ending.actual).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
}
