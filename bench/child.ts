/** Parts that need a process of their own: a clean heap, flags of the engine, or a server that does not share the event loop. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

export interface ChildOptions {
  /** A file of this folder. */
  readonly script: string;
  readonly flags?: readonly string[];
  /** Given to the child as JSON; see inside-child.ts. */
  readonly args: unknown;
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Inside node_modules, so that the packages which the compiled scripts import are found from there. */
const COMPILED = fileURLToPath(new URL('../node_modules/.cache/headgate-bench/', import.meta.url));

/** The script compiled as users run the library: plain JavaScript, without what running TypeScript directly adds to every function. */
function compiled(script: string): string {
  mkdirSync(COMPILED, { recursive: true });
  const outfile = join(COMPILED, script.replace(/\.ts$/, '.mjs'));
  const entry = fileURLToPath(new URL(script, import.meta.url));
  buildSync({
    entryPoints: [entry],
    outfile,
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
  });
  return outfile;
}

function start({ script, flags = [], args, env }: ChildOptions): ChildProcess {
  return fork(compiled(script), [JSON.stringify(args)], { execArgv: [...flags], env: { ...process.env, ...env } });
}

/** The first message of a child. Throws when it ends without one. */
async function firstMessage<T>(child: ChildProcess, script: string): Promise<T> {
  const ended = new AbortController();
  const { signal } = ended;
  const exit = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`${script} ended with code ${code} before it answered`);
  });
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), exit]);
    return message as T;
  } finally {
    exit.catch(() => undefined);
    ended.abort();
  }
}

/** Runs a script, and returns what it reports. */
export async function reportOf<T>(options: ChildOptions): Promise<T> {
  const child = start(options);
  try {
    return await firstMessage<T>(child, options.script);
  } finally {
    child.kill();
  }
}

/** Starts a server script, which reports its port. */
export async function serverOf(options: ChildOptions): Promise<{ readonly endpoint: string; readonly stop: () => void }> {
  const child = start(options);
  const port = await firstMessage<number>(child, options.script);
  return { endpoint: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}
