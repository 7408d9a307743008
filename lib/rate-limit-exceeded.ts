import { HeadgateError } from './errors.js';
import { rateLimitHeaders, retryAfterSeconds } from './rate-limit-headers.js';
import type { LimitReport } from './report.js';

/** Why a request was not granted, as a value. Nothing was consumed on any limit of any level. */
export interface Denial {
  /** Whole milliseconds, rounded up: the same request is granted then, unless others consume meanwhile. */
  readonly retryAfterMs: number;
  /** The limits that denied, at every level. At least one. */
  readonly violations: readonly LimitReport[];
  /** The limits that would have granted. */
  readonly passed: readonly LimitReport[];
}

/** The denial that reports of all levels amount to. */
export function denialOf(reports: readonly LimitReport[]): Denial {
  const violations = reports.filter(({ retryAfterMs }) => retryAfterMs > 0);
  return {
    retryAfterMs: violations.reduce((longest, { retryAfterMs }) => Math.max(longest, retryAfterMs), 0),
    violations,
    passed: reports.filter(({ retryAfterMs }) => retryAfterMs === 0),
  };
}

/** The request does not fit now; it does after `retryAfterMs`. The only error that means so. */
export class RateLimitExceeded extends HeadgateError implements Denial {
  readonly code = 'RateLimitExceeded';
  readonly retryAfterMs: number;
  readonly violations: readonly LimitReport[];
  readonly passed: readonly LimitReport[];

  constructor(denial: Denial) {
    super(`Rate limit exceeded, retry after ${denial.retryAfterMs} ms: ${denial.violations.map(sentence).join('; ')}`);
    this.retryAfterMs = denial.retryAfterMs;
    this.violations = denial.violations;
    this.passed = denial.passed;
  }

  /** `Retry-After`, `RateLimit`, `RateLimit-Policy` and the `x-ratelimit-*` headers of a 429. */
  toHeaders(): Record<string, string> {
    return { 'Retry-After': retryAfterSeconds(this.retryAfterMs), ...rateLimitHeaders([...this.violations, ...this.passed]) };
  }

  toJSON() {
    const { code, message, retryAfterMs, violations, passed } = this;
    return { code, message, retryAfterMs, violations, passed };
  }
}

function sentence({ entity, resource, limit, available, requested, capacity }: LimitReport): string {
  return `${limit} of ${entity} on ${resource} has ${available} of ${capacity}, ${requested} requested`;
}
