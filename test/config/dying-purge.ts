/**
 * A process that purges a namespace and kills itself right before or right after its n-th call to DynamoDB: no handler runs. It says `purged` on its
 * standard output when it lived to the end.
 */
import { writeSync } from 'node:fs';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { HeadgateNamespaces } from '../../lib/namespaces.js';

/** What the process is told, as JSON, in its only argument. */
export interface PurgeOrders {
  readonly endpoint: string;
  readonly tableName: string;
  readonly namespace: string;
  /** From 1. One that is never made lets the process live to its end. */
  readonly lastCall: number;
  readonly lastHappens: boolean;
}

const orders = JSON.parse(process.argv[2] ?? '') as PurgeOrders;
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
await new HeadgateNamespaces({ client, tableName: orders.tableName }).purge(orders.namespace, {
  includeAudit: true,
  pageSize: 12,
});
writeSync(1, 'purged\n');
