import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { START_MS, type TestBed, testBed } from '../support/stores.js';
import type { Orders } from './dying-process.js';

const on = { entity: 'key-123', resource: 'gpt-4' };
const HOUR_MS = 3_600_000;
/** Two reads of its limits, then three writes each to acquire, to settle and to release. */
const CALLS = 11;

interface End {
  readonly signal: NodeJS.Signals | null;
  /** What it had been told. */
  readonly said: readonly string[];
}

function dies(orders: Orders): Promise<End> {
  const child = spawn(process.execPath, [script(), JSON.stringify(orders)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (_code, signal) => resolve({ signal, said: said.split('\n').slice(0, -1) }));
  });
}

let tableName: string;
let folder: string;
// One file, which starts in a tenth of the time that loading its modules one by one takes.
const script = () => join(folder, 'dying-process.mjs');

beforeAll(async () => {
  tableName = await createTestTable();
  folder = await mkdtemp(join(tmpdir(), 'headgate-killed-'));
  await build({
    entryPoints: [fileURLToPath(new URL('dying-process.ts', import.meta.url))],
    outfile: script(),
    bundle: true,
    platform: 'node',
    format: 'esm',
    mainFields: ['module', 'main'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
});
afterAll(() => rm(folder, { recursive: true }));

/** A key of a project of an organisation, each with ten an hour. */
async function family(): Promise<TestBed> {
  const bed = testBed(new DynamoStore({ client: testClient(), tableName }));
  const admin = bed.admin();
  await admin.createEntity({ entity: 'org' });
  await admin.createEntity({ entity: 'project', parent: 'org' });
  await admin.createEntity({ entity: 'key-123', parent: 'project' });
  await admin.setLimits({ system: true }, [Limit.perHour('rph', 10)]);
  return bed;
}

/** The least and the most that a level can have charged to a process that died, told so much. */
function chargedAfter(
  said: readonly string[],
  acquired: number,
  settled: number,
): { readonly least: number; readonly most: number } {
  const between = (a: number, b: number) => ({ least: Math.min(a, b), most: Math.max(a, b) });
  switch (said.at(-1)) {
    case undefined:
      return between(0, acquired);
    case 'acquired':
      return between(acquired, settled);
    case 'settled':
      return between(settled, 0);
    default:
      return between(0, 0);
  }
}

describe.each([
  { when: 'more than it acquired', acquired: 4, settled: 6, firstCall: 1 },
  // What comes before is as above.
  { when: 'less than it acquired', acquired: 6, settled: 1, firstCall: 6 },
])('a process on three levels that settles for $when', ({ acquired, settled, firstCall }) => {
  const orders = (bed: TestBed, lastCall: number, lastHappens: boolean): Orders => {
    return {
      endpoint: testEndpoint(),
      tableName,
      namespace: bed.namespace,
      nowMs: START_MS,
      lastCall,
      lastHappens,
      acquired,
      settled,
    };
  };

  it(`makes ${CALLS} calls when it is left alone`, async () => {
    const end = await dies(orders(await family(), 0, true));

    expect(end).toEqual({ signal: null, said: ['acquired', 'settled', 'released', `${CALLS} calls`] });
  });

  it.each(
    Array.from({ length: CALLS + 1 - firstCall }, (_, index) => firstCall + index).flatMap((lastCall) => [
      { lastCall, lastHappens: false, moment: 'before' },
      { lastCall, lastHappens: true, moment: 'after' },
    ]),
  )(
    'that is killed right $moment call $lastCall has let no more through than each level holds, and time repays it',
    async ({ lastCall, lastHappens }) => {
      const bed = await family();

      const { signal, said } = await dies(orders(bed, lastCall, lastHappens));

      expect(signal).toBe('SIGKILL');
      const survivor = bed.limiter();
      const available = async () => (await survivor.status(on)).limits.map((limit) => limit.available);
      const left = await available();
      const charged = chargedAfter(said, acquired, settled);
      expect(left).toHaveLength(3);
      expect(Math.min(...left)).toBeGreaterThanOrEqual(10 - charged.most);
      expect(Math.max(...left)).toBeLessThanOrEqual(10 - charged.least);
      let granted = 0;
      while ((await survivor.tryAcquire({ ...on, consume: { rph: 1 } })).granted) granted += 1;
      expect(granted).toBe(Math.min(...left));

      bed.clock.advance(HOUR_MS);
      expect(await available()).toEqual([10, 10, 10]);
    },
  );
});
