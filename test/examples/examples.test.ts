import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
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

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a program of examples/ to its end, as a user does, with what `npm start` says to export. */
async function run(command: string, args: readonly string[], input = '', env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...clientEnvironment(system), ...env },
  });
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
  return { code, out, err };
}

/** The lines that it printed; it went well. */
function linesOf({ code, out, err }: Ended): readonly string[] {
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return out.trimEnd().split('\n');
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

it('the Lambda handler answers three questions, settles them, and answers the fourth with 429 and all that a client needs', async () => {
  const { result, answers, tokens } = await produced(() => example('lambda-handler/invoke.ts'));
  const [first, second, third, ...denied] = linesOf(result);
  const used = [first, second, third].map((line) => JSON.parse(line?.replace(/^200 /, '') ?? '').usage.totalTokens);
  expect([answers, used[0] + used[1] + used[2]]).toEqual([3, tokens]);
  expect(denied.join(' ')).toMatch(
    /^429 \{ {3}'Retry-After': '([1-9]|1\d|20)', .* RateLimit: '"rpm";r=0;t=\d+, "tpm";r=\d+;t=\d+'/,
  );
  await eventually(async () => expect(await consumed('user-1', 'amazon.nova-lite-v1:0')).toEqual({ rpm: 3, tpm: tokens }));
});

it('the stack of the Lambda handler lets it acquire and call its model, and nothing more', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ask-'));
  const env = { CDK_OUTDIR: folder, CDK_CONTEXT_JSON: JSON.stringify({ 'aws:cdk:bundling-stacks': [] }) };
  try {
    linesOf(await run(process.execPath, ['--import', 'tsx', 'examples/lambda-handler/stack.ts'], '', env));
    const { Resources } = JSON.parse(await readFile(join(folder, 'Ask.template.json'), 'utf8')) as { Resources: object };
    const statements = Object.values(Resources).flatMap(({ Properties }) => Properties.PolicyDocument?.Statement ?? []);
    expect(new Set(statements.flatMap(({ Action }) => Action))).toEqual(
      new Set(['bedrock:InvokeModel', 'dynamodb:BatchGetItem', 'dynamodb:GetItem', 'dynamodb:UpdateItem']),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

const python = spawnSync('python3', ['--version']).status === 0;
if (!python) console.warn('The example in Python is not run: there is no python3 on the PATH');

describe.skipIf(!python)('the program in Python', () => {
  const program = () => run('python3', ['examples/python-client/main.py']);

  afterEach(() => {
    system.upstream.behaviour.failWith = undefined;
  });

  it('gives back what a call was charged that the provider failed', async () => {
    system.upstream.behaviour.failWith = 500;
    const { code, err } = await program();
    expect(code).toBe(1);
    expect(err).toContain('HTTP Error 500');
    await eventually(async () => expect(await consumed('python')).toEqual({ rpm: 0, tph: 0 }));
  });

  it('waits as long as a denial says, and is charged what its calls used, its own and that through the gateway', async () => {
    const { result, answers, tokens } = await produced(program);
    const [first, second, denied, third, gateway, left, ...more] = linesOf(result);
    expect(denied).toMatch(/^limited: asking again in [12] s$/);
    expect(left).toMatch(/^left: \{'rpm': [01], 'tph': \d+\}$/);
    expect(more).toEqual([]);
    const own = [first, second, third].reduce((sum, line) => sum + Number(/^(\d+) tokens: /.exec(line ?? '')?.[1]), 0);
    const through = Number(/^(\d+) tokens through the gateway$/.exec(gateway ?? '')?.[1]);
    expect([answers, own + through]).toEqual([4, tokens]);
    await eventually(async () => {
      expect(await consumed('python')).toEqual({ rpm: 3, tph: own });
      expect(await consumed('demo')).toEqual({ rpm: 1, tpm: through });
    });
  });
});
