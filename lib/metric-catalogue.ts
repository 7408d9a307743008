/** The metrics of the handlers, by name: what the handlers print, and what alarms and dashboards read. */

/** The namespace in CloudWatch. */
export const METRIC_NAMESPACE = 'Headgate';

/**
 * What a value is told apart by. An entity is none of it: there are as many as there are customers, and each would be a metric of its own, paid for by
 * the month. `Table` keeps the deployments of one account and region apart.
 */
export const DIMENSION_SETS = {
  table: ['Table'],
  namespace: ['Table', 'Namespace'],
  /** Of one cause, such as the code of an error. */
  reason: ['Table', 'Namespace', 'Reason'],
  resource: ['Table', 'Namespace', 'Resource'],
  /** `Reason` is the limit's name. */
  limit: ['Table', 'Namespace', 'Resource', 'Reason'],
} as const satisfies Readonly<Record<string, readonly Dimension[]>>;

export type Dimension = 'Table' | 'Namespace' | 'Resource' | 'Reason';
export type DimensionSet = keyof typeof DIMENSION_SETS;

interface Metric {
  readonly unit: 'Count' | 'Milliseconds';
  readonly sets: readonly DimensionSet[];
}

export const METRICS = {
  Granted: { unit: 'Count', sets: ['namespace', 'resource'] },
  /** Requests that were denied, and by limit: one that two limits denied counts once for each of them there. */
  Denied: { unit: 'Count', sets: ['namespace', 'resource', 'limit'] },
  /** Requests that an observed limit would have denied. */
  Overdrawn: { unit: 'Count', sets: ['namespace', 'resource', 'limit'] },
  /** Grants that left a limit with less than a tenth of its capacity. */
  NearLimit: { unit: 'Count', sets: ['namespace', 'resource', 'limit'] },
  /** How long the queue was in which a grant took its place. */
  Waited: { unit: 'Milliseconds', sets: ['namespace'] },
  /** Writes that a grant took, those that lost their race included. */
  Attempts: { unit: 'Count', sets: ['namespace'] },
  /** From the grant to each change of its charge, for each bucket. */
  SettleLag: { unit: 'Milliseconds', sets: ['namespace'] },
  /** Settlements that could not be written. */
  Unposted: { unit: 'Count', sets: ['namespace'] },
  /** Requests that the database did not decide; the reason is what did: deny, allow or local. */
  Unavailable: { unit: 'Count', sets: ['reason'] },
  /** Requests that ended in another error, by its code. */
  Failed: { unit: 'Count', sets: ['reason'] },
  /** Bucket writes, which is what admission pays for. */
  Writes: { unit: 'Count', sets: ['namespace'] },
  Throttles: { unit: 'Count', sets: ['namespace'] },
  DroppedRefunds: { unit: 'Count', sets: ['namespace'] },
  /** What a process corrects its clock by; below zero: it is ahead. */
  ClockSkew: { unit: 'Milliseconds', sets: ['namespace'] },
  /** Calls without a good key, which Lambda counts as errors of the authorizer. */
  Unauthorized: { unit: 'Count', sets: ['namespace'] },
  /** Answers of 500 and above that a function gave itself; the reason is the handler. */
  Faults: { unit: 'Count', sets: ['reason'] },
  /** Stream records that a batch brought. */
  UsageRecords: { unit: 'Count', sets: ['table'] },
  /** Batches that were not booked to their end. */
  UsageFailures: { unit: 'Count', sets: ['table'] },
  /** The age of a batch's oldest record when it was booked. */
  AggregatorLag: { unit: 'Milliseconds', sets: ['table'] },
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof METRICS;

/** A value of a dimension as CloudWatch takes it: printable ASCII, not blank, at most 250 characters, no colon in front. */
export function dimensionValue(text: string): string {
  const ascii = text.replace(/[^ -~]/g, '?').slice(0, MOST_CHARACTERS);
  return /^\s*$/.test(ascii) || ascii.startsWith(':') ? `_${ascii}`.slice(0, MOST_CHARACTERS) : ascii;
}

const MOST_CHARACTERS = 250;
