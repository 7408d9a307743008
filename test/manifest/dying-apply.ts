/**
 * A process that plans and applies a manifest on DynamoDB, and kills itself right before or right after its n-th call: no handler runs, nothing is
 * cleaned up. Left alone, it says what came of it.
 */
import { writeSync } from 'node:fs';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { FakeClock } from '../../lib/clock.js';
import { ManifestAdmin } from '../../lib/manifest/manifest-admin.js';
import { reorganised } from './companies.js';

/** What the process is told, as JSON, in its only argument. */
export interface Orders {
  readonly endpoint: string;
  readonly tableName: string;
  readonly namespace: string;
  readonly nowMs: number;
  readonly actor: string;
  /** Which manifest: `reorganised` of so many entities, so often. */
  readonly entities: number;
  readonly round: number;
  /** From 1. One that is never made lets the process live to its end. */
  readonly lastCall: number;
  readonly lastHappens: boolean;
}

const orders = JSON.parse(process.argv[2] ?? '') as Orders;
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

const { tableName, namespace, actor } = orders;
const door = new ManifestAdmin({ client, tableName, namespace, actor, clock: new FakeClock(orders.nowMs) });
const plan = await door.plan(reorganised(orders.entities, orders.round), { prune: true });
const result = await door.apply(plan);
writeSync(1, `${JSON.stringify({ calls, result })}\n`);
