import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { testClient, testEndpoint } from '../support/dynamodb.js';

const MAIN = fileURLToPath(new URL('../../local/main.ts', import.meta.url));
const DYNAMODB = fileURLToPath(new URL('../../local/dynamodb.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** A cold start of everything, on a busy machine. */
const WITHIN = { timeout: 45_000, interval: 50 };

/** A process in a group of its own, so that what it leaves behind can be ended too. */
class Program {
  readonly child: ChildProcess;
  out = '';
  err = '';
  /** Its children, the database among them, hold its standard error: it closes with the last of them. */
  #released = false;

  constructor(args: readonly string[], env: Record<string, string>) {
    this.child = spawn(process.execPath, ['--import', 'tsx', ...args], {
      cwd: ROOT,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true', DYNAMODB_ENDPOINT: '', ...env },
    });
    this.child.stdout?.on('data', (bytes: Buffer) => {
      this.out += bytes.toString();
    });
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.err += bytes.toString();
    });
    this.child.on('close', () => {
      this.#released = true;
    });
  }

  async says(text: string | RegExp): Promise<void> {
    await vi.waitFor(() => expect(this.out + this.err).toMatch(text), WITHIN);
  }

  /** How it ended: its exit code, or the signal. Rejects while something that it started still runs. */
  async end(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    await vi.waitFor(() => expect(this.#released, 'all that it started has ended').toBe(true), WITHIN);
    return this.child.exitCode ?? this.child.signalCode;
  }

  killAll(): void {
    if (!this.#released) process.kill(-(this.child.pid ?? 0), 'SIGKILL');
  }
}

const programs: Program[] = [];

afterEach(() => {
  for (const program of programs.splice(0)) program.killAll();
});

function run(args: readonly string[], env: Record<string, string> = {}): Program {
  const program = new Program(args, env);
  programs.push(program);
  return program;
}

const start = (env: Record<string, string>) => run([MAIN], { PORT: '0', HEADGATE_TABLE: `start-${randomUUID()}`, ...env });

/** Does what a line with `curl` does: a URL, `-H`, `-d`, and quotes around words. */
async function curl(line: string): Promise<Response> {
  const words = (line.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'|'$/g, ''));
  const after = (option: string) => words.filter((_, index) => words[index - 1] === option);
  const headers = after('-H').map((header): [string, string] => {
    const [name = '', value = ''] = header.split(/: /, 2);
    return [name, value];
  });
  const [body] = after('-d');
  const url = words.find((word) => word.startsWith('http')) ?? '';
  return fetch(url, { headers, ...(body !== undefined && { method: 'POST', body }) });
}

describe('npm start', { timeout: 90_000 }, () => {
  it('brings everything up, with three lines to paste that are answered, and ends with code 0 and nothing running at Ctrl-C', async () => {
    const program = start({ HEADGATE_TABLE: 'headgate' });
    await program.says(/ready/);
    expect(program.out).toMatch(/DynamoDB {3}http:\/\/127\.0\.0\.1:\d+, table headgate, namespace default/);
    expect(program.out.trimEnd().split('\n').at(-1)).toContain('ready');
    const exported = [...program.out.matchAll(/(?<=^ {2}export .*)(\w+)=(\S+)/gm)].map(([, name = '', value = '']) => [
      name,
      value,
    ]);
    const { OPENAI_BASE_URL: provider, AWS_ENDPOINT_URL_DYNAMODB: database = '' } = Object.fromEntries(exported);
    expect(program.out).toContain(`DynamoDB   ${database}, table`);
    expect(await (await fetch(`${provider}/models`)).json()).toMatchObject({ data: [{ id: 'gpt-4o-mini' }] });
    const lines = program.out.split('\n').filter((line) => line.trimStart().startsWith('curl '));
    expect(lines).toHaveLength(3);
    const [completion, acquired, usage] = await Promise.all(lines.map(async (line) => (await curl(line)).json()));
    expect(completion).toMatchObject({ object: 'chat.completion', usage: { total_tokens: 15 } });
    expect(acquired).toMatchObject({ lease: expect.any(String), startsInMs: 0 });
    expect(usage).toMatchObject({ rows: expect.any(Array) });
    program.child.kill('SIGINT');
    expect(await program.end()).toBe(0);
    expect(program.err).toBe('');
  });

  it('starts again on a database that holds its table and demo already, and leaves that database running', async () => {
    const env = { HEADGATE_TABLE: `again-${randomUUID()}`, DYNAMODB_ENDPOINT: testEndpoint() };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const program = start(env);
      await program.says(/ready/);
      program.child.kill(signal);
      expect(await program.end()).toBe(0);
      expect(program.err).toBe('');
    }
    expect(
      (await testClient().send(new ListTablesCommand({ ExclusiveStartTableName: 'aga', Limit: 1 }))).TableNames,
    ).toHaveLength(1);
  });

  it('ends with code 0 and nothing running at SIGTERM while it is starting', async () => {
    const program = start({});
    await program.says('Starting');
    program.child.kill('SIGTERM');
    expect(await program.end()).toBe(0);
    expect(program.out).not.toContain('ready');
  });
});

describe('a start that fails', { timeout: 90_000 }, () => {
  it('names the port that is taken and a way out, with code 1 and nothing left running', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    try {
      const program = start({ PORT: String(port) });
      expect(await program.end()).toBe(1);
      expect(program.err).toContain(`Port ${port} is taken`);
      expect(program.err).toContain('PORT=');
      expect(program.err).not.toContain('    at ');
    } finally {
      taken.close();
    }
  });

  it.each([
    { when: 'PORT is no number', env: { PORT: 'abc' }, message: 'Expected PORT to be a number from 0 to 65535, got "abc"' },
    { when: 'PORT is too large', env: { PORT: '65536' }, message: 'Expected PORT to be a number from 0 to 65535, got "65536"' },
    {
      when: 'the endpoint is no URL',
      env: { DYNAMODB_ENDPOINT: '127.0.0.1:8000' },
      message: 'Expected DYNAMODB_ENDPOINT to be a URL such as http://127.0.0.1:8000, got "127.0.0.1:8000"',
    },
    {
      when: 'nothing answers at the endpoint',
      env: { DYNAMODB_ENDPOINT: 'http://127.0.0.1:1' },
      message: 'DynamoDB at http://127.0.0.1:1 could not be set up: connect ECONNREFUSED 127.0.0.1:1',
    },
  ])('says why with code 1, and no stack, when $when', async ({ env, message }) => {
    const program = start(env);
    expect(await program.end()).toBe(1);
    expect(program.err.trimEnd()).toBe(message);
  });

  it('says what to install when there is no Java', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'headgate-no-java-'));
    try {
      const program = start({ PATH: empty });
      expect(await program.end()).toBe(1);
      expect(program.err).toMatch(/^DynamoDB Local needs Java 17 or later/);
      expect(program.err).toContain('apt-get install openjdk-17-jre-headless');
      expect(program.err).toContain('DYNAMODB_ENDPOINT=');
      expect(program.err).not.toContain('    at ');
    } finally {
      await rm(empty, { recursive: true });
    }
  });
});

it.each(['SIGTERM', 'SIGHUP'] as const)('a database ends with a process that %s ends', { timeout: 90_000 }, async (signal) => {
  const script = `const { startDynamo } = await import(${JSON.stringify(DYNAMODB)}); await startDynamo(); console.log('up'); setInterval(() => {}, 1000);`;
  const program = run(['--input-type=module', '--eval', script]);
  await program.says('up');
  program.child.kill(signal);
  expect(await program.end()).toBe(signal);
});
