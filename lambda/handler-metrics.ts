import type { Stats } from '../lib/admission/tally.js';
import { HeadgateError, InvalidArgument } from '../lib/errors.js';
import type { LimiterEvent, OnEvent } from '../lib/limiter-event.js';
import type { MetricName } from '../lib/metric-catalogue.js';
import type { LimitReport } from '../lib/report.js';
import { MetricLines } from './metric-lines.js';

/** Resources that get figures of their own, unless they are named: those that a process meets first. */
const MOST_RESOURCES = 20;
/** Limits of resources that do: each is a metric of its own, by the month. */
const MOST_LIMITS = 100;
const OTHER = 'other';
/** A limit with less left than this share of its capacity is near its end. */
const NEAR_SHARE = 0.1;

export interface HandlerMetricsOptions {
  readonly tableName: string;
  readonly namespace: string;
  /** The resources that get figures of their own. @default the first 20 that the process meets */
  readonly resources?: readonly string[] | undefined;
  readonly print: (line: string) => void;
}

/** What a handler's process did, as metrics: of the limiter's events, of its counts, and of what handlers add. */
export class HandlerMetrics {
  readonly #lines: MetricLines;
  readonly #resources: Bounded;
  readonly #limits = new Bounded(MOST_LIMITS);
  #counted: Pick<Stats, 'writes' | 'throttled' | 'droppedRefunds'> = { writes: 0, throttled: 0, droppedRefunds: 0 };

  constructor({ tableName, namespace, resources, print }: HandlerMetricsOptions) {
    this.#lines = new MetricLines(tableName, namespace, print);
    this.#resources = resources === undefined ? new Bounded(MOST_RESOURCES) : new Bounded(0, resources);
  }

  /** A listener for `RateLimiter`. */
  readonly onEvent: OnEvent = (event: LimiterEvent) => {
    switch (event.kind) {
      case 'granted':
        return this.#granted(event);
      case 'denied':
        this.#lines.add('Denied', 1, { resource: this.#resources.named(event.resource) });
        return this.#ofLimits('Denied', event.denial.violations);
      case 'unavailable':
        return this.#lines.add('Unavailable', 1, { reason: event.decided });
      case 'failed':
        return this.#lines.add('Failed', 1, { reason: event.error instanceof HeadgateError ? event.error.code : OTHER });
      case 'settled':
        this.#lines.add('SettleLag', event.lagMs);
        if (!event.posted) this.#lines.add('Unposted', 1);
    }
  };

  /** A value of no resource. */
  add(name: MetricName, value: number, reason?: string): void {
    this.#lines.add(name, value, reason === undefined ? {} : { reason });
  }

  /** Prints all that was counted since the last time. `stats`: of the process's limiter; `atMs`: when the invocation began. */
  flush(stats: Stats, atMs: number): void {
    const { writes, throttled, droppedRefunds } = stats;
    this.#moved('Writes', writes - this.#counted.writes);
    this.#moved('Throttles', throttled - this.#counted.throttled);
    this.#moved('DroppedRefunds', droppedRefunds - this.#counted.droppedRefunds);
    if (writes > this.#counted.writes) this.#moved('ClockSkew', stats.clockOffsetMs);
    this.#counted = { writes, throttled, droppedRefunds };
    this.#lines.flush(atMs);
  }

  #moved(name: MetricName, value: number): void {
    if (value !== 0) this.#lines.add(name, value);
  }

  #granted({ entity, resource, lease }: Extract<LimiterEvent, { kind: 'granted' }>): void {
    const named = this.#resources.named(resource);
    this.#lines.add('Granted', 1, { resource: named });
    if (lease.attempts > 0) this.#lines.add('Attempts', lease.attempts);
    if (lease.queuedAheadMs > 0) this.#lines.add('Waited', lease.queuedAheadMs);
    if (lease.overdrawn.length > 0) this.#lines.add('Overdrawn', 1, { resource: named });
    this.#ofLimits(
      'Overdrawn',
      lease.overdrawn.map((limit) => ({ entity, resource, limit })),
    );
    const near = lease.limits.filter(({ available, capacity }) => available < capacity * NEAR_SHARE);
    if (near.length > 0) this.#lines.add('NearLimit', 1, { resource: named });
    this.#ofLimits('NearLimit', near);
  }

  #ofLimits(name: MetricName, limits: readonly Pick<LimitReport, 'entity' | 'resource' | 'limit'>[]): void {
    for (const { entity, resource: of, limit } of limits) {
      const resource = this.#resources.named(of);
      const isNamed = this.#limits.has(JSON.stringify([resource, limit]));
      this.#lines.add(name, 1, { resource: isNamed ? resource : OTHER, reason: isNamed ? limit : OTHER, entity });
    }
  }
}

/** The first so many values that it meets, or those it was given. */
class Bounded {
  readonly #known: Set<string>;
  readonly #most: number;

  constructor(most: number, known: readonly string[] = []) {
    this.#most = most;
    this.#known = new Set(known);
  }

  has(value: string): boolean {
    if (!this.#known.has(value) && this.#known.size < this.#most) this.#known.add(value);
    return this.#known.has(value);
  }

  named(value: string): string {
    return this.has(value) ? value : OTHER;
  }
}

/**
 * The metrics of a process, by its environment: HEADGATE_METRICS (on in Lambda, off elsewhere; or on, or off), HEADGATE_METRIC_RESOURCES (names with
 * commas between them). Undefined: it has none. Lines go to standard output as they are: a console would wrap them where logs are JSON.
 */
export function metricsOf(env: NodeJS.ProcessEnv, tableName: string, namespace: string): HandlerMetrics | undefined {
  const how = env.HEADGATE_METRICS || (env.AWS_LAMBDA_FUNCTION_NAME ? 'on' : 'off');
  if (how !== 'on' && how !== 'off') throw new InvalidArgument({ field: 'HEADGATE_METRICS', value: how, expected: 'on or off' });
  if (how === 'off') return undefined;
  return new HandlerMetrics({
    tableName,
    namespace,
    resources: env.HEADGATE_METRIC_RESOURCES ? env.HEADGATE_METRIC_RESOURCES.split(',') : undefined,
    print: (line) => void process.stdout.write(`${line}\n`),
  });
}
