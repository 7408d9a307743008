import {
  ChangeConflict,
  Contended,
  EntityExists,
  EntityHasChildren,
  HeadgateError,
  InvalidArgument,
  KeyNotActive,
  LeaseClosed,
  LimiterUnavailable,
  NamespaceExists,
  QueueFull,
  ResourceDisabled,
  ResourceNotAllowed,
} from '../errors.js';
import { RateLimitExceeded } from '../rate-limit-exceeded.js';

/** An error as HTTP says it: RFC 9457 problem details, with the same stable `code` as the SDK's error. */
export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

const QUOTA_EXCEEDED = 'https://iana.org/assignments/http-problem-types#quota-exceeded';
/** Fields of the set-up, not of the request: a wrong one is the server's fault. */
const SETUP_FIELD = /^(tableName|client\.region|namespace|deadlineMs|HEADGATE_[A-Z_]+)$/;

const CONFLICTS = [LeaseClosed, EntityExists, EntityHasChildren, KeyNotActive, NamespaceExists, ChangeConflict];

/** The problem of an error that reached a handler. What is not a Headgate error is a 500 that tells nothing of the inside. */
export function problemOf(error: unknown): Problem {
  if (error instanceof RateLimitExceeded) {
    return problem(429, error.code, 'Rate limit exceeded', error.message, {
      headers: error.toHeaders(),
      type: QUOTA_EXCEEDED,
      details: { retryAfterMs: error.retryAfterMs, violations: error.violations, passed: error.passed },
    });
  }
  if (error instanceof LimiterUnavailable || error instanceof Contended || error instanceof QueueFull) {
    return problem(503, error.code, 'No decision', error.message, { headers: { 'Retry-After': '1' } });
  }
  if (error instanceof ResourceDisabled || error instanceof ResourceNotAllowed)
    return problem(403, error.code, 'Forbidden', error.message);
  if (error instanceof InvalidArgument && SETUP_FIELD.test(error.field))
    return problem(500, error.code, 'Set up wrongly', error.message);
  if (CONFLICTS.some((conflict) => error instanceof conflict)) {
    const { code, message } = error as HeadgateError;
    return problem(409, code, 'Conflict', message);
  }
  if (error instanceof HeadgateError) {
    const field = error instanceof InvalidArgument ? { field: error.field } : {};
    return problem(400, error.code, 'Bad request', error.message, { details: field });
  }
  return problem(500, 'InternalError', 'Internal error', 'An unexpected error; the log has it under this request id');
}

export function problem(
  status: number,
  code: string,
  title: string,
  detail: string,
  more: { readonly headers?: Record<string, string>; readonly type?: string; readonly details?: Record<string, unknown> } = {},
): Problem {
  return {
    status,
    headers: { 'Content-Type': 'application/problem+json', ...more.headers },
    body: { type: more.type ?? 'about:blank', title, status, code, detail, ...more.details },
  };
}
