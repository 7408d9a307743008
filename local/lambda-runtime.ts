import { Writable } from 'node:stream';
import type { Context } from 'aws-lambda';

/** A handler as Lambda's runtime calls it: with a result, or, once marked by `streamifyResponse`, with a stream to write to. */
export type Handler = (event: never, ...rest: unknown[]) => Promise<unknown>;

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const PRELUDE_END = Buffer.alloc(8);
/** The content type of a stream that starts with the metadata of an HTTP answer. */
const HTTP_INTEGRATION = 'application/vnd.awslambda.http-integration-response';

/**
 * Installs what Lambda's Node runtime offers to streaming functions. Handlers look for it when they are loaded.
 * As there, the metadata goes out with the first `write`, be it an empty one: an answer that is only ended has none, and fails.
 * https://github.com/aws/aws-lambda-nodejs-runtime-interface-client, src/stream
 */
export function installLambdaRuntime(): void {
  (globalThis as { awslambda?: unknown }).awslambda = {
    streamifyResponse: (handler: Handler) => Object.assign(handler, { [STREAMING]: 'response' }),
    HttpResponseStream: {
      from(stream: ResponseStream, metadata: unknown): ResponseStream {
        stream.setContentType(HTTP_INTEGRATION);
        const write = stream.write.bind(stream) as (...chunk: unknown[]) => boolean;
        stream.write = (...chunk: unknown[]) => {
          stream.write = write;
          write(JSON.stringify(metadata));
          write(PRELUDE_END);
          return write(...chunk);
        };
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
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[]>>;
}

/**
 * The stream a function writes its answer to: metadata as JSON, eight zero bytes, the body as it comes. What cannot be delivered is accepted and
 * dropped, as API Gateway does: a function goes on when its client has left.
 */
export class ResponseStream extends Writable {
  #prelude: Buffer | undefined = Buffer.alloc(0);
  #contentType = 'application/octet-stream';

  constructor(
    readonly deliver: {
      readonly head: (metadata: Metadata) => void;
      /** Resolves when the client is ready for more, or gone. */
      readonly chunk: (bytes: Buffer) => Promise<void>;
    },
  ) {
    super({ highWaterMark: 16_384 });
  }

  setContentType(contentType: string): void {
    this.#contentType = contentType;
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#pass(bytes).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    done(this.#prelude && new Error('A function ended its answer without metadata: they go out with the first write'));
  }

  async #pass(bytes: Buffer): Promise<void> {
    if (this.#prelude === undefined) return this.deliver.chunk(bytes);
    if (this.#contentType !== HTTP_INTEGRATION)
      throw new Error(`A function wrote ${this.#contentType}, not the answer that HttpResponseStream.from begins`);
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
