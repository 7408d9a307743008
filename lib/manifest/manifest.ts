/** What a manifest asks for, whatever file it came from: the things that are to be stored, each as the doors of administration take it. */
import type { Scope } from '../config/config-records.js';
import type { NewEntity } from '../config/entities.js';
import type { ScopeOptions } from '../config/scope-rules.js';
import type { Limit } from '../core/limit.js';

/** The limits and options of one scope, as `setLimits` takes them. */
export interface ScopeSetting {
  readonly scope: Scope;
  readonly limits: readonly Limit[];
  readonly options: ScopeOptions;
}

/** Everything that should be stored. No scope and no entity comes twice; every tier that an entity names has a setting; no entity lies below itself. */
export interface Manifest {
  /** Undefined: that of the command. */
  readonly namespace: string | undefined;
  readonly settings: readonly ScopeSetting[];
  /** Parents before their children. */
  readonly entities: readonly NewEntity[];
}
