import type { Problem } from '../http/problem.js';
import type { Refusal } from '../llm/provider-api.js';

/** A problem as a provider's API would refuse for it. */
export function refusalOf({ status, body }: Problem): Refusal {
  return {
    status,
    code: String(body.code),
    message: String(body.detail),
    field: typeof body.field === 'string' ? body.field : undefined,
    retryAfterMs: typeof body.retryAfterMs === 'number' ? body.retryAfterMs : undefined,
  };
}
