import { randomUUID } from 'node:crypto';
import { type DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';

/** The least that can be written to Headgate's table: one counter of one item goes up. */
export const bareUpdate = (client: DynamoDBClient, tableName: string, pk = randomUUID()) => {
  return () =>
    client.send(
      new UpdateItemCommand({
        TableName: tableName,
        Key: { pk: { S: pk }, sk: { S: 'bare' } },
        UpdateExpression: 'ADD #n :one',
        ExpressionAttributeNames: { '#n': 'n' },
        ExpressionAttributeValues: { ':one': { N: '1' } },
      }),
    );
};
