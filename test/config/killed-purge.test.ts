import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { HeadgateNamespaces } from '../../lib/namespaces.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';
import type { PurgeOrders } from './dying-purge.js';

const client = testClient();
let folder: string;
let tableName: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-purge-'));
  tableName = await createTestTable();
  await build({
    entryPoints: [fileURLToPath(new URL('dying-purge.ts', import.meta.url))],
    outfile: join(folder, 'dying-purge.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    mainFields: ['module', 'main'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
});
afterAll(() => rm(folder, { recursive: true }));

function dies(orders: Omit<PurgeOrders, 'endpoint' | 'tableName'>): Promise<{ signal: NodeJS.Signals | null; said: string }> {
  const told = JSON.stringify({ ...orders, endpoint: testEndpoint(), tableName });
  const child = spawn(process.execPath, [join(folder, 'dying-purge.mjs'), told], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (_code, signal) => resolve({ signal, said }));
  });
}

async function furnished(namespace: string): Promise<void> {
  const admin = new HeadgateAdmin({ client, tableName, namespace });
  // Far more than a decision takes on a busy machine.
  const limiter = new RateLimiter({ client, tableName, namespace, deadlineMs: 30_000 });
  await admin.setLimits({ system: true }, [Limit.perHour('rph', 10)]);
  for (let entity = 0; entity < 8; entity += 1) {
    await admin.createEntity({ entity: `key-${entity}` });
    await admin.createKey({ entity: `key-${entity}` });
    await limiter.acquire({ entity: `key-${entity}`, resource: 'gpt-4', consume: { rph: 1 } });
  }
}

async function itemsOf(namespace: string): Promise<readonly string[]> {
  const { Items = [] } = await client.send(new ScanCommand({ TableName: tableName, ConsistentRead: true }));
  return Items.filter(({ pk }) => pk?.S?.startsWith(`${namespace}#`)).map((item) => JSON.stringify(item));
}

it('a purge that is killed again and again, before or after any of its calls, is complete in the end, and nobody else lost anything', {
  timeout: 300_000,
}, async () => {
  await furnished('acme');
  await furnished('acme-2');
  const [others, own] = [await itemsOf('acme-2'), await itemsOf('acme')];
  // A config, and of each entity its record, its line, its key twice, its bucket and two records of the history; one of the limits.
  expect(own.length).toBe(1 + 8 * 7 + 1);
  const namespaces = new HeadgateNamespaces({ client, tableName });

  let killed = 0;
  const left = [own.length];
  for (let life = 0; ; life += 1) {
    // Of a page's three calls, and those before the first page, each is the last one in some life.
    const { signal, said } = await dies({ namespace: 'acme', lastCall: 2 + (life % 7), lastHappens: life % 2 === 0 });
    const items = await itemsOf('acme');
    expect(items.length).toBeLessThanOrEqual(left.at(-1) ?? 0);
    left.push(items.length);
    if (signal === null) {
      expect(said).toBe('purged\n');
      break;
    }
    killed += 1;
    expect(signal).toBe('SIGKILL');
    // Whatever is left, the registry says that it is on its way out.
    if (items.length > 0 && items.length < own.length) expect((await namespaces.get('acme'))?.purge).toBeDefined();
    expect(life).toBeLessThan(60);
  }

  expect(killed).toBeGreaterThanOrEqual(7);
  expect(await itemsOf('acme')).toEqual([]);
  expect(await namespaces.get('acme')).toBeUndefined();
  expect(await itemsOf('acme-2')).toEqual(others);
  expect(new Set((await namespaces.audit()).map(({ action }) => action))).toEqual(
    new Set(['namespace.purge', 'namespace.purged']),
  );
});
