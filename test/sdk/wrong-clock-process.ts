/**
 * A process of its own, whose clock may be wrong. It acquires as its parent tells it to: each line of standard input is one order, each line of
 * standard output what one came to, at which time by this process's clock.
 */
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { Limit, RateLimiter } from '../../lib/index.js';

/** Acquires one token of an entity, `times` times, `everyMs` apart, with a limiter of its own: it has learned nothing yet. */
export interface Order {
  readonly entity: string;
  readonly times: number;
  readonly everyMs: number;
}

/** Instants are milliseconds since the epoch by the machine's clock. */
export interface Result {
  readonly entity: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** When each grant came. */
  readonly grantedAtMs: readonly number[];
  /** When each one that was denied was asked. */
  readonly deniedAtMs: readonly number[];
  readonly writes: number;
  readonly clockOffsetMs: number;
}

const [endpoint = '', tableName = '', namespace = ''] = process.argv.slice(2);
const limits = [Limit.perSecond('rps', 20)];
const client = new DynamoDBClient({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
});

async function carriedOut({ entity, times, everyMs }: Order): Promise<Result> {
  const limiter = new RateLimiter({ tableName, namespace, client, deadlineMs: 10_000 });
  const grantedAtMs: number[] = [];
  const deniedAtMs: number[] = [];
  const startedAtMs = Date.now();
  const tries = [];
  for (let one = 0; one < times; one += 1) {
    // No sooner after a pause of the machine: that would be more than so many a second.
    if (one > 0) await pause(everyMs);
    const askedAtMs = Date.now();
    tries.push(
      limiter.tryAcquire({ entity, resource: 'gpt-4', limits, consume: { rps: 1 } }).then(({ granted }) => {
        if (granted) grantedAtMs.push(Date.now());
        else deniedAtMs.push(askedAtMs);
      }),
    );
  }
  await Promise.all(tries);
  const { writes, clockOffsetMs } = limiter.stats();
  return { entity, startedAtMs, endedAtMs: Date.now(), grantedAtMs, deniedAtMs, writes, clockOffsetMs };
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  void carriedOut(JSON.parse(line) as Order).then((result) => process.stdout.write(`${JSON.stringify(result)}\n`));
}
client.destroy();
