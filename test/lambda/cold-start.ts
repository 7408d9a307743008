import { once } from 'node:events';
import { createServer } from 'node:net';
import { vi } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { leaseTokens } from '../../lib/http/lease-token.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';

export const NAMESPACE = 'tenant';
const LEASE_KEY = 'the signing key of these tests';

/** Verifies what the handlers sign, and signs what they verify. */
export const tokens = leaseTokens([LEASE_KEY], NAMESPACE);

type Environment = Readonly<Record<string, string>>;

let environment: Environment = {};

/** A table of its own, and the environment that a deployment over it gives its functions. */
export async function deployed(more: Environment = {}): Promise<HeadgateAdmin> {
  const client = testClient();
  const tableName = await createTestTable(client);
  environment = {
    HEADGATE_TABLE: tableName,
    HEADGATE_NAMESPACE: NAMESPACE,
    HEADGATE_LEASE_KEY: LEASE_KEY,
    AWS_ENDPOINT_URL_DYNAMODB: testEndpoint(),
    // Far more than a decision takes on a busy machine.
    HEADGATE_DEADLINE_MS: '20000',
    ...more,
  };
  stub(environment);
  return new HeadgateAdmin({ tableName, client, namespace: NAMESPACE });
}

/** A handler's module as a cold start loads it: it shares nothing with those loaded before. `more`: what its environment has besides, until `redeployed`. */
export async function coldStart<Module>(load: () => Promise<Module>, more: Environment = {}): Promise<Module> {
  stub(more);
  vi.resetModules();
  return load();
}

/** The environment is the deployment's again. */
export function redeployed(): void {
  vi.unstubAllEnvs();
  stub(environment);
}

function stub(variables: Environment): void {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
}

/** The environment of functions that cannot reach DynamoDB. */
export const unreachable = async (): Promise<Environment> => ({
  AWS_ENDPOINT_URL_DYNAMODB: await nowhere(),
  HEADGATE_DEADLINE_MS: '300',
});

/** A URL where nothing listens. */
export async function nowhere(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a listening TCP server has a port');
  return `http://127.0.0.1:${address.port}`;
}

/** A limit whose refill does not blur what was counted: one token a day. */
export const slow = (name: string, capacity: number): Limit =>
  Limit.custom({ name, capacity, refillAmount: 1, refillPeriodMs: 86_400_000 });
