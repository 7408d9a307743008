import type { Counts } from './core/counts.js';
import type { LimitReport } from './report.js';

/**
 * The response headers that tell a client its limits: `RateLimit-Policy` and `RateLimit` (IETF draft-ietf-httpapi-ratelimit-headers-10), and the
 * `x-ratelimit-*` names that OpenAI's clients know. `r` is never negative: debt shows as 0. `t` is the wait of a limit that denied, else the
 * time until it is full. Where several limits share a name, the one with the least left speaks.
 */
export function rateLimitHeaders(reports: readonly LimitReport[]): Record<string, string> {
  if (reports.length === 0) return {};
  const tightest = new Map<string, LimitReport>();
  for (const report of reports) {
    const other = tightest.get(report.limit);
    if (other === undefined || left(report) < left(other)) tightest.set(report.limit, report);
  }
  const limits = [...tightest.values()];
  return {
    'RateLimit-Policy': limits.map((limit) => `"${limit.limit}";q=${limit.capacity};w=${seconds(limit.windowMs)}`).join(', '),
    RateLimit: limits
      .map((limit) => `"${limit.limit}";r=${left(limit)};t=${seconds(limit.retryAfterMs || limit.resetMs)}`)
      .join(', '),
    ...openAiHeaders(reports, 'requests', ['requests']),
    ...openAiHeaders(reports, 'tokens', ['tokens', 'inputTokens', 'outputTokens']),
  };
}

/** The value of `Retry-After`: whole seconds, rounded up, at least 1 for any wait. */
export function retryAfterSeconds(ms: number): string {
  return String(seconds(ms));
}

const left = (report: LimitReport): number => Math.max(0, report.available);
const seconds = (ms: number): number => Math.ceil(ms / 1_000);

function openAiHeaders(reports: readonly LimitReport[], what: string, counted: readonly Counts[]): Record<string, string> {
  const [first, ...rest] = reports.filter(({ counts }) => counted.includes(counts));
  if (first === undefined) return {};
  const tightest = rest.reduce((least, report) => (left(report) < left(least) ? report : least), first);
  return {
    [`x-ratelimit-limit-${what}`]: String(tightest.capacity),
    [`x-ratelimit-remaining-${what}`]: String(left(tightest)),
    [`x-ratelimit-reset-${what}`]: goDuration(tightest.resetMs),
  };
}

/** A duration as OpenAI writes it: `20ms`, `1s`, `6m0s`, `1h0m0s`. */
function goDuration(ms: number): string {
  if (ms < 1_000) return `${ms}ms`;
  const total = seconds(ms);
  const [h, m, s] = [Math.floor(total / 3_600), Math.floor((total % 3_600) / 60), total % 60];
  if (h > 0) return `${h}h${m}m${s}s`;
  return m > 0 ? `${m}m${s}s` : `${s}s`;
}
