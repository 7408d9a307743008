/** Answers after which the same call may succeed: too many requests, unavailable, and Anthropic's `overloaded`. */
const PASSING: ReadonlySet<number> = new Set([429, 503, 529]);
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;

/** How providers say when a limit is whole again; each beside what is left of it. */
const RESETS = [
  { remaining: 'x-ratelimit-remaining-requests', reset: 'x-ratelimit-reset-requests' },
  { remaining: 'x-ratelimit-remaining-tokens', reset: 'x-ratelimit-reset-tokens' },
  { remaining: 'anthropic-ratelimit-requests-remaining', reset: 'anthropic-ratelimit-requests-reset' },
  { remaining: 'anthropic-ratelimit-input-tokens-remaining', reset: 'anthropic-ratelimit-input-tokens-reset' },
  { remaining: 'anthropic-ratelimit-output-tokens-remaining', reset: 'anthropic-ratelimit-output-tokens-reset' },
] as const;

/**
 * Milliseconds to wait before a call that a provider turned away is made again, at least what the provider asks for: `retry-after-ms`, `retry-after`,
 * or the reset of a limit of which nothing is left; where it says nothing, twice as long each time, with jitter. Undefined: not worth trying again.
 * `attempt`: 0 for the first answer. `random`: 0 to below 1.
 */
export function upstreamWaitMs(
  { status, headers }: Pick<Response, 'status' | 'headers'>,
  attempt: number,
  nowMs: number,
  random: () => number = Math.random,
): number | undefined {
  if (!PASSING.has(status)) return undefined;
  const told = toldMs(headers, nowMs);
  if (told !== undefined) return told;
  const most = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
  return Math.ceil(most * (0.5 + random() / 2));
}

function toldMs(headers: Headers, nowMs: number): number | undefined {
  const inMs = Number(headers.get('retry-after-ms') ?? Number.NaN);
  if (inMs >= 0) return Math.ceil(inMs);
  const after = headers.get('retry-after');
  if (after !== null) {
    const seconds = Number(after);
    const untilMs = seconds >= 0 ? seconds * 1_000 : Date.parse(after) - nowMs;
    if (Number.isFinite(untilMs)) return Math.max(0, Math.ceil(untilMs));
  }
  const resets = RESETS.filter(({ remaining }) => headers.get(remaining) === '0')
    .map(({ reset }) => untilResetMs(headers.get(reset) ?? '', nowMs))
    .filter((ms) => ms !== undefined);
  return resets.length === 0 ? undefined : Math.max(...resets);
}

/** `1h2m3s`, `6m0s`, `20ms` or an instant of RFC 3339. */
function untilResetMs(text: string, nowMs: number): number | undefined {
  const parts = /^(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?$/.exec(text);
  if (parts !== null && text !== '') {
    const [, hours = 0, minutes = 0, seconds = 0, ms = 0] = parts.map((part) => Number(part ?? 0));
    return Math.ceil(((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms);
  }
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
