import { UpstreamFeedback } from '../lib/clients/upstream-feedback.js';
import { InvalidArgument } from '../lib/errors.js';
import { WHEN_CLIENT_LEAVES, type WhenClientLeaves } from '../lib/llm/metered-stream.js';
import { checkName } from '../lib/names.js';
import { compose, secretString } from './compose.js';
import { freshKeys } from './fresh-keys.js';

/** A provider that calls are forwarded to. */
export interface Upstream {
  /** What comes before the path: `https://api.openai.com`. */
  readonly baseUrl: string;
  /** The headers of a call with the provider's own key, or a signature by this function's role. */
  readonly authorized: (call: OutgoingCall) => Promise<Headers>;
  readonly whenClientLeaves: WhenClientLeaves;
  /** How long its answer may take to begin, and to go on. */
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Told what the provider says is left; undefined: nobody listens. */
  readonly feedback: UpstreamFeedback | undefined;
}

/** A call that is about to be forwarded. */
export interface OutgoingCall {
  readonly method: string;
  readonly target: URL;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** How the provider's key is sent. */
const KEY_HEADERS = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'] as const;
type KeyHeader = (typeof KEY_HEADERS)[number];

interface Configured {
  /** May be left out of what has a Bedrock Region. */
  readonly baseUrl?: string;
  /** Amazon Bedrock of this Region: calls are signed with the role of this function. */
  readonly bedrockRegion?: string;
  /** A Secrets Manager id of the provider's key. */
  readonly apiKeySecret?: string;
  /** @default by the provider's host: `x-api-key` for Anthropic, `x-goog-api-key` for Google, `api-key` for Azure, else `authorization` */
  readonly keyHeader?: KeyHeader;
  /**
   * `cancel`: the provider stops, and the call is settled by what it told until then, else by the estimate. `readOn`: the answer is read to its end
   * and settled by its real usage, which the provider bills.
   * @default 'cancel'
   */
  readonly whenClientLeaves?: WhenClientLeaves;
  /** The entity whose limits are those of the account at the provider: the caller, or one above it. They follow what the provider says is left. */
  readonly feedback?: string;
  /** The longest until the answer begins, 1 to 890,000 milliseconds. @default 290000: API Gateway waits for 5 minutes */
  readonly timeoutMs?: number;
  /** The longest silence in an answer, 1 to 890,000 milliseconds. @default 290000 */
  readonly idleTimeoutMs?: number;
}

/** API Gateway ends a stream that is silent for 5 minutes. */
const DEFAULT_TIMEOUT_MS = 290_000;
/** Lambda runs for 15 minutes. */
const MOST_TIMEOUT_MS = 890_000;

/**
 * Providers by the name in the path, from HEADGATE_UPSTREAMS: `{"openai":{"baseUrl":"https://api.openai.com","apiKeySecret":"…"}}`, or
 * `{"bedrock":{"bedrockRegion":"eu-west-1"}}`. Throws `InvalidArgument`.
 */
export function upstreamsOf(json: string | undefined): ReadonlyMap<string, Upstream> {
  const field = 'HEADGATE_UPSTREAMS';
  const expected =
    'JSON of { provider: { baseUrl, apiKeySecret?, keyHeader?, whenClientLeaves?, timeoutMs?, idleTimeoutMs? } } with http or https URLs and ' +
    `times of 1 to ${MOST_TIMEOUT_MS} milliseconds, or { provider: { bedrockRegion } }`;
  let configured: Record<string, Configured>;
  try {
    configured = JSON.parse(json ?? '{}');
  } catch (cause) {
    throw new InvalidArgument({ field, value: json, expected, cause });
  }
  return new Map(
    Object.entries(configured).map(([provider, upstream]) => {
      const { bedrockRegion, baseUrl = bedrockUrl(bedrockRegion), apiKeySecret, whenClientLeaves = 'cancel' } = upstream;
      const isUrl = typeof baseUrl === 'string' && /^https?:\/\//.test(baseUrl);
      const { keyHeader = isUrl ? keyHeaderOf(baseUrl) : undefined } = upstream;
      const { timeoutMs = DEFAULT_TIMEOUT_MS, idleTimeoutMs = DEFAULT_TIMEOUT_MS } = upstream;
      const isLegal = [timeoutMs, idleTimeoutMs].every((ms) => ms >= 1 && ms <= MOST_TIMEOUT_MS);
      if (!isUrl || !isKeyHeader(keyHeader) || !WHEN_CLIENT_LEAVES.includes(whenClientLeaves) || !isLegal)
        throw new InvalidArgument({ field, value: json, expected });
      const authorized =
        bedrockRegion === undefined ? withKey(apiKeySecret, keyHeader) : (call: OutgoingCall) => signed(call, bedrockRegion);
      const feedback = upstream.feedback === undefined ? undefined : feedbackOf(upstream.feedback);
      return [
        provider,
        { baseUrl: baseUrl.replace(/\/+$/, ''), authorized, whenClientLeaves, timeoutMs, idleTimeoutMs, feedback },
      ];
    }),
  );
}

function keyHeaderOf(baseUrl: string): KeyHeader {
  const host = URL.canParse(baseUrl) ? new URL(baseUrl).hostname : '';
  if (host.endsWith('.anthropic.com')) return 'x-api-key';
  if (host.endsWith('.googleapis.com')) return 'x-goog-api-key';
  return host.endsWith('.azure.com') ? 'api-key' : 'authorization';
}

function feedbackOf(entity: string): UpstreamFeedback {
  checkName(entity, 'HEADGATE_UPSTREAMS');
  return new UpstreamFeedback(entity, compose().clock, (message) => console.warn(message));
}

const isKeyHeader = (header: unknown): header is KeyHeader => KEY_HEADERS.includes(header as KeyHeader);

const bedrockUrl = (region: string | undefined): string | undefined =>
  region !== undefined && /^[a-z0-9-]+$/.test(region) ? `https://bedrock-runtime.${region}.amazonaws.com` : undefined;

/** With the key in this header, read again each minute, so that a new one is known to functions that run; undefined: no key is sent. */
function withKey(secret: string | undefined, header: KeyHeader): Upstream['authorized'] {
  let key: (() => Promise<string>) | undefined;
  return async ({ headers }) => {
    if (secret === undefined) return headers;
    key ??= freshKeys(
      async () => [await secretString(secret, 'HEADGATE_UPSTREAMS')],
      ([value = '']) => headerValue(secret, value),
      compose().clock,
    );
    const value = await key();
    headers.set(header, header === 'authorization' ? `Bearer ${value}` : value);
    return headers;
  };
}

/** A key that can stand in a header. Throws `InvalidArgument`, which names the secret and not the key: errors are logged. */
function headerValue(secret: string, key: string): string {
  const value = key.trim();
  if (/^[\x21-\x7e]+$/.test(value)) return value;
  throw new InvalidArgument({
    field: 'HEADGATE_UPSTREAMS',
    value: secret,
    expected: 'a secret that is an API key alone, of printable ASCII characters',
  });
}

/** Of the headers those are signed that Bedrock reads; the others may change on their way. */
const SIGNED = /^(content-type|accept|x-amzn-bedrock-.*)$/;

/** With a signature of version 4 by the credentials that the function's own client has. */
async function signed({ method, target, headers, body }: OutgoingCall, region: string): Promise<Headers> {
  const { SignatureV4 } = await import('@smithy/signature-v4');
  const { credentials, sha256 } = compose().client.config;
  const read = [...headers].filter(([name]) => SIGNED.test(name));
  const signing = new SignatureV4({ service: 'bedrock', region, credentials, sha256 });
  const { headers: withSignature } = await signing.sign({
    method,
    protocol: target.protocol,
    hostname: target.hostname,
    path: target.pathname,
    query: Object.fromEntries(target.searchParams),
    headers: { ...Object.fromEntries(read), host: target.host },
    body,
  });
  for (const [name, value] of Object.entries(withSignature)) if (name !== 'host') headers.set(name, value);
  return headers;
}
