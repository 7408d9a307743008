import {
  BatchGetItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  DynamoDBServiceException,
  QueryCommand,
  ResourceNotFoundException,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { configPk, META_SK, PK, SK, SYSTEM_SK } from '../../lib/store/schema.js';
import { type Check, failed, ok, reasonOf, skipped } from './check.js';

/** Tries what Headgate does to its table, by writes whose condition cannot hold: nothing is changed. */
export const checkPermissions: Check = async ({ client, tableName, namespace }) => {
  const missing: string[] = [];
  for (const [actions, send] of tries(client, tableName, namespace)) {
    try {
      await send();
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException || error instanceof TransactionCanceledException) continue;
      if (error instanceof ResourceNotFoundException) return [skipped('permissions', 'there is no table to try them on')];
      if (!(error instanceof DynamoDBServiceException)) return [skipped('permissions', reasonOf(error))];
      if (error.name !== 'AccessDeniedException')
        return [skipped('permissions', `DynamoDB answered ${error.name}: ${error.message}`)];
      missing.push(...actions);
    }
  }
  if (missing.length === 0) return [ok('permissions', 'all that limiters and administration need')];
  const told = missing.map((action) => `dynamodb:${action}`).join(', ');
  return [failed('permissions', `not allowed: ${told}`, `Allow ${told} on the table, for keys that begin with ${namespace}#`)];
};

type Try = readonly [actions: readonly string[], send: () => Promise<unknown>];

function tries(client: DynamoDBClient, TableName: string, namespace: string): readonly Try[] {
  const Key = { [PK]: { S: `${namespace}#doctor` }, [SK]: { S: META_SK } };
  // An item that is both there and not: no write can happen.
  const never = { TableName, Key, ConditionExpression: `attribute_exists(${PK}) AND attribute_not_exists(${PK})` };
  const config = configPk(namespace);
  return [
    [['UpdateItem'], () => client.send(new UpdateItemCommand(never))],
    [
      ['BatchGetItem'],
      () =>
        client.send(
          new BatchGetItemCommand({ RequestItems: { [TableName]: { Keys: [{ [PK]: { S: config }, [SK]: { S: SYSTEM_SK } }] } } }),
        ),
    ],
    [
      ['Query'],
      () =>
        client.send(
          new QueryCommand({
            TableName,
            KeyConditionExpression: '#pk = :pk',
            ExpressionAttributeNames: { '#pk': PK },
            ExpressionAttributeValues: { ':pk': { S: config } },
            Limit: 1,
          }),
        ),
    ],
    [
      ['PutItem', 'DeleteItem', 'ConditionCheckItem'],
      () =>
        client.send(
          new TransactWriteItemsCommand({
            TransactItems: [
              { ConditionCheck: never },
              { Put: { TableName, Item: another(namespace, 'put'), ConditionExpression: never.ConditionExpression } },
              { Delete: { TableName, Key: another(namespace, 'delete'), ConditionExpression: never.ConditionExpression } },
            ],
          }),
        ),
    ],
  ];
}

/** A transaction names no item twice. */
const another = (namespace: string, sk: string) => ({ [PK]: { S: `${namespace}#doctor` }, [SK]: { S: sk } });
