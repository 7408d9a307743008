/** The public names of `headgate`. */

export { HeadgateAdmin, type HeadgateAdminOptions } from './admin.js';
export type { Stats, Tally } from './admission/tally.js';
export { type Clock, FakeClock, SystemClock } from './clock.js';
export type { ApiKey, CreatedKey } from './config/api-keys.js';
export type { AuditQuery, AuditRecord, AuditTarget } from './config/audit.js';
export type { Scope } from './config/config-records.js';
export type { DeleteOptions } from './config/delete-entity.js';
export type { EntityChange, NewEntity } from './config/entities.js';
export type { EntityRecord } from './config/entity-record.js';
export type { Page } from './config/entity-tree.js';
export type { ExplainedLevel, ExplainedScope, Explanation } from './config/explanation.js';
export type { AppliedLimit } from './config/inheritance.js';
export type { CacheStats } from './config/item-cache.js';
export type { KeyName, KeyRotation, RotatedKey } from './config/key-changes.js';
export type { NamespaceRecord, NewNamespace, PurgeProgress } from './config/namespace-registry.js';
export type { Priority, PriorityShares } from './config/priorities.js';
export type { PurgeOptions } from './config/purge-namespace.js';
export type { Level, ScopeName } from './config/resolution.js';
export type { ScopeOptions, ScopeRules } from './config/scope-rules.js';
export type { Counts } from './core/counts.js';
export {
  type BucketOptions,
  type ConcurrencyLimit,
  type ConcurrentOptions,
  type CustomBucket,
  Limit,
  type QuotaLimit,
  type QuotaOptions,
  type SessionLimit,
  type TokenBucketLimit,
  type WindowOptions,
} from './core/limit.js';
export type { ScheduleEntry } from './core/schedule-entry.js';
export type { TokenWeights } from './core/weights.js';
export {
  ChangeConflict,
  Contended,
  ContextTooLong,
  CostExceedsCapacity,
  CostExceedsShard,
  EntityExists,
  EntityHasChildren,
  HeadgateError,
  InvalidArgument,
  KeyNotActive,
  LeaseClosed,
  LimiterUnavailable,
  NamespaceExists,
  NoLimitsConfigured,
  QueueFull,
  ResourceDisabled,
  ResourceNotAllowed,
  UnknownLimit,
} from './errors.js';
export { type DecidedBy, Lease, type Tokens } from './lease.js';
export { type LeaseState, type Outcome, RateLimiter } from './limiter.js';
export type { GrantedLease, LimiterEvent, OnEvent } from './limiter-event.js';
export type { OnUnavailable, RateLimiterOptions } from './limiter-options.js';
export type { CallTokens } from './llm/call-tokens.js';
export { costOf, type ModelPrices, type PriceTable } from './llm/prices.js';
export type { Usage } from './llm/usage.js';
export { HeadgateNamespaces, type HeadgateNamespacesOptions } from './namespaces.js';
export { PriorityQueue, type PriorityQueueOptions, type QueuedOptions } from './priority-queue.js';
export { type Denial, RateLimitExceeded } from './rate-limit-exceeded.js';
export type { LimitReport } from './report.js';
export type { AcquireRequest, NeededRequest, Subject } from './request.js';
export type { FormStatus, LimitStatus, Status } from './status.js';
export { createTable } from './store/create-table.js';
export { MemoryStore } from './store/memory-store.js';
export { type Store, StoreFailure, type WholeTable } from './store/store.js';
export { tableDefinition } from './store/table-definition.js';
export type { ToldLevel } from './told-level.js';
export type { UsageQuery, UsageRow } from './usage/read-usage.js';
export type { Consumer, TopConsumersQuery } from './usage/top-consumers.js';
