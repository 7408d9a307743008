import { randomUUID } from 'node:crypto';
import { CreateTableCommand, DynamoDB, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { tableDefinition } from '../lib/store/table-definition.js';

/** What every part of the benchmark is given. */
export interface Bed {
  /** DynamoDB Local of this run. */
  readonly endpoint: string;
  /** How much to do: the first in a full run, the second in a short one. */
  readonly sized: <T>(full: T, short: T) => T;
}

/** A client of the run's database, or of a stub: it tries once, so that a call counted is a call sent. */
export function benchClient(endpoint: string, { sockets = 50 } = {}): DynamoDB {
  return new DynamoDB({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: 1,
    requestHandler: {
      httpAgent: { maxSockets: sockets, keepAlive: true },
      // Thousands of calls in line for a socket are what some parts are about, and no news.
      socketAcquisitionWarningTimeout: 600_000,
    },
  });
}

/**
 * Headgate's table, new and empty, without deletion by TTL and without its stream, as the tables that it is compared with: DynamoDB Local writes a
 * stream before it answers, which AWS does not. Its name.
 */
export async function headgateTable(client: DynamoDB): Promise<string> {
  const tableName = `headgate-${randomUUID()}`;
  const { StreamSpecification: _, ...definition } = tableDefinition(tableName);
  await client.send(new CreateTableCommand(definition));
  return tableName;
}

/** Every call of this client takes at least so much longer from now on: a network in front of a local database. */
export function delayCalls(client: DynamoDBClient, roundTripMs: number): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      await new Promise((resolve) => setTimeout(resolve, roundTripMs));
      return next(args);
    },
    { step: 'deserialize', priority: 'high', name: 'delayCalls' },
  );
}
