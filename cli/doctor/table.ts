import {
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  type DynamoDBClient,
  DynamoDBServiceException,
  ResourceNotFoundException,
  type TableDescription,
} from '@aws-sdk/client-dynamodb';
import { TTL } from '../../lib/store/schema.js';
import { tableDefinition } from '../../lib/store/table-definition.js';
import { type Check, type Finding, failed, ok, reasonOf, skipped, warning } from './check.js';

const ACCESS_DENIED = 'AccessDeniedException';

/** The table, its keys, its stream and its deletion by TTL. */
export const checkTable: Check = async ({ client, tableName }) => {
  let table: TableDescription | undefined;
  try {
    table = (await client.send(new DescribeTableCommand({ TableName: tableName }))).Table;
  } catch (error) {
    const first = unreached(error, tableName);
    return [first, ...['stream', 'ttl'].map((check) => skipped(check, 'the table could not be looked at'))];
  }
  return [described(tableName, table), streamOf(tableName, table), await timeToLive(client, tableName)];
};

function unreached(error: unknown, tableName: string): Finding {
  if (error instanceof ResourceNotFoundException) {
    const remedy = `headgate create-table --table ${tableName}, or deploy the stack: npx cdk deploy; or name another by --table or HEADGATE_TABLE`;
    return failed('table', `there is no table ${tableName}`, remedy);
  }
  if (error instanceof DynamoDBServiceException && error.name === ACCESS_DENIED)
    return warning(
      'table',
      `it may not be described: ${error.message}`,
      'Allow dynamodb:DescribeTable and DescribeTimeToLive to see more',
    );
  if (error instanceof DynamoDBServiceException)
    return failed(
      'table',
      `DynamoDB answered ${error.name}: ${error.message}`,
      'Check the credentials, the region and the name of the table',
    );
  return failed(
    'table',
    `no answer: ${reasonOf(error)}`,
    'Check --endpoint (AWS_ENDPOINT_URL_DYNAMODB), the region and the network',
  );
}

function described(tableName: string, table: TableDescription | undefined): Finding {
  const wanted = tableDefinition(tableName).KeySchema;
  const keys = (table?.KeySchema ?? []).map(({ AttributeName, KeyType }) => `${AttributeName} ${KeyType}`).join(', ');
  const expected = wanted.map(({ AttributeName, KeyType }) => `${AttributeName} ${KeyType}`).join(', ');
  if (keys !== expected)
    return failed(
      'table',
      `its keys are ${keys}, not ${expected}`,
      'Headgate needs a table of its own: headgate create-table --table OTHER',
    );
  if (table?.TableStatus !== 'ACTIVE')
    return warning('table', `it is ${table?.TableStatus}`, 'Wait until it is ACTIVE, and look again');
  return ok('table', `${tableName} is active`);
}

function streamOf(tableName: string, table: TableDescription | undefined): Finding {
  const { StreamEnabled, StreamViewType } = table?.StreamSpecification ?? {};
  if (StreamEnabled && StreamViewType === 'NEW_AND_OLD_IMAGES') return ok('stream', 'old and new images');
  return failed(
    'stream',
    StreamEnabled ? `it carries ${StreamViewType}: usage is not counted` : 'it is off: usage is not counted',
    `aws dynamodb update-table --table-name ${tableName} ` +
      `--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES${StreamEnabled ? ' (switch the stream off first)' : ''}`,
  );
}

async function timeToLive(client: DynamoDBClient, tableName: string): Promise<Finding> {
  try {
    const { TimeToLiveDescription } = await client.send(new DescribeTimeToLiveCommand({ TableName: tableName }));
    const { TimeToLiveStatus: status, AttributeName: attribute } = TimeToLiveDescription ?? {};
    const on = status === 'ENABLED' || status === 'ENABLING';
    if (on && attribute === TTL) return ok('ttl', `on, by ${TTL}`);
    if (on)
      return failed(
        'ttl',
        `it deletes by ${attribute}, not by ${TTL}`,
        'Headgate needs a table of its own: headgate create-table --table OTHER',
      );
    return failed(
      'ttl',
      'it is off: nothing that expired is ever deleted',
      `headgate create-table --table ${tableName} turns it on, and changes nothing else`,
    );
  } catch (error) {
    if (error instanceof DynamoDBServiceException && error.name === ACCESS_DENIED)
      return skipped('ttl', `it may not be described: ${error.message}`);
    return skipped('ttl', reasonOf(error));
  }
}
