import { type Clock, SystemClock } from '../clock.js';
import { answeringStore } from '../config/answering-store.js';
import { checkAuthor, DEFAULT_RETENTION_DAYS } from '../config/audit.js';
import { InvalidArgument } from '../errors.js';
import { type StoreOptions, storeOf } from '../limiter-options.js';
import { checkFields, checkName } from '../names.js';
import type { Store } from '../store/store.js';
import { type ApplyOptions, type ApplyResult, applyPlan } from './apply.js';
import { type Drift, readDrift } from './drift.js';
import type { Manifest } from './manifest.js';
import { type Plan, type PlanOptions, planManifest } from './plan.js';
import { storedManifest } from './stored-manifest.js';

export interface ManifestAdminOptions extends StoreOptions {
  /** @default 'default' */
  readonly namespace?: string | undefined;
  /** Authoritative, never corrected. @default the machine's clock, corrected by the time in DynamoDB's answers */
  readonly clock?: Clock | undefined;
  /** Who applies, for the history: 1 to 256 bytes of printable UTF-8 without #. @default 'sdk' */
  readonly actor?: string | undefined;
  /** How long the history of what is applied is kept, 1 to 3,660 days. @default 400 */
  readonly auditRetentionDays?: number | undefined;
}

/** Brings what is stored in a namespace to what a manifest says: planned first, then applied as planned. */
export class ManifestAdmin {
  readonly #store: Store;
  readonly #namespace: string;
  readonly #by: Pick<ApplyOptions, 'actor' | 'clock' | 'retentionDays'>;
  /** Ends the connections that were made here; a client that was given stays open. */
  readonly close: () => void;

  constructor(options: ManifestAdminOptions) {
    checkFields(options, ['tableName', 'client', 'namespace', 'store', 'clock', 'actor', 'auditRetentionDays'], 'options');
    const own = new SystemClock();
    const { namespace = 'default', clock = own, actor = 'sdk', auditRetentionDays: retentionDays } = options;
    checkName(namespace, 'namespace');
    checkAuthor({ actor, retentionDays: retentionDays ?? DEFAULT_RETENTION_DAYS });
    const { store, disconnect } = storeOf(options, own);
    this.#store = answeringStore(store);
    this.#namespace = namespace;
    this.#by = { actor, clock, retentionDays };
    this.close = disconnect;
  }

  /**
   * What has to change so that the store holds what the manifest says; `prune` also removes what is managed and no longer in it. Writes nothing.
   * Throws `InvalidArgument` for a manifest of another namespace, and for a parent that is neither in it nor stored.
   */
  async plan(manifest: Manifest, options: Pick<PlanOptions, 'prune'> = {}): Promise<Plan> {
    this.#checkNamespace('manifest.namespace', manifest.namespace ?? this.#namespace);
    return planManifest(this.#store, manifest, { namespace: this.#namespace, prune: options.prune });
  }

  /** Does what was planned, or says what stands against it: see `ApplyResult`. Interrupted, it goes on by being planned and applied again. */
  async apply(plan: Plan, options: Pick<ApplyOptions, 'leaseMs' | 'onProgress'> = {}): Promise<ApplyResult> {
    this.#checkNamespace('plan.namespace', plan.namespace);
    return applyPlan(this.#store, plan, { ...this.#by, ...options });
  }

  /** What somebody changed or deleted through another door since it was applied. */
  async drift(): Promise<readonly Drift[]> {
    return readDrift(this.#store, this.#namespace);
  }

  /** Everything that is stored in the namespace, as a manifest. */
  async export(): Promise<Manifest> {
    return storedManifest(this.#store, this.#namespace);
  }

  #checkNamespace(field: string, value: string): void {
    if (value !== this.#namespace)
      throw new InvalidArgument({ field, value, expected: `the namespace that is administered, ${this.#namespace}` });
  }
}
