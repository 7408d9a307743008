import { InvalidArgument } from '../lib/errors.js';
import { WHEN_CLIENT_LEAVES, type WhenClientLeaves } from '../lib/llm/metered-stream.js';
import { secretString } from './compose.js';

/** A provider that calls are forwarded to. */
export interface Upstream {
  /** What comes before the path: `https://api.openai.com`. */
  readonly baseUrl: string;
  /** The header with the provider's own key; undefined: none is sent. */
  readonly credentials: () => Promise<readonly [name: string, value: string] | undefined>;
  readonly whenClientLeaves: WhenClientLeaves;
}

/** How the provider's key is sent. */
const KEY_HEADERS = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'] as const;
type KeyHeader = (typeof KEY_HEADERS)[number];

interface Configured {
  readonly baseUrl: string;
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
}

/** Providers by the name in the path, from HEADGATE_UPSTREAMS: `{"openai":{"baseUrl":"https://api.openai.com","apiKeySecret":"…"}}`. */
export function upstreamsOf(json: string | undefined): ReadonlyMap<string, Upstream> {
  const field = 'HEADGATE_UPSTREAMS';
  const expected = 'JSON of { provider: { baseUrl, apiKeySecret?, keyHeader?, whenClientLeaves? } } with http or https URLs';
  let configured: Record<string, Configured>;
  try {
    configured = JSON.parse(json ?? '{}');
  } catch (cause) {
    throw new InvalidArgument({ field, value: json, expected, cause });
  }
  return new Map(
    Object.entries(configured).map(([provider, upstream]) => {
      const { baseUrl, apiKeySecret, keyHeader = keyHeaderOf(baseUrl), whenClientLeaves = 'cancel' } = upstream;
      const isUrl = typeof baseUrl === 'string' && /^https?:\/\//.test(baseUrl);
      if (!isUrl || !KEY_HEADERS.includes(keyHeader) || !WHEN_CLIENT_LEAVES.includes(whenClientLeaves))
        throw new InvalidArgument({ field, value: json, expected });
      let key: Promise<string> | undefined;
      const credentials = async () => {
        if (apiKeySecret === undefined) return undefined;
        key ??= secretString(apiKeySecret).catch((error: unknown) => {
          key = undefined;
          throw error;
        });
        const value = await key;
        return [keyHeader, keyHeader === 'authorization' ? `Bearer ${value}` : value] as const;
      };
      return [provider, { baseUrl: baseUrl.replace(/\/+$/, ''), credentials, whenClientLeaves }];
    }),
  );
}

function keyHeaderOf(baseUrl: string): KeyHeader {
  const host = URL.canParse(baseUrl) ? new URL(baseUrl).hostname : '';
  if (host.endsWith('.anthropic.com')) return 'x-api-key';
  if (host.endsWith('.googleapis.com')) return 'x-goog-api-key';
  return host.endsWith('.azure.com') ? 'api-key' : 'authorization';
}
