import { randomUUID } from 'node:crypto';
import {
  CreateTableCommand,
  type CreateTableCommandInput,
  DeleteTableCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
} from '@aws-sdk/client-dynamodb';
import { tableDefinition } from '../../lib/store/table-definition.js';
import { testTables } from './test-tables.js';

/** Of the worker's own database. */
export function testEndpoint(): string {
  const endpoints = (process.env.HEADGATE_TEST_ENDPOINTS ?? '').split(',').filter((endpoint) => endpoint !== '');
  const endpoint = endpoints[Number(process.env.VITEST_POOL_ID ?? 0) % endpoints.length];
  if (endpoint === undefined) throw new Error('test/support/dynamodb-global.ts sets the endpoints');
  return endpoint;
}

/** A client of the run's database. */
export function testClient(config: DynamoDBClientConfig = {}): DynamoDBClient {
  return new DynamoDBClient({
    endpoint: testEndpoint(),
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    ...config,
  });
}

/**
 * A table of its own, without deletion by TTL: fake clocks may stand anywhere. It has no stream either, for DynamoDB Local writes that before it answers,
 * which doubles the processor time of a write. Its name.
 */
export async function createTestTable(client = testClient()): Promise<string> {
  const { StreamSpecification: _, ...definition } = tableDefinition(`test-${randomUUID()}`);
  return created(definition, client);
}

/** As `createTestTable`, with the stream that the deployed table has. */
export function createStreamedTable(client = testClient()): Promise<string> {
  return created(tableDefinition(`test-${randomUUID()}`), client);
}

async function created(definition: CreateTableCommandInput, client: DynamoDBClient): Promise<string> {
  await client.send(new CreateTableCommand(definition));
  testTables.push(String(definition.TableName));
  return String(definition.TableName);
}

/** Deletes tables of those names; one that is gone already is no error. */
export async function dropTables(names: readonly string[]): Promise<void> {
  const client = testClient();
  for (const TableName of names) await client.send(new DeleteTableCommand({ TableName })).catch(() => {});
  client.destroy();
}

/** Commands sent by a client, each attempt counted, by the command's class name. */
export interface Calls {
  total: number;
  byCommand: Record<string, number>;
  /** Read and write capacity units, as far as the answers say (failed conditions say nothing). */
  capacityUnits: number;
  reset(): void;
}

/** Counts what a client sends from now on, inside the SDK's retries. */
export function countCalls(client: DynamoDBClient): Calls {
  const calls: Calls = {
    total: 0,
    byCommand: {},
    capacityUnits: 0,
    reset() {
      this.total = 0;
      this.byCommand = {};
      this.capacityUnits = 0;
    },
  };
  client.middlewareStack.add(
    (next) => async (args) => {
      const input = args.input as { ReturnConsumedCapacity?: string };
      input.ReturnConsumedCapacity = 'TOTAL';
      return next(args);
    },
    { step: 'initialize', name: 'reportCapacity' },
  );
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const name = context.commandName ?? 'unknown';
      calls.total += 1;
      calls.byCommand[name] = (calls.byCommand[name] ?? 0) + 1;
      const result = await next(args);
      const { ConsumedCapacity: consumed } = result.output as {
        ConsumedCapacity?: { CapacityUnits?: number } | { CapacityUnits?: number }[];
      };
      for (const one of Array.isArray(consumed) ? consumed : [consumed]) calls.capacityUnits += one?.CapacityUnits ?? 0;
      return result;
    },
    { step: 'finalizeRequest', priority: 'low', name: 'countCalls' },
  );
  return calls;
}
