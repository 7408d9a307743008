import type { StreamRecord } from '../lib/usage/bucket-changes.js';

/** A part of a shard of the table's stream that Lambda gave up, as it tells a queue: positions, without the records. */
export interface GivenUpRecords {
  readonly streamArn: string;
  readonly shardId: string;
  readonly startSequenceNumber: string;
  readonly endSequenceNumber: string;
}

/** What a message of Lambda's on-failure destination names; undefined for any other text. */
export function parseGivenUpRecords(body: string): GivenUpRecords | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return undefined;
  }
  const info = (parsed as { DDBStreamBatchInfo?: Partial<GivenUpRecords> } | null)?.DDBStreamBatchInfo;
  const { streamArn, shardId, startSequenceNumber, endSequenceNumber } = info ?? {};
  return streamArn && shardId && startSequenceNumber && endSequenceNumber
    ? { streamArn, shardId, startSequenceNumber, endSequenceNumber }
    : undefined;
}

/** Where the table's stream is read; undefined: as the environment says. */
export interface StreamPlace {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
}

/**
 * Those records, read from the stream once more. Throws when the stream has let go of them, a day after they were written, and when the stream's client
 * is not installed.
 */
export async function readGivenUpRecords(given: GivenUpRecords, { endpoint, region }: StreamPlace): Promise<StreamRecord[]> {
  const { DynamoDBStreamsClient, GetRecordsCommand, GetShardIteratorCommand } = await import(
    '@aws-sdk/client-dynamodb-streams'
  ).catch((cause: unknown) => {
    throw new Error('The client of the stream is not installed: npm install @aws-sdk/client-dynamodb-streams', { cause });
  });
  const client = new DynamoDBStreamsClient({ ...(endpoint && { endpoint }), ...(region && { region }) });
  const end = BigInt(given.endSequenceNumber);
  const found: StreamRecord[] = [];
  try {
    const { ShardIterator } = await client.send(
      new GetShardIteratorCommand({
        StreamArn: given.streamArn,
        ShardId: given.shardId,
        ShardIteratorType: 'AT_SEQUENCE_NUMBER',
        SequenceNumber: given.startSequenceNumber,
      }),
    );
    let iterator = ShardIterator;
    while (iterator !== undefined) {
      const { Records = [], NextShardIterator } = await client.send(new GetRecordsCommand({ ShardIterator: iterator }));
      for (const { eventName, dynamodb } of Records) {
        if (BigInt(dynamodb?.SequenceNumber ?? 0) > end) return found;
        const at = dynamodb?.ApproximateCreationDateTime;
        found.push({
          eventName,
          dynamodb: {
            ...dynamodb,
            ApproximateCreationDateTime: at && Math.floor(at.getTime() / 1_000),
          } as StreamRecord['dynamodb'],
        });
        if (BigInt(dynamodb?.SequenceNumber ?? 0) === end) return found;
      }
      iterator = NextShardIterator;
    }
    return found;
  } finally {
    client.destroy();
  }
}
