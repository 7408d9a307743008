import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb';
import { PK, SK } from './schema.js';

/**
 * The CreateTable input of Headgate's one table: keys, stream, on-demand billing. The CDK table is made from the same value.
 * TTL is a setting of a live table, not of CreateTable: `createTable` turns it on.
 */
export function tableDefinition(tableName: string) {
  return {
    TableName: tableName,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [
      { AttributeName: PK, AttributeType: 'S' },
      { AttributeName: SK, AttributeType: 'S' },
    ],
    KeySchema: [
      { AttributeName: PK, KeyType: 'HASH' },
      { AttributeName: SK, KeyType: 'RANGE' },
    ],
    StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
  } as const satisfies CreateTableCommandInput;
}
