/** What the SDK overhead is measured between: an acquire, and the same request sent bare. */
import { randomUUID } from 'node:crypto';
import { type DynamoDB, UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import { Limit, RateLimiter } from '../lib/index.js';
import { bareUpdate } from './bare-update.js';

export interface Subjects {
  readonly acquire: () => Promise<unknown>;
  /** The very UpdateItem that an acquire sends, made in advance. */
  readonly bare: () => Promise<unknown>;
  /** The smallest UpdateItem that counts anything. */
  readonly smallest: () => Promise<unknown>;
}

/** Capacity for a day: a quarter of it in use, so that every request finds some tokens missing, and none is denied. */
const CAPACITY = 86_400_000;
const LIMITS = [
  Limit.custom({ name: 'rpm', capacity: CAPACITY, refillAmount: 1_000, refillPeriodMs: 1_000 }),
  Limit.custom({ name: 'tpm', capacity: CAPACITY, refillAmount: 1_000, refillPeriodMs: 1_000 }),
];
const IN_USE = { rpm: CAPACITY / 4, tpm: CAPACITY / 4 };

/** Both buckets are in use when it returns. */
export async function subjects(client: DynamoDB, tableName: string): Promise<Subjects> {
  const limiter = new RateLimiter({ client, tableName });
  const request = (entity: string) => ({ entity, resource: 'gpt-4', limits: LIMITS, consume: { rpm: 1, tpm: 5 } });
  const [own, other] = [request(randomUUID()), request(randomUUID())];
  for (const one of [own, other]) await limiter.acquire({ ...one, consume: IN_USE });
  const input = await sentBy(client, () => limiter.acquire(other));
  return {
    acquire: () => limiter.acquire(own),
    bare: () => client.send(new UpdateItemCommand({ ...input })),
    smallest: bareUpdate(client, tableName),
  };
}

/** The last UpdateItem that `work` sends. */
async function sentBy(client: DynamoDB, work: () => Promise<unknown>): Promise<UpdateItemCommandInput> {
  let input: UpdateItemCommandInput | undefined;
  client.middlewareStack.add(
    (next) => (args) => {
      input = args.input as UpdateItemCommandInput;
      return next(args);
    },
    { step: 'initialize', name: 'sentBy' },
  );
  await work();
  client.middlewareStack.remove('sentBy');
  if (input === undefined) throw new Error('nothing was sent');
  return input;
}
