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
async function run(command: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...clientEnvironment(system) } });
  child.stdin.end(input);
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

const example = (path: string, input?: string) => run(process.execPath, ['--import', 'tsx', `examples/${path}`], input);

/** What the simulated provider answered and produced while something ran. */
async function produced<T>(
  during: () => Promise<T>,
): Promise<{ readonly result: T; readonly answers: number; readonly tokens: number }> {
  const { answers, producedTokens } = system.upstream;
  const result = await during();
  return { result, answers: system.upstream.answers - answers, tokens: system.upstream.producedTokens - producedTokens };
}

/** What an entity consumed on a resource, by the usage that the table's stream amounts to. */
async function consumed(entity: string, resource = 'gpt-4o-mini'): Promise<Readonly<Record<string, number>>> {
  const answer = await fetch(`${system.url}/v1/usage/${entity}?resource=${resource}`);
  const { rows } = (await answer.json()) as { rows: { consumed: Record<string, number> }[] };
  const total: Record<string, number> = {};
  for (const row of rows) for (const [limit, tokens] of Object.entries(row.consumed)) total[limit] = (total[limit] ?? 0) + tokens;
  return total;
}

const linesOf = (out: string): readonly string[] => out.trimEnd().split('\n');

/** The stream is read a moment after the table was written. */
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 10_000, interval: 50 });

it('the batch job has every call answered, the high lane before the low one, and is charged what the provider produced', async () => {
  const { result, answers, tokens } = await produced(() => example('batch-job/main.ts'));
  const lines = linesOf(result).map((line) => line.replace(/^\d+\.\d s {2}/, ''));
  expect(lines.slice(-3)).toEqual(['high  20 of 20', 'low   20 of 20', `done, ${tokens} tokens`]);
  expect(answers).toBe(40);
  await eventually(async () => expect(await consumed('batch-job')).toEqual({ rps: 40, tpm: tokens }));
});

it('the chat streams three answers, says what is left after each, and when the fourth question may be asked', async () => {
  const questions = ['How do gates work?', 'Who opens them?', 'And who shuts them?', 'What for?'];
  const { result, answers, tokens } = await produced(() => example('ai-sdk-chat/main.ts', questions.join('\n')));
  const said = linesOf(result);
  expect(said.filter((line) => line.startsWith('The key was cut'))).toHaveLength(3);
  const told = said.flatMap(
    (line) => /^\[(\d+) tokens; left: \{"rpm":(\d),"tpm":(\d+)\}\]$/.exec(line)?.slice(1).map(Number) ?? [],
  );
  expect([told[1], told[4], told[7]]).toEqual([2, 1, 0]);
  expect((told[0] ?? 0) + (told[3] ?? 0) + (told[6] ?? 0)).toBe(tokens);
  expect(said.at(-1)).toMatch(/^\[no more for now: ask again in ([1-9]|1\d|20) s\]$/);
  expect(answers).toBe(3);
  await eventually(async () => expect(await consumed('chat')).toEqual({ rpm: 3, tpm: tokens }));
});
