import { randomBytes } from 'node:crypto';
import { DescribeTableCommand } from '@aws-sdk/client-dynamodb';
import { createTable } from '../lib/index.js';
import { type Functions, serveApi } from './api-gateway.js';
import { seedDemo } from './demo.js';
import { localClient, StartFailure, startDynamo } from './dynamodb.js';
import { type Handler, installLambdaRuntime } from './lambda-runtime.js';
import { StreamPoller } from './stream-poller.js';
import { type SimulatedUpstream, startUpstream } from './upstream/simulated-upstream.js';

export interface SystemOptions {
  /** Of the HTTP API on 127.0.0.1; 0: any free one. */
  readonly port: number;
  /** A DynamoDB that is running. @default one is started, in memory */
  readonly dynamoEndpoint?: string | undefined;
  readonly tableName: string;
  readonly namespace: string;
}

export interface System {
  readonly url: string;
  readonly dynamoEndpoint: string;
  readonly tableName: string;
  readonly upstream: SimulatedUpstream;
  /** Stops all that was started, the last first. */
  stop(): Promise<void>;
}

/** Starts the whole of Headgate on this machine. One a process: the handlers read the process's environment. Throws `StartFailure`. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    let { dynamoEndpoint } = options;
    if (dynamoEndpoint === undefined) {
      const database = await startDynamo();
      stops.push(() => database.stop());
      dynamoEndpoint = database.endpoint;
    }
    const streamArn = await prepared(dynamoEndpoint, options);
    const upstream = await startUpstream();
    stops.push(() => upstream.stop());
    const { functions, aggregator } = await loaded(dynamoEndpoint, upstream.url, options);
    const poller = new StreamPoller({ endpoint: dynamoEndpoint, streamArn, handler: aggregator });
    poller.start();
    stops.push(() => poller.stop());
    const api = await listening(functions, options.port);
    stops.push(() => api.stop());
    return { url: api.url, dynamoEndpoint, tableName: options.tableName, upstream, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The table, with the demo in it; the ARN of its stream. */
async function prepared(endpoint: string, { tableName, namespace }: SystemOptions): Promise<string> {
  const client = localClient(endpoint);
  try {
    await createTable(client, tableName);
    await seedDemo({ client, tableName, namespace });
    const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
    if (Table?.LatestStreamArn === undefined)
      throw new StartFailure(`The table ${tableName} at ${endpoint} has no stream: delete it, and start again`);
    return Table.LatestStreamArn;
  } catch (error) {
    if (error instanceof StartFailure) throw error;
    throw new StartFailure(
      `DynamoDB at ${endpoint} could not be set up: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  } finally {
    client.destroy();
  }
}

/** All are the one simulated provider, which can finish what nobody reads for nothing: so usage is exact. */
const PROVIDERS = { openai: {}, anthropic: {}, gemini: {}, bedrock: { bedrockRegion: 'us-east-1' } };

/** The handlers, with the environment that a deployment gives them. */
async function loaded(
  endpoint: string,
  upstreamUrl: string,
  options: SystemOptions,
): Promise<{ functions: Functions; aggregator: Handler }> {
  Object.assign(process.env, {
    HEADGATE_TABLE: options.tableName,
    HEADGATE_NAMESPACE: options.namespace,
    // DynamoDB Local on a busy machine is slower than DynamoDB.
    HEADGATE_DEADLINE_MS: '10000',
    // As in the stack.
    HEADGATE_ACQUIRED_BY: 'integration',
    HEADGATE_LEASE_KEY: randomBytes(32).toString('hex'),
    HEADGATE_UPSTREAMS: JSON.stringify(
      Object.fromEntries(
        Object.entries(PROVIDERS).map(([provider, more]) => [
          provider,
          { ...more, baseUrl: upstreamUrl, whenClientLeaves: 'readOn' },
        ]),
      ),
    ),
    AWS_ENDPOINT_URL_DYNAMODB: endpoint,
  });
  process.env.AWS_REGION ??= 'us-east-1';
  process.env.AWS_ACCESS_KEY_ID ??= 'local';
  process.env.AWS_SECRET_ACCESS_KEY ??= 'local';
  installLambdaRuntime();
  const [authorizer, api, gateway, aggregator] = await Promise.all([
    import('../lambda/authorizer.js'),
    import('../lambda/api.js'),
    import('../lambda/gateway.js'),
    import('../lambda/aggregator.js'),
  ]);
  const handler = (module: { handler: unknown }) => module.handler as Handler;
  return {
    functions: { authorizer: handler(authorizer), api: handler(api), gateway: handler(gateway) },
    aggregator: handler(aggregator),
  };
}

async function listening(functions: Functions, port: number) {
  try {
    return await serveApi(functions, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES')
      throw new StartFailure(`Port ${port} needs privileges. Take one from 1024 on: PORT=8787 npm start`, { cause: error });
    if (code !== 'EADDRINUSE') throw error;
    const other = port < 65_535 ? port + 1 : 0;
    throw new StartFailure(
      `Port ${port} is taken. Stop what listens there (lsof -i :${port}), or take another: PORT=${other} npm start`,
      { cause: error },
    );
  }
}
