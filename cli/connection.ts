import { hostname, userInfo } from 'node:os';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { HeadgateAdmin } from '../lib/admin.js';
import { InvalidArgument } from '../lib/errors.js';
import { RateLimiter } from '../lib/limiter.js';
import { HeadgateNamespaces } from '../lib/namespaces.js';

/** What every command takes, from options or the environment. */
export interface GlobalOptions {
  readonly table: string;
  readonly namespace: string;
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly actor?: string | undefined;
  readonly json?: boolean | undefined;
}

/** What a command works with. `admin`, `namespaces` and `limiter` are made when they are first used. */
export interface Connection {
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly namespace: string;
  /** Who makes changes, for the history. */
  readonly actor: string;
  readonly admin: HeadgateAdmin;
  /** Of the whole table, whatever the namespace. */
  readonly namespaces: HeadgateNamespaces;
  readonly limiter: RateLimiter;
  close(): Promise<void>;
}

/** A person waits, and a first call looks for credentials and connects. */
const DEADLINE_MS = 10_000;

/** Throws `InvalidArgument` for an endpoint that is no URL. Nothing is sent. */
export function connect({ table: tableName, namespace, ...where }: GlobalOptions): Connection {
  // A variable that is set to nothing is not set.
  const endpoint = where.endpoint || undefined;
  const region = where.region || undefined;
  const actor = where.actor || person();
  if (endpoint !== undefined && !/^https?:\/\/\S+$/.test(endpoint)) {
    throw new InvalidArgument({ field: '--endpoint', value: endpoint, expected: 'a URL, such as http://127.0.0.1:8000' });
  }
  const client = new DynamoDBClient({ ...(endpoint !== undefined && { endpoint }), ...(region !== undefined && { region }) });
  let admin: HeadgateAdmin | undefined;
  let namespaces: HeadgateNamespaces | undefined;
  let limiter: RateLimiter | undefined;
  return {
    client,
    tableName,
    namespace,
    actor,
    get admin() {
      admin ??= new HeadgateAdmin({ client, tableName, namespace, actor });
      return admin;
    },
    get namespaces() {
      namespaces ??= new HeadgateNamespaces({ client, tableName, actor });
      return namespaces;
    },
    get limiter() {
      limiter ??= new RateLimiter({ client, tableName, namespace, cacheTtlMs: 0, deadlineMs: DEADLINE_MS });
      return limiter;
    },
    async close() {
      await limiter?.close();
      client.destroy();
    },
  };
}

/** Whoever runs this process: `ada@laptop`. */
function person(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A user without a name, as containers have.
    return `cli@${hostname()}`;
  }
}
