import type { Clock } from '../clock.js';
import type { Limit } from '../core/limit.js';
import { NoLimitsConfigured } from '../errors.js';
import { META_SK } from '../store/schema.js';
import type { Item, ItemKey, Store } from '../store/store.js';
import {
  entityKey,
  entityResourceKey,
  metaKey,
  resourceKey,
  type StoredLimits,
  storedLimitsOf,
  systemKey,
} from './config-records.js';
import { drawnOn, type StoredEntity, storedEntityOf } from './entity-record.js';
import { ItemCache } from './item-cache.js';
import type { PriorityShares } from './priorities.js';

/** One level that a request draws on: an entity, and the limits that apply to it on the resource. */
export interface Level {
  readonly entity: string;
  readonly limits: readonly Limit[];
  /** How many its bucket is split into. @default 1: it is whole */
  readonly shards?: number | undefined;
  /** Undefined: every priority may use all. */
  readonly priorities?: PriorityShares | undefined;
}

type Configured = { readonly stored: StoredLimits | undefined; readonly meta: StoredEntity | undefined };

/**
 * Which limits apply to an entity on a resource. The first that is stored wins, as a whole set: entity and resource, entity, resource, system.
 * An entity that cascades draws on its ancestors as well, each with the limits that apply to it.
 */
export class Resolution {
  readonly #namespace: string;
  readonly #cache: ItemCache<Configured>;

  constructor(parts: {
    readonly store: Store;
    readonly clock: Clock;
    readonly namespace: string;
    readonly ttlMs: number;
    readonly deadlineMs: number;
  }) {
    this.#namespace = parts.namespace;
    this.#cache = new ItemCache({ ...parts, parse: configured });
  }

  /**
   * The levels of a request, the entity's own first. Cached: no call. Otherwise one call, and one more where there are ancestors.
   * Throws `NoLimitsConfigured` when nothing is stored for any of them.
   */
  async levels(entity: string, resource: string): Promise<readonly Level[]> {
    const own = await this.#cache.get([metaKey(this.#namespace, entity), ...this.#limitKeys(entity, resource)]);
    const [meta, ...candidates] = own;
    const ancestors = meta?.meta === undefined ? [] : drawnOn(meta.meta).map(({ entity: ancestor }) => ancestor);
    const levels = [{ entity, stored: winner(candidates) }];
    if (ancestors.length > 0) {
      const all = await this.#cache.get(ancestors.flatMap((ancestor) => this.#limitKeys(ancestor, resource)));
      const each = all.length / ancestors.length;
      ancestors.forEach((ancestor, index) => {
        levels.push({ entity: ancestor, stored: winner(all.slice(index * each, (index + 1) * each)) });
      });
    }
    const limited = levels.flatMap(({ entity: name, stored }) => (stored === undefined ? [] : [{ entity: name, ...stored }]));
    if (limited.length === 0) throw new NoLimitsConfigured(entity, resource);
    return limited;
  }

  /** Where limits for an entity on a resource can be stored, the most specific first. */
  #limitKeys(entity: string, resource: string): readonly ItemKey[] {
    return [
      entityResourceKey(this.#namespace, entity, resource),
      entityKey(this.#namespace, entity),
      resourceKey(this.#namespace, resource),
      systemKey(this.#namespace),
    ];
  }
}

const winner = (candidates: readonly Configured[]): StoredLimits | undefined =>
  candidates.find(({ stored }) => stored !== undefined)?.stored;

function configured(item: Item | undefined): Configured {
  return item?.sk === META_SK
    ? { stored: undefined, meta: storedEntityOf(item) }
    : { stored: storedLimitsOf(item), meta: undefined };
}
