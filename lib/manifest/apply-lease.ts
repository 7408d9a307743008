import { type Clock, nowMs } from '../clock.js';
import { ATTEMPTS } from '../config/attempted.js';
import { ChangeConflict } from '../errors.js';
import { manifestPk } from '../store/schema.js';
import type { Item, ItemUpdate, Store } from '../store/store.js';
import { type Conflict, Conflicted } from './conflict.js';
import { type Head, headKey, headOf, readHead } from './managed.js';
import type { Plan } from './plan.js';

interface LeaseOptions {
  readonly actor: string;
  readonly clock: Clock;
  readonly leaseMs: number;
}

/**
 * The right to apply, which one apply has at a time. It lasts for some time after each write and is renewed by the next one; then another apply may
 * take it, and what the former still sends is refused: each of its writes asks for its own token in the head.
 */
export class ApplyLease {
  readonly #store: Store;
  readonly #namespace: string;
  readonly #token: number;
  readonly #options: LeaseOptions;
  #untilMs: number;

  private constructor(store: Store, namespace: string, token: number, options: LeaseOptions, untilMs: number) {
    this.#store = store;
    this.#namespace = namespace;
    this.#token = token;
    this.#options = options;
    this.#untilMs = untilMs;
  }

  /** Takes the lease, if nothing was applied since the plan was made and nobody else has it; or says what stands against it. */
  static async taken(store: Store, { namespace, base }: Plan, options: LeaseOptions): Promise<ApplyLease | Conflict> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const head = await readHead(store, namespace);
      const now = nowMs(options.clock);
      const conflict = against(head, base, now);
      if (conflict !== undefined) return conflict;
      const untilMs = now + options.leaseMs;
      const lease = { holder: options.actor, sinceMs: now, untilMs };
      const { revision, writes, token } = head;
      const result = await store.transact([
        token === 0
          ? { kind: 'put', item: { ...headKey(namespace), revision, writes, token: 1, ...lease }, ifAbsent: true }
          : { kind: 'update', key: headKey(namespace), set: lease, add: { token: 1 }, ifEqual: { token, revision, writes } },
      ]);
      // Else somebody else was first: read at once, they are told by name.
      if (result.applied) return new ApplyLease(store, namespace, token + 1, options, untilMs);
    }
    throw new ChangeConflict(`the head of ${manifestPk(namespace)}`, ATTEMPTS);
  }

  /** What every transaction of this apply carries: it happens only while the lease is its own, and is renewed with it. */
  fence(): ItemUpdate {
    this.#untilMs = nowMs(this.#options.clock) + this.#options.leaseMs;
    return this.#update({ set: { untilMs: this.#untilMs }, add: { writes: 1 } });
  }

  /** Renews the lease where half of its time has passed: for long work that writes nothing. Throws `Conflicted`. */
  async keep(): Promise<void> {
    const untilMs = nowMs(this.#options.clock) + this.#options.leaseMs;
    if (untilMs - this.#untilMs < this.#options.leaseMs / 2) return;
    this.#untilMs = untilMs;
    const result = await this.#store.transact([this.#update({ set: { untilMs } })]);
    if (!result.applied) throw new Conflicted(overtakenBy(result.failed[0]?.met));
  }

  /** Gives the lease back; nothing where another one has it. */
  async giveBack(): Promise<void> {
    await this.#store.transact([this.#update({ set: NO_LEASE })]);
  }

  /** Ends the apply: its revision, and the lease given back. Throws `Conflicted`. */
  async complete(): Promise<void> {
    const applied = { appliedBy: this.#options.actor, appliedAtMs: nowMs(this.#options.clock) };
    const result = await this.#store.transact([
      this.#update({ set: { ...NO_LEASE, ...applied }, add: { revision: 1, writes: 1 } }),
    ]);
    if (!result.applied) throw new Conflicted(overtakenBy(result.failed[0]?.met));
  }

  #update(change: Pick<ItemUpdate, 'set' | 'add'>): ItemUpdate {
    return { kind: 'update', key: headKey(this.#namespace), ...change, ifEqual: { token: this.#token } };
  }
}

const NO_LEASE = { holder: undefined, sinceMs: undefined, untilMs: undefined };

/** Who has the lease that was ours, or had it and ended. */
export function overtakenBy(met: Item | undefined): Conflict {
  const { lease, applied } = headOf(met);
  return { reason: 'overtaken', by: lease?.holder ?? applied?.by ?? 'nobody known' };
}

function against({ revision, writes, applied, lease }: Head, base: Plan['base'], now: number): Conflict | undefined {
  if (revision !== base.revision)
    return { reason: 'applied', revision, by: applied?.by ?? 'nobody known', atMs: applied?.atMs ?? 0 };
  if (lease !== undefined && lease.untilMs > now)
    return { reason: 'applying', by: lease.holder, sinceMs: lease.sinceMs, untilMs: lease.untilMs };
  return writes === base.writes ? undefined : { reason: 'interrupted', revision };
}
