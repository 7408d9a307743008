import { type Clock, nowMs } from '../clock.js';
import { type Author, checkAuthor, DEFAULT_RETENTION_DAYS } from '../config/audit.js';
import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';
import type { Store } from '../store/store.js';
import { applyEntities } from './apply-entities.js';
import { ApplyLease } from './apply-lease.js';
import { applyRemovals, finishDeletions } from './apply-removals.js';
import { applySettings } from './apply-settings.js';
import { applyingStore } from './applying-store.js';
import { type Conflict, Conflicted } from './conflict.js';
import type { Plan, Step } from './plan.js';
import { readThings, type StoredThing } from './read-things.js';
import { thingId } from './thing.js';

/** How far an apply has come, in steps. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

export interface ApplyOptions {
  /** Who applies, for the history and for others that want to apply at the same time. */
  readonly actor: string;
  readonly clock: Clock;
  /** How long the history of these changes is kept. @default 400 */
  readonly retentionDays?: number | undefined;
  /** After how long without a write another apply may take over, 1,000 to 3,600,000 ms. @default 15000 */
  readonly leaseMs?: number | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export type ApplyResult =
  | { readonly applied: true; readonly revision: number }
  /** `written` of the steps had been done; none: nothing was changed. */
  | { readonly applied: false; readonly written: number; readonly conflicts: readonly Conflict[] };

/** What the parts of an apply share. */
export interface Application {
  readonly namespace: string;
  /** Every write through it is fenced, and what it writes is managed. */
  readonly store: Store;
  /** The same, for a thing that must be as it was planned. */
  readonly expecting: (step: Step, change?: string | null) => Store;
  readonly author: () => Author;
  /** What is stored of each thing, by id, as it was before the first write. */
  readonly seen: ReadonlyMap<string, StoredThing>;
  readonly done: (steps: number) => void;
}

const LEASE_MS = 15_000;
const READ_AT_ONCE = 2_000;

/**
 * Makes the store hold what a plan says, if nobody applied or changed one of its things since it was planned; otherwise the conflicts, and nothing is
 * changed. Each thing is written together with its history and its line among the managed things, on condition that it is still as planned: whoever
 * changes one through another door in the meantime ends the apply there, and is told as a conflict.
 *
 * Interrupted at any point, it leaves whole things; planning and applying again goes on, at the latest `leaseMs` after the last write. Without
 * steps nothing is written. Throws `LimiterUnavailable` where the table gives no answer: then too.
 */
export async function applyPlan(store: Store, plan: Plan, options: ApplyOptions): Promise<ApplyResult> {
  const { actor, clock, retentionDays, leaseMs, onProgress } = checked(options);
  const { namespace, steps } = plan;
  const total = steps.length;
  if (total === 0) return { applied: true, revision: plan.base.revision };
  let written = 0;
  const lease = await ApplyLease.taken(store, plan, { actor, clock, leaseMs });
  if (!(lease instanceof ApplyLease)) return { applied: false, written, conflicts: [lease] };
  try {
    const seen = await asStored(store, plan, lease);
    const conflicts = steps.filter((step) => !isAsPlanned(step, seen.get(thingId(step.thing))));
    if (conflicts.length > 0) {
      await lease.giveBack();
      return { applied: false, written, conflicts: conflicts.map(({ thing }) => ({ reason: 'changed', thing })) };
    }
    const application: Application = {
      namespace,
      store: applyingStore(store, namespace, lease),
      expecting: ({ thing, on }, change = on.stored ? on.change : null) =>
        applyingStore(store, namespace, lease, { thing, change }),
      author: () => ({ actor, nowMs: nowMs(clock), retentionDays }),
      seen,
      done: (count) => {
        written += count;
        onProgress?.({ done: written, total });
      },
    };
    const cleared = { ...application, seen: await finishDeletions(application, steps) };
    await applySettings(cleared, steps);
    await applyEntities(cleared, steps);
    await applyRemovals(cleared, steps);
    await lease.complete();
    return { applied: true, revision: plan.base.revision + 1 };
  } catch (error) {
    // Whatever it was: the next apply need not wait. Where this fails as well, the lease ends by itself.
    await lease.giveBack().catch(() => {});
    if (error instanceof Conflicted) return { applied: false, written, conflicts: [error.conflict] };
    throw error;
  }
}

/** All that a plan is about, as it is stored now, by id. */
async function asStored(store: Store, { namespace, steps }: Plan, lease: ApplyLease): Promise<ReadonlyMap<string, StoredThing>> {
  const seen = new Map<string, StoredThing>();
  for (let from = 0; from < steps.length; from += READ_AT_ONCE) {
    await lease.keep();
    const things = steps.slice(from, from + READ_AT_ONCE).map(({ thing }) => thing);
    for (const one of await readThings(store, namespace, things)) seen.set(thingId(one.thing), one);
  }
  await lease.keep();
  return seen;
}

function isAsPlanned({ on }: Step, seen: StoredThing | undefined): boolean {
  if (!on.stored) return seen?.item === undefined;
  return seen?.item !== undefined && (seen.change ?? null) === on.change;
}

/** The options with their defaults. Throws `InvalidArgument`. */
function checked(options: ApplyOptions) {
  checkFields(options, ['actor', 'clock', 'retentionDays', 'leaseMs', 'onProgress'], 'options');
  const { actor, clock, retentionDays = DEFAULT_RETENTION_DAYS, leaseMs = LEASE_MS, onProgress } = options;
  checkAuthor({ actor, retentionDays });
  if (!Number.isInteger(leaseMs) || leaseMs < 1_000 || leaseMs > 3_600_000)
    throw new InvalidArgument({ field: 'leaseMs', value: leaseMs, expected: 'an integer from 1000 to 3600000' });
  return { actor, clock, retentionDays, leaseMs, onProgress };
}
