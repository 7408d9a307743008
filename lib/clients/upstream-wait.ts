import { isJsonObject } from '../llm/json-object.js';
import { jsonOf } from '../llm/usage.js';

/** Answers after which the same call may succeed: too many requests, unavailable, and Anthropic's `overloaded`. */
const PASSING: ReadonlySet<number> = new Set([429, 503, 529]);
/** What OpenAI calls an account without credit: no wait brings it back. */
const WITHOUT_CREDIT = 'insufficient_quota';
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;
const LONGEST_ERROR_BYTES = 65_536;

/** How providers say when a limit is whole again; each beside what is left of it. */
const RESETS = [
  { remaining: 'x-ratelimit-remaining-requests', reset: 'x-ratelimit-reset-requests' },
  { remaining: 'x-ratelimit-remaining-tokens', reset: 'x-ratelimit-reset-tokens' },
  { remaining: 'anthropic-ratelimit-requests-remaining', reset: 'anthropic-ratelimit-requests-reset' },
  { remaining: 'anthropic-ratelimit-tokens-remaining', reset: 'anthropic-ratelimit-tokens-reset' },
  { remaining: 'anthropic-ratelimit-input-tokens-remaining', reset: 'anthropic-ratelimit-input-tokens-reset' },
  { remaining: 'anthropic-ratelimit-output-tokens-remaining', reset: 'anthropic-ratelimit-output-tokens-reset' },
] as const;

/**
 * Milliseconds to wait before a call that a provider turned away is made again, at least what the provider asks for: `retry-after-ms`, `retry-after`,
 * the delay in the body of Google's errors, or the reset of a limit of which nothing is left; where it says nothing, twice as long each time, with
 * jitter. Undefined: not worth trying again, by its status, by `x-should-retry: false`, or for want of credit.
 * The answer can be read afterwards. `attempt`: 0 for the first answer. `random`: 0 to below 1.
 */
export async function upstreamWaitMs(
  answer: Response,
  attempt: number,
  nowMs: number,
  random: () => number = Math.random,
): Promise<number | undefined> {
  const { status, headers } = answer;
  if (!PASSING.has(status) || headers.get('x-should-retry') === 'false') return undefined;
  const error = status === 429 ? await errorOf(answer) : {};
  if (error.code === WITHOUT_CREDIT || error.type === WITHOUT_CREDIT) return undefined;
  const told = retryAfterMs(headers, nowMs) ?? delayMs(error) ?? resetMs(headers, nowMs);
  if (told !== undefined) return told;
  const most = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
  return Math.ceil(most * (0.5 + random() / 2));
}

function retryAfterMs(headers: Headers, nowMs: number): number | undefined {
  const inMs = numberOf(headers.get('retry-after-ms'));
  if (inMs !== undefined) return Math.ceil(inMs);
  const after = headers.get('retry-after') ?? '';
  const seconds = numberOf(after);
  if (seconds !== undefined) return Math.ceil(seconds * 1_000);
  return untilMs(/[a-z]/i.test(after) ? after : '', nowMs);
}

function resetMs(headers: Headers, nowMs: number): number | undefined {
  const resets = RESETS.filter(({ remaining }) => headers.get(remaining) === '0')
    .map(({ reset }) => untilResetMs(headers.get(reset) ?? '', nowMs))
    .filter((ms) => ms !== undefined);
  return resets.length === 0 ? undefined : Math.max(...resets);
}

/** `1h2m3s`, `6m0s`, `20ms`, Azure's whole seconds, or an instant of RFC 3339. */
function untilResetMs(text: string, nowMs: number): number | undefined {
  const wholeSeconds = numberOf(text);
  if (wholeSeconds !== undefined) return Math.ceil(wholeSeconds * 1_000);
  const parts = /^(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?$/.exec(text);
  if (parts === null || text === '') return untilMs(text, nowMs);
  const [, hours = 0, minutes = 0, seconds = 0, ms = 0] = parts.map((part) => Number(part ?? 0));
  return Math.ceil(((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms);
}

/** Until a date; undefined where the text is none. */
function untilMs(date: string, nowMs: number): number | undefined {
  const atMs = Date.parse(date);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** A number of at least 0 as headers write it; undefined for any other text, the empty one included. */
const numberOf = (text: string | null): number | undefined => (/^\s*\d+(\.\d+)?\s*$/.test(text ?? '') ? Number(text) : undefined);

/** What Google's APIs say beside an exhausted quota: `{ "@type": "…RetryInfo", "retryDelay": "22s" }`. */
function delayMs({ details }: Readonly<Record<string, unknown>>): number | undefined {
  const delays = (Array.isArray(details) ? details : []).map((detail: unknown) =>
    isJsonObject(detail) && typeof detail.retryDelay === 'string' ? /^(\d+(?:\.\d+)?)s$/.exec(detail.retryDelay)?.[1] : undefined,
  );
  const seconds = delays.find((delay) => delay !== undefined);
  return seconds === undefined ? undefined : Math.ceil(Number(seconds) * 1_000);
}

/** The `error` of an answer in JSON, from a copy of its body; of a list of answers the first one's. Empty for any other, and for one that breaks off. */
async function errorOf(answer: Response): Promise<Readonly<Record<string, unknown>>> {
  const length = Number(answer.headers.get('content-length') ?? 0);
  if (!answer.headers.get('content-type')?.includes('json') || length > LONGEST_ERROR_BYTES) return {};
  const text = await answer
    .clone()
    .text()
    .catch(() => '');
  const body = jsonOf(text);
  const first: unknown = Array.isArray(body) ? body[0] : body;
  return isJsonObject(first) && isJsonObject(first.error) ? first.error : {};
}
