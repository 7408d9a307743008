/**
 * A process of its own, whose clock may be wrong. It acquires as its parent tells it to: each line of standard input is one order, each line of
 * standard output what one came to, at which time by this process's clock.
 */
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { Limit, RateLimiter } from '../../lib/index.js';

/** Acquires one token of an entity, `times` times, every `everyMs`. Each order has a limiter of its own: it has learned nothing yet. */
export interface Order {
  readonly entity: string;
  readonly times: number;
  readonly everyMs: number;
}

export interface Result {
  readonly entity: string;
  /** When each one was granted, in milliseconds since the epoch by the machine's clock. */
  readonly grantedAtMs: readonly number[];
  readonly writes: number;
  readonly clockOffsetMs: number;
}

const [endpoint = '', tableName = '', namespace = ''] = process.argv.slice(2);
const limits = [Limit.perSecond('rps', 20)];

async function carriedOut({ entity, times, everyMs }: Order): Promise<Result> {
  const client = new DynamoDBClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  const limiter = new RateLimiter({ tableName, namespace, client, deadlineMs: 10_000 });
  const grantedAtMs: number[] = [];
  const startMs = performance.now();
  const tries = [];
  for (let one = 0; one < times; one += 1) {
    await pause(startMs + one * everyMs - performance.now());
    tries.push(
      limiter.tryAcquire({ entity, resource: 'gpt-4', limits, consume: { rps: 1 } }).then(({ granted }) => {
        if (granted) grantedAtMs.push(Date.now());
      }),
    );
  }
  await Promise.all(tries);
  const { writes, clockOffsetMs } = limiter.stats();
  client.destroy();
  return { entity, grantedAtMs, writes, clockOffsetMs };
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  void carriedOut(JSON.parse(line) as Order).then((result) => process.stdout.write(`${JSON.stringify(result)}\n`));
}
