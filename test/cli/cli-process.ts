import { spawn } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { testEndpoint } from '../support/dynamodb.js';

/** How a run of the command line ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly ended: Promise<Ended>;
  readonly signal: (name: NodeJS.Signals) => void;
}

/** The command line as a program of its own, as one file: it starts in a fraction of the time that loading its modules one by one takes. */
export class BuiltCli {
  private constructor(
    readonly folder: string,
    readonly script: string,
  ) {}

  static async build(): Promise<BuiltCli> {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-cli-'));
    const script = join(folder, 'cli', 'main.mjs');
    await mkdir(join(folder, 'cli'));
    await copyFile(fileURLToPath(new URL('../../package.json', import.meta.url)), join(folder, 'package.json'));
    await cp(fileURLToPath(new URL('../../presets/', import.meta.url)), join(folder, 'presets'), { recursive: true });
    await build({
      entryPoints: [fileURLToPath(new URL('../../cli/main.ts', import.meta.url))],
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'esm',
      mainFields: ['module', 'main'],
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    });
    return new BuiltCli(folder, script);
  }

  /** Runs it in its folder, in an environment that names the run's database and the table; `env` adds to it. */
  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    return this.start(args, env).ended;
  }

  /** As `run`, with what sends it a signal while it runs. */
  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const child = spawn(process.execPath, [this.script, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.folder,
      env: { ...quiet(process.env), AWS_ENDPOINT_URL_DYNAMODB: testEndpoint(), ...env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const ended = new Promise<Ended>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, stdout, stderr }));
    });
    return { ended, signal: (name) => child.kill(name) };
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }
}

/** The environment without what the test runner says of colours, and without Headgate's own settings. */
function quiet(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _, NO_COLOR: _no, HEADGATE_TABLE: _table, HEADGATE_NAMESPACE: _namespace, ...rest } = env;
  return rest;
}
