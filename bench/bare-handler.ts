/** A handler that only holds a DynamoDBClient: what any function pays that talks to a table. */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';

const client = new DynamoDBClient({});

export const handler = async (): Promise<string> => client.constructor.name;
