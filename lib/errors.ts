/**
 * Every error Headgate throws: one base class, a stable `code` that is the class's name, the numbers and the legal range in the text.
 * Only `RateLimitExceeded` (in rate-limit-exceeded.ts) means "try again later".
 */
export abstract class HeadgateError extends Error {
  /** Stable, the class's name: match on it across package copies and over HTTP. */
  abstract readonly code: string;

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The value as a message shows it: strings quoted, long values cut, never throws. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? '-0' : String(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid Date' : value.toISOString();
  try {
    const json = JSON.stringify(value) ?? 'an object';
    return json.length > 80 ? `${json.slice(0, 80)}…` : json;
  } catch {
    return 'an object';
  }
}

export interface InvalidArgumentDetails {
  /** The field as the caller wrote it: `consume.tpm`, `limits[0].capacity`. */
  readonly field: string;
  readonly value: unknown;
  /** What would have been legal: "an integer from 1 to 9007199254740991". */
  readonly expected: string;
  readonly cause?: unknown;
}

/** An argument outside its legal range. Nothing was read or written. */
export class InvalidArgument extends HeadgateError {
  readonly code = 'InvalidArgument';
  readonly field: string;
  readonly value: unknown;
  readonly expected: string;

  constructor(details: InvalidArgumentDetails) {
    super(
      `Expected ${details.field} to be ${details.expected}, got ${shown(details.value)}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.field = details.field;
    this.value = details.value;
    this.expected = details.expected;
  }
}

/** A cost that no waiting could ever admit: it is above what the limit holds when full. Nothing was written. Not a 429. */
export class CostExceedsCapacity extends HeadgateError {
  readonly code = 'CostExceedsCapacity';
  readonly entity: string;
  readonly resource: string;
  readonly limit: string;
  readonly capacity: number;
  readonly requested: number;
  /** The share of the capacity that the request's priority may use; undefined: all of it. */
  readonly share: number | undefined;

  constructor(details: {
    readonly entity: string;
    readonly resource: string;
    readonly limit: string;
    readonly capacity: number;
    readonly requested: number;
    /** Which priority leaves how much headroom, when that is what the cost is above. */
    readonly priority?: string;
    readonly share?: number;
  }) {
    const { capacity, share, priority } = details;
    const most =
      share === undefined
        ? `the capacity ${capacity}`
        : `${Math.floor(capacity * share)}, the share ${share} of the capacity ${capacity} for priority ${priority}`;
    super(
      `Expected the cost of ${details.limit} to be at most ${most} ` +
        `(entity ${shown(details.entity)}, resource ${shown(details.resource)}), got ${details.requested}`,
    );
    this.entity = details.entity;
    this.resource = details.resource;
    this.limit = details.limit;
    this.capacity = details.capacity;
    this.requested = details.requested;
    this.share = details.share;
  }
}

/** A cost that no shard of the bucket could ever hold, though all of them together might. No waiting helps; nothing was written. Not a 429. */
export class CostExceedsShard extends HeadgateError {
  readonly code = 'CostExceedsShard';
  readonly entity: string;
  readonly resource: string;
  readonly limit: string;
  /** What the largest shard holds when full. */
  readonly shardCapacity: number;
  readonly shards: number;
  readonly requested: number;

  constructor(details: {
    readonly entity: string;
    readonly resource: string;
    readonly limit: string;
    readonly shardCapacity: number;
    readonly shards: number;
    readonly requested: number;
  }) {
    super(
      `Expected the cost of ${details.limit} to be at most ${details.shardCapacity}, the capacity of one of ${details.shards} shards ` +
        `(entity ${shown(details.entity)}, resource ${shown(details.resource)}), got ${details.requested}`,
    );
    this.entity = details.entity;
    this.resource = details.resource;
    this.limit = details.limit;
    this.shardCapacity = details.shardCapacity;
    this.shards = details.shards;
    this.requested = details.requested;
  }
}

/** The resource is switched off, for this entity or for all: no waiting helps. Nothing was written. Not a 429. */
export class ResourceDisabled extends HeadgateError {
  readonly code = 'ResourceDisabled';

  constructor(
    readonly entity: string,
    readonly resource: string,
    /** Where that is stored: `entity+resource`, `entity`, `tier+resource`, `tier`, `resource` or `system`. */
    readonly scope: string,
  ) {
    super(
      `Expected resource ${shown(resource)} to be enabled for entity ${shown(entity)}: it is disabled by what is stored for the ${scope}`,
    );
  }
}

/** The entity's tier allows other resources. Nothing was written. Not a 429. */
export class ResourceNotAllowed extends HeadgateError {
  readonly code = 'ResourceNotAllowed';
  readonly entity: string;
  readonly resource: string;
  readonly tier: string;
  /** The names and patterns that are allowed. */
  readonly allowed: readonly string[];

  constructor(details: {
    readonly entity: string;
    readonly resource: string;
    readonly tier: string;
    readonly allowed: readonly string[];
  }) {
    super(
      `Expected the resource to be one that tier ${shown(details.tier)} allows (${details.allowed.join(', ')}; entity ` +
        `${shown(details.entity)}), got ${shown(details.resource)}`,
    );
    this.entity = details.entity;
    this.resource = details.resource;
    this.tier = details.tier;
    this.allowed = details.allowed;
  }
}

/** The call is longer than the entity's tier allows. Nothing was written. Not a 429. */
export class ContextTooLong extends HeadgateError {
  readonly code = 'ContextTooLong';
  readonly entity: string;
  readonly resource: string;
  readonly tier: string;
  readonly maxContextTokens: number;
  readonly contextTokens: number;

  constructor(details: {
    readonly entity: string;
    readonly resource: string;
    readonly tier: string;
    readonly maxContextTokens: number;
    readonly contextTokens: number;
  }) {
    super(
      `Expected a context of at most ${details.maxContextTokens} tokens, the most that tier ${shown(details.tier)} allows ` +
        `(entity ${shown(details.entity)}, resource ${shown(details.resource)}), got ${details.contextTokens}`,
    );
    this.entity = details.entity;
    this.resource = details.resource;
    this.tier = details.tier;
    this.maxContextTokens = details.maxContextTokens;
    this.contextTokens = details.contextTokens;
  }
}

/** A request or settlement names a limit that is not configured. */
export class UnknownLimit extends HeadgateError {
  readonly code = 'UnknownLimit';
  readonly limit: string;
  readonly known: readonly string[];

  constructor(details: { readonly limit: string; readonly known: readonly string[]; readonly where: string }) {
    super(`Expected ${details.where} to name configured limits (${details.known.join(', ')}), got ${shown(details.limit)}`);
    this.limit = details.limit;
    this.known = details.known;
  }
}

/** Nothing limits this request: an answer would be free passage, so there is none. */
export class NoLimitsConfigured extends HeadgateError {
  readonly code = 'NoLimitsConfigured';

  constructor(
    readonly entity: string,
    readonly resource: string,
  ) {
    super(
      `Expected limits for entity ${shown(entity)} on resource ${shown(resource)}: none are stored for the pair, the entity, ` +
        'the resource or the system. Give `limits` with the request, or store some with HeadgateAdmin.setLimits',
    );
  }
}

/** The lease was ended before this call; what it charged is unchanged. */
export class LeaseClosed extends HeadgateError {
  readonly code = 'LeaseClosed';

  constructor(readonly leaseId: string) {
    super(`Expected lease ${leaseId} to be open: it was closed before, and nothing was changed by this call`);
  }
}

/** The database gave no decision in time. Neither a grant nor a denial; `cause` is what it answered last. */
export class LimiterUnavailable extends HeadgateError {
  readonly code = 'LimiterUnavailable';
}

/** Other writers won every attempt at this bucket. Neither a grant nor a denial. */
export class Contended extends HeadgateError {
  readonly code = 'Contended';

  constructor(
    readonly bucket: string,
    readonly attempts: number,
  ) {
    super(
      `No decision on ${bucket} after ${attempts} attempts: other writers changed it each time. Try again, or give the resource shards`,
    );
  }
}

/** More requests wait for one bucket in this process than `maxQueue` allows. This one was not tried. */
export class QueueFull extends HeadgateError {
  readonly code = 'QueueFull';

  constructor(
    readonly bucket: string,
    readonly maxQueue: number,
  ) {
    super(`Expected at most ${maxQueue} requests to wait for ${bucket}: this one was not tried. Raise maxQueue, or slow down`);
  }
}

/** An entity of that name is there already; it was left as it is. */
export class EntityExists extends HeadgateError {
  readonly code = 'EntityExists';

  constructor(readonly entity: string) {
    super(`Expected entity ${shown(entity)} to be new: it exists already and was not changed`);
  }
}

/** Only what has no children can be deleted alone. Nothing was changed. */
export class EntityHasChildren extends HeadgateError {
  readonly code = 'EntityHasChildren';

  constructor(
    readonly entity: string,
    readonly children: number,
  ) {
    super(
      `Expected entity ${shown(entity)} to have no children: it has ${children} and was not deleted. ` +
        'Delete or move them first, or delete them with it by { recursive: true }',
    );
  }
}

/** Only a key that opens something can be rotated or expire. Nothing was changed. */
export class KeyNotActive extends HeadgateError {
  readonly code = 'KeyNotActive';

  constructor(
    readonly entity: string,
    readonly keyId: string,
    /** Why it is not. */
    readonly reason: string,
  ) {
    super(
      `Expected key ${shown(keyId)} of entity ${shown(entity)} to be active and not replaced: ${reason}. Nothing was changed`,
    );
  }
}

/** A namespace of that name is registered already, or is being purged; it was left as it is. */
export class NamespaceExists extends HeadgateError {
  readonly code = 'NamespaceExists';

  constructor(
    readonly namespace: string,
    /** Whether it is on its way out: the same purge again brings that to its end. */
    readonly purging: boolean,
  ) {
    super(
      `Expected namespace ${shown(namespace)} to be new: it ` +
        (purging ? 'is being purged; purge it again to finish that' : 'is registered already and was not changed'),
    );
  }
}

/** Others changed the same at the same time, in every attempt. What had been changed is whole; the same call again goes on. */
export class ChangeConflict extends HeadgateError {
  readonly code = 'ChangeConflict';

  constructor(
    /** What was to be changed: `entity "acme"`. */
    readonly subject: string,
    readonly attempts: number,
  ) {
    super(`Expected ${subject} to hold still: others changed it, or what it hangs on, in ${attempts} attempts. Try again`);
  }
}
