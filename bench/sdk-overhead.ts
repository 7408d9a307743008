import { randomUUID } from 'node:crypto';
import { type DynamoDB, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { Limit, RateLimiter } from '../lib/index.js';
import { bucketItemKey } from '../lib/store/bucket-expressions.js';
import { type Bed, benchClient, headgateTable } from './bed.js';
import { reportOf, serverOf } from './child.js';
import type { OverheadArguments } from './overhead-process.js';
import type { Took } from './paired-rounds.js';
import { type Section, shown } from './report.js';

const MOST_RATIO = 1.1;
const ROOM_FOR_ALL = ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256'];
const NAMES: Readonly<Record<string, string>> = {
  bare: 'bare UpdateItemCommand, the same request',
  acquire: 'Headgate, acquire of 2 limits',
  smallest: 'bare UpdateItemCommand, the smallest: one counter, no condition',
};

/** What an acquire costs beside the UpdateItem that it sends. */
export async function sdkOverhead({ endpoint, sized }: Bed): Promise<Section> {
  const client = benchClient(endpoint);
  const tableName = await headgateTable(client);
  const stub = await serverOf({ script: './stub-server.ts', args: { body: await writtenBucket(client, tableName) } });
  client.destroy();
  const measured = async <T>(measure: OverheadArguments['measure'], at: string, most: Partial<OverheadArguments>) => {
    const args = { measure, endpoint: at, tableName, warmUpCalls: sized(1_500, 300), rounds: 0, callsPerRound: 0, ...most };
    return reportOf<T>({ script: './overhead-process.ts', flags: measure === 'allocation' ? ROOM_FOR_ALL : [], args });
  };
  const onStub = await measured<readonly Took[]>('time', stub.endpoint, { rounds: sized(1_000, 100), callsPerRound: 5 });
  const onLocal = await measured<readonly Took[]>('time', endpoint, { rounds: sized(400, 40), callsPerRound: 5 });
  const bytes = await measured<Record<string, number>>('allocation', stub.endpoint, { rounds: sized(9, 3), callsPerRound: 200 });
  stub.stop();
  return {
    title: 'What the SDK costs',
    method: [
      'An acquire of two limits, given with the request, against a bare `UpdateItemCommand` of the very request that the acquire sends, made in advance: same client, same endpoint, one call at a time, in rounds by turns; medians of the rounds’ ratios. The stub is a process that answers every request at once with the same bytes, so that nearly all the time is the caller’s own: the harshest comparison there is. Processor time is this process’s, allocation is of the JavaScript heap.',
    ],
    tables: [tableOf('A stub that answers at once', onStub, bytes), tableOf('DynamoDB Local', onLocal)],
    remarks: [
      'The bare command sends a request that is ready; an acquire checks its input, decides, writes the expression, sets a deadline, reads the bucket back, and makes a lease.',
      'On AWS, where a write takes some milliseconds, the ratio of times is nearer to 1 than here; the processor time is the same.',
    ],
    targets: [target('SDK overhead, stub that answers at once', onStub), target('SDK overhead, DynamoDB Local', onLocal)],
  };
}

function tableOf(title: string, took: readonly Took[], bytes?: Readonly<Record<string, number>>) {
  return {
    title,
    columns: ['call', 'µs', 'x bare', 'processor µs', 'x bare', ...(bytes ? ['bytes allocated'] : [])],
    rows: took.map(({ name, wallMicros, wallRatio, cpuMicros, cpuRatio }) => [
      NAMES[name] ?? name,
      shown(wallMicros),
      shown(wallRatio, 3),
      shown(cpuMicros),
      shown(cpuRatio, 3),
      ...(bytes ? [shown(bytes[name] ?? Number.NaN)] : []),
    ]),
  };
}

function target(what: string, took: readonly Took[]) {
  const ratio = took.find(({ name }) => name === 'acquire')?.wallRatio ?? Number.NaN;
  return {
    what,
    promised: `at most ${shown(MOST_RATIO, 2)} x a bare UpdateItem`,
    measured: `${shown(ratio, 2)} x`,
    met: ratio <= MOST_RATIO,
  };
}

/** What DynamoDB answers to a granted acquire of a bucket with tokens missing for a day to come. */
async function writtenBucket(client: DynamoDB, tableName: string): Promise<string> {
  const limiter = new RateLimiter({ client, tableName });
  const entity = randomUUID();
  const limits = ['rpm', 'tpm'].map((name) => {
    return Limit.custom({ name, capacity: 86_400_000, refillAmount: 1_000, refillPeriodMs: 1_000 });
  });
  await limiter.acquire({ entity, resource: 'gpt-4', limits, consume: { rpm: 21_600_000, tpm: 21_600_000 } });
  const key = bucketItemKey({ namespace: 'default', resource: 'gpt-4', entity, shard: 0 });
  const { Item: item } = await client.send(new GetItemCommand({ TableName: tableName, Key: key }));
  return JSON.stringify({ Attributes: item });
}
