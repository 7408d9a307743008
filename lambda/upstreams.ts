import { InvalidArgument } from '../lib/errors.js';
import { secretString } from './compose.js';

/** A provider that calls are forwarded to. */
export interface Upstream {
  /** What comes before the path: `https://api.openai.com`. */
  readonly baseUrl: string;
  /** The provider's own key; undefined: none is sent. */
  readonly apiKey: () => Promise<string | undefined>;
}

interface Configured {
  readonly baseUrl: string;
  /** A Secrets Manager id of the provider's key. */
  readonly apiKeySecret?: string;
}

/** Providers by the name in the path, from HEADGATE_UPSTREAMS: `{"openai":{"baseUrl":"https://api.openai.com","apiKeySecret":"…"}}`. */
export function upstreamsOf(json: string | undefined): ReadonlyMap<string, Upstream> {
  const field = 'HEADGATE_UPSTREAMS';
  const expected = 'JSON of { provider: { baseUrl, apiKeySecret? } } with http or https URLs';
  let configured: Record<string, Configured>;
  try {
    configured = JSON.parse(json ?? '{}');
  } catch (cause) {
    throw new InvalidArgument({ field, value: json, expected, cause });
  }
  return new Map(
    Object.entries(configured).map(([provider, { baseUrl, apiKeySecret }]) => {
      if (typeof baseUrl !== 'string' || !/^https?:\/\//.test(baseUrl))
        throw new InvalidArgument({ field, value: json, expected });
      let key: Promise<string> | undefined;
      const apiKey = async () => {
        if (apiKeySecret === undefined) return undefined;
        key ??= secretString(apiKeySecret).catch((error: unknown) => {
          key = undefined;
          throw error;
        });
        return key;
      };
      return [provider, { baseUrl: baseUrl.replace(/\/+$/, ''), apiKey }];
    }),
  );
}
