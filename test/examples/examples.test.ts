import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { clientEnvironment } from '../../local/client-environment.js';
import { type System, startSystem } from '../../local/system.js';
import { testEndpoint } from '../support/dynamodb.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
let system: System;

beforeAll(async () => {
  system = await startSystem({
    port: 0,
    dynamoEndpoint: testEndpoint(),
    tableName: `examples-${randomUUID()}`,
    namespace: 'default',
  });
});

afterAll(() => system.stop());

/** Runs a program of examples/ as a user does, with what `npm start` says to export. Its output; rejects unless it ends well. */
async function run(command: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...clientEnvironment(system) } });
  let out = '';
  let err = '';
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString();
  });
  const [code] = await once(child, 'close');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return out;
}

const example = (path: string) => run(process.execPath, '--import', 'tsx', `examples/${path}`);

/** What an entity consumed on a resource, by the usage that the table's stream amounts to. */
async function consumed(entity: string, resource = 'gpt-4o-mini'): Promise<Readonly<Record<string, number>>> {
  const answer = await fetch(`${system.url}/v1/usage/${entity}?resource=${resource}`);
  const { rows } = (await answer.json()) as { rows: { consumed: Record<string, number> }[] };
  const total: Record<string, number> = {};
  for (const row of rows) for (const [limit, tokens] of Object.entries(row.consumed)) total[limit] = (total[limit] ?? 0) + tokens;
  return total;
}

/** The stream is read a moment after the table was written. */
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 10_000, interval: 50 });

it('the batch job has every call answered, the high lane before the low one, and is charged what the provider produced', async () => {
  const before = { answers: system.upstream.answers, tokens: system.upstream.producedTokens };
  const out = await example('batch-job/main.ts');

  const lines = out
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\d+\.\d s {2}/, ''));
  expect(lines.slice(-3, -1)).toEqual(['high  20 of 20', 'low   20 of 20']);
  const tokens = system.upstream.producedTokens - before.tokens;
  expect(lines.at(-1)).toBe(`done, ${tokens} tokens`);
  expect(system.upstream.answers - before.answers).toBe(40);
  await eventually(async () => expect(await consumed('batch-job')).toEqual({ rps: 40, tpm: tokens }));
});
