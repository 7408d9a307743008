import type { Problem } from '../http/problem.js';
import type { Refusal } from '../llm/provider-api.js';

/** The longest `Retry-After` that official clients heed: a longer wait they would replace by half a second of their own. */
const HEEDED_WAIT_MS = 60_000;

/** What official clients read of a denial beside `Retry-After`: the wait in milliseconds, and that asking again before it would be in vain. */
export function waitHeaders({ retryAfterMs }: Refusal): Readonly<Record<string, string>> {
  if (retryAfterMs === undefined) return {};
  return { 'retry-after-ms': String(retryAfterMs), ...(retryAfterMs > HEEDED_WAIT_MS && { 'x-should-retry': 'false' }) };
}

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
