import { DescribeTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type _Record as SdkRecord,
} from '@aws-sdk/client-dynamodb-streams';
import type { DynamoDBRecord } from 'aws-lambda';
import { testEndpoint } from '../support/dynamodb.js';

/** Everything in the table's stream so far, shard by shard, in the shape in which Lambda delivers it. */
export async function streamRecords(client: DynamoDBClient, tableName: string): Promise<DynamoDBRecord[]> {
  const streams = new DynamoDBStreamsClient({
    endpoint: testEndpoint(),
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
  const StreamArn = Table!.LatestStreamArn!;
  const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn }));
  const records: DynamoDBRecord[] = [];
  for (const { ShardId } of StreamDescription!.Shards!) {
    const { ShardIterator } = await streams.send(
      new GetShardIteratorCommand({ StreamArn, ShardId: ShardId!, ShardIteratorType: 'TRIM_HORIZON' }),
    );
    let iterator = ShardIterator;
    while (iterator !== undefined) {
      const { Records = [], NextShardIterator } = await streams.send(new GetRecordsCommand({ ShardIterator: iterator }));
      records.push(...Records.map(asDelivered));
      // An open shard always names a next iterator: an empty answer is its end for now.
      iterator = Records.length > 0 ? NextShardIterator : undefined;
    }
  }
  return records;
}

/** Lambda gives times as epoch seconds, where the SDK gives a Date. */
function asDelivered({ eventName, dynamodb }: SdkRecord): DynamoDBRecord {
  return JSON.parse(
    JSON.stringify({
      eventName,
      dynamodb: { ...dynamodb, ApproximateCreationDateTime: dynamodb!.ApproximateCreationDateTime!.getTime() / 1000 },
    }),
  );
}

/** The only shard of a table's stream. */
export async function onlyShardOf(StreamArn: string): Promise<string> {
  const streams = new DynamoDBStreamsClient({
    endpoint: testEndpoint(),
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn }));
  streams.destroy();
  const [first, ...others] = StreamDescription?.Shards ?? [];
  if (first?.ShardId === undefined || others.length > 0) throw new Error(`Expected one shard, got ${others.length + 1}`);
  return first.ShardId;
}
