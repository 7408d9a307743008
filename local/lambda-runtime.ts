import { Writable } from 'node:stream';
import type { Context } from 'aws-lambda';

/** A handler as Lambda's runtime calls it: with a result, or, once marked by `streamifyResponse`, with a stream to write to. */
export type Handler = (event: never, ...rest: unknown[]) => Promise<unknown>;

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const PRELUDE_END = Buffer.alloc(8);

/** Installs what Lambda's Node runtime offers to streaming functions. Handlers look for it when they are loaded. */
export function installLambdaRuntime(): void {
  (globalThis as { awslambda?: unknown }).awslambda = {
    streamifyResponse: (handler: Handler) => Object.assign(handler, { [STREAMING]: 'response' }),
    HttpResponseStream: {
      from(stream: Writable, metadata: unknown): Writable {
        stream.write(JSON.stringify(metadata));
        stream.write(PRELUDE_END);
        return stream;
      },
    },
  };
}

export const streams = (handler: Handler): boolean => (handler as { [STREAMING]?: string })[STREAMING] === 'response';

/** What a streamed answer starts with. */
export interface Metadata {
  readonly statusCode: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * The stream a function writes its answer to: metadata as JSON, eight zero bytes, the body as it comes. What cannot be delivered is accepted and
 * dropped, as API Gateway does: a function goes on when its client has left.
 */
export class ResponseStream extends Writable {
  #prelude: Buffer | undefined = Buffer.alloc(0);

  constructor(
    readonly deliver: {
      readonly head: (metadata: Metadata) => void;
      /** Resolves when the client is ready for more, or gone. */
      readonly chunk: (bytes: Buffer) => Promise<void>;
    },
  ) {
    super({ highWaterMark: 16_384 });
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#pass(bytes).then(() => done(), done);
  }

  async #pass(bytes: Buffer): Promise<void> {
    if (this.#prelude === undefined) return this.deliver.chunk(bytes);
    const prelude = Buffer.concat([this.#prelude, bytes]);
    const end = prelude.indexOf(PRELUDE_END);
    this.#prelude = prelude;
    if (end < 0) return;
    this.#prelude = undefined;
    this.deliver.head(JSON.parse(prelude.subarray(0, end).toString()) as Metadata);
    const rest = prelude.subarray(end + PRELUDE_END.length);
    if (rest.length > 0) await this.deliver.chunk(rest);
  }
}

export function lambdaContext(functionName: string, requestId: string, timeoutMs: number): Context {
  const endsAtMs = Date.now() + timeoutMs;
  return {
    callbackWaitsForEmptyEventLoop: false,
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:us-east-1:000000000000:function:${functionName}`,
    memoryLimitInMB: '512',
    awsRequestId: requestId,
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    getRemainingTimeInMillis: () => Math.max(0, endsAtMs - Date.now()),
    done() {},
    fail() {},
    succeed() {},
  };
}
