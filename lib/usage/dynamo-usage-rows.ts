import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  DynamoDBServiceException,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { LAST_SEQUENCE } from '../store/schema.js';
import { type AdditionOutcome, RowRefused, type UsageRowStore } from './book-usage.js';
import { addToUsageRow } from './usage-requests.js';
import type { RowAddition } from './usage-rows.js';

/**
 * Usage rows in the table, one write an addition and no read. A write whose answer was lost may be sent again, by the client or with the
 * next delivery: a row that has counted it refuses it.
 */
export class DynamoUsageRows implements UsageRowStore {
  constructor(
    private readonly client: DynamoDBClient,
    private readonly tableName: string,
  ) {}

  async add(addition: RowAddition): Promise<AdditionOutcome> {
    try {
      await this.client.send(new UpdateItemCommand(addToUsageRow(this.tableName, addition)));
      return { counted: true };
    } catch (error) {
      // The SDK has no class for it. A counter that is no number, an item that has grown beyond 400 KB.
      if (error instanceof DynamoDBServiceException && error.name === 'ValidationException')
        throw new RowRefused(`${addition.pk} ${addition.sk}: ${error.message}`, { cause: error });
      if (!(error instanceof ConditionalCheckFailedException)) throw error;
      const lastPosition = error.Item?.[LAST_SEQUENCE]?.S;
      if (lastPosition === undefined) throw error;
      return { counted: false, lastPosition };
    }
  }
}
