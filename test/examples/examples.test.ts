import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { HeadgateAdmin, Limit } from '../../lib/index.js';
import { clientEnvironment } from '../../local/client-environment.js';
import { type System, startSystem } from '../../local/system.js';
import { testClient, testEndpoint } from '../support/dynamodb.js';

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

interface Started {
  readonly child: ChildProcess;
  /** What it printed so far. */
  readonly out: () => string;
  readonly ended: Promise<Ended>;
}

/** Starts a program of examples/ as a user does, with what `npm start` says to export. */
function start(command: string, args: readonly string[], input = '', env: Record<string, string> = {}): Started {
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
  return { child, out: () => out, ended: once(child, 'close').then(([code]) => ({ code, out, err })) };
}

const node = (path: string, input?: string, env?: Record<string, string>) =>
  start(process.execPath, ['--import', 'tsx', `examples/${path}`], input, env);

/** The lines that it printed; it went well. */
function linesOf({ code, out, err }: Ended): readonly string[] {
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return out.trimEnd().split('\n');
}

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
  const { result, answers, tokens } = await produced(() => node('batch-job/main.ts').ended);
  const lines = linesOf(result).map((line) => line.replace(/^\d+\.\d s {2}/, ''));
  expect(lines.slice(-3)).toEqual(['high  20 of 20', 'low   20 of 20', `done, ${tokens} tokens`]);
  expect(answers).toBe(40);
  await eventually(async () => expect(await consumed('batch-job')).toEqual({ rps: 40, tpm: tokens }));
});

it('the chat streams three answers, says what is left after each, and when the fourth question may be asked', async () => {
  const questions = ['How do gates work?', 'Who opens them?', 'And who shuts them?', 'What for?'];
  const { result, answers, tokens } = await produced(() => node('ai-sdk-chat/main.ts', questions.join('\n')).ended);
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
  const { result, answers, tokens } = await produced(() => node('lambda-handler/invoke.ts').ended);
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
    linesOf(await node('lambda-handler/stack.ts', '', env).ended);
    const { Resources } = JSON.parse(await readFile(join(folder, 'Ask.template.json'), 'utf8')) as { Resources: object };
    const statements = Object.values(Resources).flatMap(({ Properties }) => Properties.PolicyDocument?.Statement ?? []);
    expect(new Set(statements.flatMap(({ Action }) => Action))).toEqual(
      new Set(['bedrock:InvokeModel', 'dynamodb:BatchGetItem', 'dynamodb:GetItem', 'dynamodb:UpdateItem']),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('the service with Hono', () => {
  let service: Started;
  let url: string;

  beforeAll(async () => {
    service = node('hono-service/main.ts', '', { PORT: '0' });
    await vi.waitFor(() => expect(service.out()).toContain('Listening'), { timeout: 45_000, interval: 20 });
    url = /http:\S+/.exec(service.out())?.[0] ?? '';
  });

  afterAll(async () => {
    service.child.kill();
    expect((await service.ended).err).toBe('');
  });

  afterEach(() => {
    system.upstream.behaviour.delayMs = 0;
  });

  const ask = (caller: string | undefined, signal?: AbortSignal) =>
    fetch(`${url}/ask`, {
      method: 'POST',
      body: 'How do gates work?',
      headers: caller === undefined ? {} : { 'x-caller': caller },
      signal: signal ?? null,
    });

  it('streams three answers to a caller, answers the fourth question with 429, and another caller still', async () => {
    const { result, answers, tokens } = await produced(async () => {
      const texts = [];
      for (const caller of ['ann', 'ann', 'ann', 'bob']) texts.push(await (await ask(caller)).text());
      return texts;
    });
    for (const text of result) expect(text).toMatch(/^The key was cut for one/);
    const denied = await ask('ann');
    expect(denied.status).toBe(429);
    expect(denied.headers.get('retry-after')).toMatch(/^([1-9]|1\d|20)$/);
    expect(await denied.json()).toMatchObject({ code: 'RateLimitExceeded', violations: [{ entity: 'ann', limit: 'rpm' }] });
    expect(answers).toBe(4);
    await eventually(async () => {
      const [ann, bob] = [await consumed('ann'), await consumed('bob')];
      expect((ann.tpm ?? 0) + (bob.tpm ?? 0)).toBe(tokens);
      expect([await consumed('ann', 'api'), await consumed('bob', 'api')]).toEqual([{ rpm: 3 }, { rpm: 1 }]);
    });
  });

  it('answers 429 with the wait of the tokens that a caller has no more of', async () => {
    const admin = new HeadgateAdmin({ tableName: system.tableName, client: testClient() });
    await admin.setLimits({ entity: 'dan', resource: 'gpt-4o-mini' }, [Limit.perHour('tph', 36)]);
    // 8 tokens of prompt and 23 of answer.
    await (await ask('dan')).text();
    const denied = await ask('dan');
    expect(denied.status).toBe(429);
    expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(60);
    expect(denied.headers.get('ratelimit')).toMatch(/^"tph";r=5;t=\d+$/);
    expect(await denied.json()).toMatchObject({ error: { code: 'RateLimitExceeded' } });
  });

  it('stops the provider when its caller leaves', async () => {
    system.upstream.behaviour.delayMs = 20;
    const { abandonedStreams } = system.upstream;
    const leaving = new AbortController();
    const answer = await ask('cyd', leaving.signal);
    await answer.body?.getReader().read();
    leaving.abort();
    await eventually(async () => expect(system.upstream.abandonedStreams).toBe(abandonedStreams + 1));
  });

  it('asks who is there', async () => {
    expect((await ask(undefined)).status).toBe(401);
  });
});

const python = spawnSync('python3', ['--version']).status === 0;
if (!python) console.warn('The example in Python is not run: there is no python3 on the PATH');

describe.skipIf(!python)('the program in Python', () => {
  const program = () => start('python3', ['examples/python-client/main.py']).ended;

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

  it.each([
    { when: 'a user signs', token: '', signature: '36dee0823e0255aa4b41c0c66fcb37e155229fad5f28dd8b37b9df65d7147b19' },
    { when: 'a role signs', token: 'tok', signature: '8439b324e0c265ec6d4b298123e12206f1b126fe03edc46af364028231b4a183' },
  ])('signs its requests as the AWS SDK does when $when', async ({ token, signature }) => {
    const program = `
import json, sys
from datetime import datetime
sys.path.append("examples/python-client")
from sign import signed
url = "https://abc.execute-api.eu-west-1.amazonaws.com/prod/v1/limits/entities/a%2Fb%40c/gpt-4o"
now = datetime(2026, 11, 23, 12, 34, 56)
headers = {"Content-Type": "application/json"}
print(signed("PUT", url, headers, b'{"limits":[]}', "eu-west-1", json.loads(sys.argv[1]), now)["Authorization"])`;
    const credentials = {
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
      AWS_SESSION_TOKEN: token,
    };
    const [authorization] = linesOf(await start('python3', ['-c', program, JSON.stringify(credentials)]).ended);
    expect(authorization).toBe(
      'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-west-1/execute-api/aws4_request, ' +
        `SignedHeaders=content-type;host;x-amz-date${token && ';x-amz-security-token'}, Signature=${signature}`,
    );
  });
});
