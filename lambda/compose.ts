import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CircuitBreaker } from '../lib/admission/circuit-breaker.js';
import { type Clock, SystemClock } from '../lib/clock.js';
import { InvalidArgument } from '../lib/errors.js';
import { LEASE_LIFETIME_SECONDS, type LeaseTokens, leaseTokens } from '../lib/http/lease-token.js';
import { RateLimiter } from '../lib/limiter.js';
import type { OnUnavailable } from '../lib/limiter-options.js';
import { DynamoStore } from '../lib/store/dynamo-store.js';
import type { Store } from '../lib/store/store.js';
import { freshKeys } from './fresh-keys.js';
import { type HandlerMetrics, metricsOf } from './handler-metrics.js';

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
  readonly onUnavailable: OnUnavailable;
  /** Undefined: nothing is measured. */
  readonly metrics: HandlerMetrics | undefined;
  /** Reads the signing keys at the first use, and again when they may have been rotated. */
  readonly tokens: () => Promise<LeaseTokens>;
}

const DEFAULT_DEADLINE_MS = 1_000;
/** The record of a lease that was ended outlives it by far. */
const MOST_LEASE_SECONDS = 86_400;

let composition: Composition | undefined;

export function compose(): Composition {
  composition ??= composed(process.env);
  return composition;
}

/** What was composed, if it was: not for the first use, which may fail. */
export const composedBefore = (): Composition | undefined => composition;

/**
 * Environment: HEADGATE_TABLE, HEADGATE_NAMESPACE (default), HEADGATE_DEADLINE_MS (1000), HEADGATE_ON_UNAVAILABLE (deny; or allow, local, or local:
 * and a share such as local:0.2), HEADGATE_LEASE_SECONDS (how long a lease can be settled, 600), and the signing key of leases:
 * HEADGATE_LEASE_KEY_SECRET (a Secrets Manager id) or HEADGATE_LEASE_KEY (the key itself). What is measured: see
 * `metricsOf`.
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
  const onUnavailable = policyOf(env.HEADGATE_ON_UNAVAILABLE || 'deny');
  const leaseSeconds = leaseSecondsOf(env.HEADGATE_LEASE_SECONDS || String(LEASE_LIFETIME_SECONDS));
  const metrics = metricsOf(env, tableName, namespace);
  return {
    client,
    tableName,
    namespace,
    store,
    clock,
    deadlineMs,
    onUnavailable,
    metrics,
    limiter: new RateLimiter({ store, clock, namespace, deadlineMs, onUnavailable, onEvent: metrics?.onEvent }),
    tokens: freshKeys(
      () => leaseKeys(env),
      (keys) => leaseTokens(keys, namespace, leaseSeconds),
      clock,
    ),
  };
}

function leaseSecondsOf(text: string): number {
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= 10 && seconds <= MOST_LEASE_SECONDS) return seconds;
  throw new InvalidArgument({
    field: 'HEADGATE_LEASE_SECONDS',
    value: text,
    expected: `an integer from 10 to ${MOST_LEASE_SECONDS}`,
  });
}

function policyOf(text: string): OnUnavailable {
  if (text === 'deny' || text === 'allow' || text === 'local') return text;
  const share = /^local:(0\.\d+|1)$/.exec(text)?.[1];
  if (share !== undefined && Number(share) > 0) return { local: { share: Number(share) } };
  throw new InvalidArgument({
    field: 'HEADGATE_ON_UNAVAILABLE',
    value: text,
    expected: 'deny, allow, local, or local: and a share above 0, up to 1',
  });
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
  return (await secretString(id, 'HEADGATE_LEASE_KEY_SECRET')).split(',');
}

/** A secret's value. Its client is loaded only by a function that needs it. `field`: what names the secret. */
export async function secretString(id: string, field: string): Promise<string> {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const { SecretString } = await new SecretsManagerClient({}).send(new GetSecretValueCommand({ SecretId: id }));
  if (!SecretString) throw new InvalidArgument({ field, value: id, expected: 'a secret with a string value' });
  return SecretString;
}
