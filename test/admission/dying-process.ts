/**
 * A process that acquires, settles and releases on DynamoDB, and kills itself right before or right after its n-th call: no handler runs, nothing is
 * cleaned up. What it had been told by then stands on its standard output, a line each.
 */
import { writeSync } from 'node:fs';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { FakeClock } from '../../lib/clock.js';
import { RateLimiter } from '../../lib/limiter.js';

/** What the process is told, as JSON, in its only argument. */
export interface Orders {
  readonly endpoint: string;
  readonly tableName: string;
  readonly namespace: string;
  readonly nowMs: number;
  /** From 1. One that is never made lets the process live to its end. */
  readonly lastCall: number;
  readonly lastHappens: boolean;
  readonly acquired: number;
  readonly settled: number;
}

const orders = JSON.parse(process.argv[2] ?? '') as Orders;
const say = (line: string): void => {
  writeSync(1, `${line}\n`);
};

const client = new DynamoDBClient({
  endpoint: orders.endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
});
let calls = 0;
client.middlewareStack.add(
  (next) => async (args) => {
    calls += 1;
    const isLast = calls === orders.lastCall;
    if (isLast && !orders.lastHappens) process.kill(process.pid, 'SIGKILL');
    const result = await next(args);
    if (isLast) process.kill(process.pid, 'SIGKILL');
    return result;
  },
  { step: 'finalizeRequest', priority: 'low', name: 'dieAtCall' },
);

const limiter = new RateLimiter({
  client,
  tableName: orders.tableName,
  namespace: orders.namespace,
  clock: new FakeClock(orders.nowMs),
  deadlineMs: 30_000,
});
const lease = await limiter.acquire({ entity: 'key-123', resource: 'gpt-4', consume: { rph: orders.acquired } });
say('acquired');
await lease.settle({ rph: orders.settled });
say('settled');
await lease.release();
say('released');
say(`${calls} calls`);
