import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CircuitBreaker } from '../lib/admission/circuit-breaker.js';
import { type Clock, nowMs, SystemClock } from '../lib/clock.js';
import { type ApiKey, apiKeyOf, credentialKey, isLive } from '../lib/config/api-keys.js';
import { ItemCache } from '../lib/config/item-cache.js';
import { InvalidArgument } from '../lib/errors.js';
import { type LeaseTokens, leaseTokens } from '../lib/http/lease-token.js';
import { RateLimiter } from '../lib/limiter.js';
import { DynamoStore } from '../lib/store/dynamo-store.js';
import type { Store } from '../lib/store/store.js';

/** What the handlers share, made once per cold start from the environment. */
export interface Composition {
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly namespace: string;
  readonly store: Store;
  readonly clock: Clock;
  /** The longest a decision may take. */
  readonly deadlineMs: number;
  readonly limiter: RateLimiter;
  /** The entity of a live API key; undefined for any other secret. A change of a key is seen within a minute. */
  readonly entityOfKey: (secret: string) => Promise<string | undefined>;
  /** Reads the signing key at the first use. */
  readonly tokens: () => Promise<LeaseTokens>;
}

const DEFAULT_DEADLINE_MS = 1_000;
const KEY_CACHE_MS = 60_000;

let composition: Composition | undefined;

export function compose(): Composition {
  composition ??= composed(process.env);
  return composition;
}

/**
 * Environment: HEADGATE_TABLE, HEADGATE_NAMESPACE (default), HEADGATE_DEADLINE_MS (1000), and the signing key of leases: HEADGATE_LEASE_KEY_SECRET
 * (a Secrets Manager id) or HEADGATE_LEASE_KEY (the key itself).
 */
function composed(env: NodeJS.ProcessEnv): Composition {
  const tableName = env.HEADGATE_TABLE;
  if (!tableName)
    throw new InvalidArgument({ field: 'HEADGATE_TABLE', value: tableName, expected: 'the name of a DynamoDB table' });
  const namespace = env.HEADGATE_NAMESPACE || 'default';
  const client = new DynamoDBClient({});
  const clock = new SystemClock();
  const store = new CircuitBreaker(new DynamoStore({ client, tableName, clock }));
  const deadlineMs = Number(env.HEADGATE_DEADLINE_MS || DEFAULT_DEADLINE_MS);
  const keys = new ItemCache<ApiKey | undefined>({
    store,
    clock,
    ttlMs: KEY_CACHE_MS,
    deadlineMs,
    parse: (item) => item && apiKeyOf(item),
  });
  let tokens: Promise<LeaseTokens> | undefined;
  return {
    client,
    tableName,
    namespace,
    store,
    clock,
    deadlineMs,
    limiter: new RateLimiter({ store, clock, namespace, deadlineMs }),
    async entityOfKey(secret) {
      const { values } = await keys.get([credentialKey(namespace, secret)]);
      const [key] = values;
      return key !== undefined && isLive(key, nowMs(clock)) ? key.entity : undefined;
    },
    tokens() {
      tokens ??= leaseKeys(env).then(
        (found) => leaseTokens(found, namespace),
        (error: unknown) => {
          tokens = undefined;
          throw error;
        },
      );
      return tokens;
    },
  };
}

/** The signing keys, the current one first: several are separated by commas. */
async function leaseKeys(env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  if (env.HEADGATE_LEASE_KEY) return env.HEADGATE_LEASE_KEY.split(',');
  const id = env.HEADGATE_LEASE_KEY_SECRET;
  if (!id) {
    throw new InvalidArgument({
      field: 'HEADGATE_LEASE_KEY',
      value: undefined,
      expected: 'a key, or HEADGATE_LEASE_KEY_SECRET a Secrets Manager id',
    });
  }
  return (await secretString(id)).split(',');
}

/** A secret's value. Its client is loaded only by a function that needs it. */
export async function secretString(id: string): Promise<string> {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const { SecretString } = await new SecretsManagerClient({}).send(new GetSecretValueCommand({ SecretId: id }));
  if (!SecretString)
    throw new InvalidArgument({ field: 'HEADGATE_LEASE_KEY_SECRET', value: id, expected: 'a secret with a string value' });
  return SecretString;
}
