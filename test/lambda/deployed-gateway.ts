import { randomUUID } from 'node:crypto';
import { finished } from 'node:stream/promises';
import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import type { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { installLambdaRuntime, lambdaContext, type Metadata, ResponseStream, streams } from '../../local/lambda-runtime.js';
import { testClient } from '../support/dynamodb.js';
import { coldStart, deployed, NAMESPACE, slow, tokens } from './cold-start.js';
import { proxyEvent, type Request } from './events.js';
import { HandMadeUpstream } from './hand-made-upstream.js';

/** How Lambda runs the function: with a stream to write to, or for an answer in one piece. */
export const forms = ['streaming', 'buffered'] as const;
export type Form = (typeof forms)[number];
type Handler = (event: APIGatewayProxyEvent, ...rest: unknown[]) => Promise<unknown>;

interface Others {
  readonly upstreams?: Readonly<Record<string, object>>;
  readonly environment?: Readonly<Record<string, string>>;
}

/** What a client receives. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
}

export const textOf = ({ bytes }: Answer): string => bytes.toString();
export const jsonOf = (answer: Answer) => JSON.parse(textOf(answer));

/** The gateway function in front of a provider of the test. */
export class DeployedGateway {
  private constructor(
    readonly admin: HeadgateAdmin,
    readonly upstream: HandMadeUpstream,
    readonly handler: Handler,
    readonly form: Form,
  ) {}

  /** In front of a hand-made provider by the name of `openai`. `others`: more of them, and what else the environment has. */
  static async start(form: Form, others: (url: string) => Others = () => ({})): Promise<DeployedGateway> {
    const upstream = await HandMadeUpstream.start();
    const { upstreams, environment } = others(upstream.url);
    const openai = { baseUrl: upstream.url };
    const admin = await deployed({ ...environment, HEADGATE_UPSTREAMS: JSON.stringify({ openai, ...upstreams }) });
    vi.unstubAllGlobals();
    if (form === 'streaming') installLambdaRuntime();
    else vi.stubGlobal('awslambda', undefined);
    const { handler } = await coldStart(() => import('../../lambda/gateway.js'));
    const gateway = new DeployedGateway(admin, upstream, handler as Handler, form);
    if (streams(gateway.handler as never) !== (form === 'streaming')) throw new Error(`the handler is not ${form}`);
    return gateway;
  }

  async stop(): Promise<void> {
    vi.unstubAllGlobals();
    await this.upstream.stop();
  }

  /** The whole answer to an event, of a function that has so long to run; rejects when it fails. */
  async invoke(event: APIGatewayProxyEvent, remainingMs = 60_000): Promise<Answer> {
    const context = lambdaContext('gateway', 'test', remainingMs);
    if (this.form === 'buffered') {
      const { statusCode, headers, body, isBase64Encoded } = (await this.handler(event, context)) as APIGatewayProxyResult;
      const bytes = Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8');
      return { status: statusCode, headers: new Headers(headers as Record<string, string>), bytes };
    }
    const chunks: Buffer[] = [];
    let metadata: Metadata | undefined;
    const stream = new ResponseStream({
      head: (head) => {
        metadata = head;
      },
      chunk: async (bytes) => {
        chunks.push(bytes);
      },
    });
    const ended = finished(stream);
    // A function that fails ends its answer with its error, as Lambda's runtime does.
    const call = this.handler(event, stream, context);
    call.catch((error: Error) => stream.destroy(error));
    await Promise.all([call, ended]);
    if (metadata === undefined) throw new Error('an answer has metadata');
    return { status: metadata.statusCode, headers: new Headers(metadata.headers), bytes: Buffer.concat(chunks) };
  }

  /** A call that is under way, and of which nothing was received: `leave` is what becomes of its stream when the client has gone. */
  underWay(event: APIGatewayProxyEvent): { readonly leave: () => void; readonly returned: Promise<unknown> } {
    const stream = new ResponseStream({ head: () => {}, chunk: async () => {} });
    stream.on('error', () => {});
    const returned = this.handler(event, stream, lambdaContext('gateway', 'test', 60_000));
    return { leave: () => void stream.destroy(), returned };
  }

  /** The streamed answer to an event, of which one chunk was received: `leave` is what becomes of its stream when the client has gone. */
  async firstChunk(event: APIGatewayProxyEvent): Promise<{ readonly leave: () => void; readonly returned: Promise<unknown> }> {
    let received: () => void = () => {};
    const first = new Promise<void>((resolve) => {
      received = resolve;
    });
    const stream = new ResponseStream({ head: () => {}, chunk: async () => received() });
    const returned = this.handler(event, stream, lambdaContext('gateway', 'test', 60_000));
    await Promise.race([first, returned]);
    return { leave: () => void stream.destroy(), returned };
  }

  /** An entity with its limits on the model `gpt-4` and on the provider `openai`. */
  async limited({ model = [slow('rpm', 5), slow('tpm', 1_000)], provider = [slow('rpm', 9)] as readonly Limit[] } = {}) {
    const entity = randomUUID();
    await this.admin.setLimits({ entity, resource: 'gpt-4' }, model);
    await this.admin.setLimits({ entity, resource: 'openai' }, provider);
    return entity;
  }

  /** The context of an entity's call where the authorizer acquired the provider's limits itself. */
  async admitted(entity: string, consume: Readonly<Record<string, number>> = { rpm: 1 }): Promise<Record<string, string>> {
    const lease = await this.#limiter().acquire({ entity, resource: 'openai', consume });
    return { entity, principalId: entity, lease: tokens.sign(lease, Date.now()) };
  }

  /** The answer to a call of an entity that the authorizer let in, as in the stack: what it draws on was left to the gateway. */
  async call({ entity, ...request }: Request & { readonly entity: string }): Promise<Answer> {
    return this.invoke(chatEvent({ authorizer: { entity, principalId: entity, resource: 'openai' }, ...request }));
  }

  /** The same where the authorizer acquired the provider's limits itself. */
  async callWithLease({ entity, ...request }: Request & { readonly entity: string }): Promise<Answer> {
    return this.invoke(chatEvent({ authorizer: await this.admitted(entity), ...request }));
  }

  /** What an entity has left of the model's and the provider's limits. */
  async left(entity: string, resource = 'gpt-4') {
    const limiter = this.#limiter();
    const [model, provider] = await Promise.all([resource, 'openai'].map((of) => limiter.available({ entity, resource: of })));
    return { model, provider };
  }

  #limiter(): RateLimiter {
    const tableName = process.env.HEADGATE_TABLE ?? '';
    return new RateLimiter({ tableName, client: testClient(), namespace: NAMESPACE, deadlineMs: 20_000 });
  }
}

/** 2 tokens of prompt and at most 98 of answer are 100 by estimate. */
export const CHAT = { model: 'gpt-4', messages: [{ role: 'user', content: 'Hello?!!' }], max_tokens: 98 };

/** A call of chat completions through the gateway's route. */
export function chatEvent(request: Request): APIGatewayProxyEvent {
  return proxyEvent({
    method: 'POST',
    resource: '/llm/{provider}/{path+}',
    path: '/llm/openai/v1/chat/completions',
    pathParameters: { provider: 'openai', path: 'v1/chat/completions' },
    body: JSON.stringify(CHAT),
    ...request,
  });
}
