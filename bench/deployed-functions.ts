/** The functions as they are deployed, in this process: what a part of the benchmark calls. */
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { APIGatewayProxyEvent, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { installLambdaRuntime, lambdaContext, ResponseStream } from '../local/lambda-runtime.js';
import type { Begun } from './first-byte.js';

export interface Deployment {
  readonly endpoint: string;
  readonly tableName: string;
  /** Known to the gateway as `openai`. */
  readonly providerUrl: string;
  /** Of every call. */
  readonly body: string;
  /** A key of the entity. */
  readonly secret: string;
  readonly entity: string;
}

export interface Deployed {
  /** All their calls of the database go through it. */
  readonly client: DynamoDBClient;
  readonly forward: () => Promise<Begun>;
  readonly gateway: () => Promise<Begun>;
  /** The authorizer first, as in the stack: what a call draws on is left to the gateway. */
  readonly authorizedGateway: () => Promise<Begun>;
}

type Streaming = (event: APIGatewayProxyEvent, stream: ResponseStream, context: unknown) => Promise<unknown>;
type Context = Record<string, unknown>;

/** Loads them in the environment of a deployment: once in a process. */
export async function deployed({ endpoint, tableName, providerUrl, body, secret, entity }: Deployment): Promise<Deployed> {
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_DYNAMODB: endpoint,
    HEADGATE_TABLE: tableName,
    HEADGATE_DEADLINE_MS: '30000',
    HEADGATE_ACQUIRED_BY: 'integration',
    HEADGATE_UPSTREAMS: JSON.stringify({ openai: { baseUrl: providerUrl } }),
  });
  installLambdaRuntime();
  const { compose } = await import('../lambda/compose.js');
  const { handler: authorize } = await import('../lambda/authorizer.js');
  const { handler: gateway } = await import('../lambda/gateway.js');
  const { streamed } = await import('../lambda/response-stream.js');
  const forward = streamed(async (event) => {
    const {
      status,
      headers,
      body: answer,
    } = await fetch(`${providerUrl}/${event.pathParameters?.path}`, {
      method: event.httpMethod,
      headers: { 'content-type': 'application/json' },
      body: event.body,
    });
    return { statusCode: status, headers: Object.fromEntries(headers), body: answer ?? new ReadableStream() };
  });
  const authorizer = () => authorize(eventOf(body, { secret }) as unknown as APIGatewayRequestAuthorizerEvent);
  return {
    client: compose().client,
    forward: () => begun(forward, async () => eventOf(body, {})),
    gateway: () => begun(gateway, async () => eventOf(body, { context: { entity } })),
    authorizedGateway: () => begun(gateway, async () => eventOf(body, { context: (await authorizer()).context ?? {} })),
  };
}

/** What of an event the functions read. */
function eventOf(
  body: string,
  { context = {}, secret = '' }: { readonly context?: Context; readonly secret?: string },
): APIGatewayProxyEvent {
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${secret}` };
  return {
    methodArn: 'arn:aws:execute-api:us-east-1:000000000000:a1b2c3d4e5/prod/POST/llm/openai/v1/chat/completions',
    resource: '/llm/{provider}/{path+}',
    path: '/llm/openai/v1/chat/completions',
    httpMethod: 'POST',
    pathParameters: { provider: 'openai', path: 'v1/chat/completions' },
    headers,
    multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    queryStringParameters: null,
    multiValueQueryStringParameters: null,
    requestContext: { authorizer: context },
    body,
    isBase64Encoded: false,
  } as unknown as APIGatewayProxyEvent;
}

async function begun(handler: unknown, event: () => Promise<APIGatewayProxyEvent>): Promise<Begun> {
  const startedMs = performance.now();
  let first: (tookMs: number) => void = () => {};
  const firstByte = new Promise<number>((resolve) => {
    first = resolve;
  });
  const stream = new ResponseStream({
    head: ({ statusCode }) => {
      if (statusCode !== 200) throw new Error(`answered with ${statusCode}`);
    },
    chunk: async () => first(performance.now() - startedMs),
  });
  const returned = (handler as Streaming)(await event(), stream, lambdaContext('gateway', 'bench', 60_000));
  const tookMs = await Promise.race([firstByte, returned.then(() => firstByte)]);
  return { tookMs, end: () => returned };
}
