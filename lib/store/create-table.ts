import {
  CreateTableCommand,
  DescribeTimeToLiveCommand,
  type DynamoDBClient,
  ResourceInUseException,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import { checkTableName } from '../names.js';
import { TTL } from './schema.js';
import { tableDefinition } from './table-definition.js';

const READY_WITHIN_SECONDS = 120;

/** Makes the table unless it is there, waits until it takes writes, and turns on deletion by TTL. Safe to run again. Throws `InvalidArgument` for a bad name. */
export async function createTable(client: DynamoDBClient, tableName: string): Promise<void> {
  checkTableName(tableName);
  try {
    await client.send(new CreateTableCommand(tableDefinition(tableName)));
  } catch (error) {
    if (!(error instanceof ResourceInUseException)) throw error;
  }
  await waitUntilTableExists({ client, maxWaitTime: READY_WITHIN_SECONDS, minDelay: 1, maxDelay: 2 }, { TableName: tableName });
  const { TimeToLiveDescription } = await client.send(new DescribeTimeToLiveCommand({ TableName: tableName }));
  const status = TimeToLiveDescription?.TimeToLiveStatus;
  if (status === 'ENABLED' || status === 'ENABLING') return;
  await client.send(
    new UpdateTimeToLiveCommand({ TableName: tableName, TimeToLiveSpecification: { AttributeName: TTL, Enabled: true } }),
  );
}
