/** rate-limiter-flexible over DynamoDB, set up as its documentation says. */
import { randomUUID } from 'node:crypto';
import { CreateTableCommand, type DynamoDB } from '@aws-sdk/client-dynamodb';
import { RateLimiterDynamo, RateLimiterRes } from 'rate-limiter-flexible';

export interface PeerOptions {
  readonly client: DynamoDB;
  readonly tableName: string;
  /** Tokens of a window. @default more than any benchmark consumes */
  readonly points?: number;
  /** @default an hour */
  readonly durationSeconds?: number;
  /** @default a prefix that nobody else uses */
  readonly keyPrefix?: string;
  /** Answer from memory once so many are consumed. @default never, as in the library */
  readonly inMemoryBlockOnConsumed?: number;
}

export const PLENTY = 1_000_000_000;

/** A table for it, billed on demand. Its name. */
export async function peerTable(client: DynamoDB): Promise<string> {
  const tableName = `peer-${randomUUID()}`;
  await client.send(
    new CreateTableCommand({
      TableName: tableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
    }),
  );
  return tableName;
}

export function peerLimiter({
  client,
  tableName,
  points = PLENTY,
  durationSeconds = 3_600,
  keyPrefix = randomUUID(),
  inMemoryBlockOnConsumed = 0,
}: PeerOptions): RateLimiterDynamo {
  return new RateLimiterDynamo({
    storeClient: client,
    tableName,
    tableCreated: true,
    ttlSet: true,
    points,
    duration: durationSeconds,
    keyPrefix,
    inMemoryBlockOnConsumed,
  });
}

/** Whether `tokens` were consumed. Throws what the database threw. */
export async function consumed(limiter: RateLimiterDynamo, key: string, tokens = 1): Promise<boolean> {
  try {
    await limiter.consume(key, tokens);
    return true;
  } catch (error) {
    if (error instanceof RateLimiterRes) return false;
    throw error;
  }
}
