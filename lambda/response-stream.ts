import { isUtf8 } from 'node:buffer';
import type { APIGatewayProxyEvent, APIGatewayProxyResult, Context } from 'aws-lambda';

/** An answer whose body comes bit by bit. The body is read to its end or cancelled: either settles the call. */
export interface StreamedResponse {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ReadableStream<Uint8Array>;
  /** Whether it is read to its end when nobody listens any more. @default false: it is cancelled */
  readonly readOn?: boolean;
}

/** What a function may know of the call to it. */
export interface Invocation {
  /** Milliseconds until Lambda ends it. */
  readonly remainingMs: () => number;
  /** Aborted when the client has left, as far as the runtime tells. */
  readonly left: AbortSignal;
}

type Respond = (event: APIGatewayProxyEvent, invocation: Invocation) => Promise<StreamedResponse>;

/** What Lambda's Node runtime offers to functions that stream: https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html */
interface LambdaStreaming {
  streamifyResponse(
    handler: (event: APIGatewayProxyEvent, stream: NodeJS.WritableStream, context: Context) => Promise<void>,
  ): unknown;
  HttpResponseStream: {
    from(stream: NodeJS.WritableStream, metadata: { statusCode: number; headers: Record<string, string> }): NodeJS.WritableStream;
  };
}

type Handler = (event: APIGatewayProxyEvent, context?: Context) => Promise<APIGatewayProxyResult>;

/**
 * The handler of a function that streams where the runtime can, and answers in one piece where it cannot. `ended` is called at the end of each
 * invocation, once the body was read or cancelled, or the invocation has failed; it must not throw.
 */
export function streamed(respond: Respond, ended: (startedAtMs: number) => void = () => {}): Handler {
  const endedAfter = async <T>(work: () => Promise<T>): Promise<T> => {
    const startedAtMs = Date.now();
    try {
      return await work();
    } finally {
      ended(startedAtMs);
    }
  };
  const runtime = (globalThis as { awslambda?: LambdaStreaming }).awslambda;
  if (runtime === undefined) return (event, context) => endedAfter(() => buffered(respond, event, context));
  return runtime.streamifyResponse((event, raw, context) =>
    endedAfter(async () => {
      const leaving = new AbortController();
      const leave = () => leaving.abort();
      raw.on('close', leave).on('error', leave);
      const { statusCode, headers, body, readOn = false } = await respond(event, invocationOf(context, leaving.signal));
      const stream = runtime.HttpResponseStream.from(raw, { statusCode, headers: { ...headers } });
      await pipe(body, stream, { readOn, left: leaving.signal });
    }),
  ) as Handler;
}

/** Writes at the reader's pace. When the reader goes away, cancels the body at once, or reads on to its end and discards. */
async function pipe(
  body: ReadableStream<Uint8Array>,
  stream: NodeJS.WritableStream,
  { readOn, left }: { readonly readOn: boolean; readonly left: AbortSignal },
): Promise<void> {
  const reader = body.getReader();
  let gone = false;
  let cancelled: Promise<void> | undefined;
  let wake: () => void = () => {};
  const leave = () => {
    gone = true;
    // A body that broke before is told by its reads.
    if (!readOn) cancelled ??= reader.cancel().catch(() => {});
    wake();
  };
  stream
    .on('error', leave)
    .on('close', leave)
    .on('drain', () => wake());
  // A stream that was closed before says so no more. Status and headers go out with the first write: an answer without a body has them too.
  if (left.aborted) leave();
  else stream.write(new Uint8Array(0));
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    if (gone || stream.write(read.value)) continue;
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (gone) resolve();
    });
  }
  await cancelled;
  if (gone) return;
  await new Promise<void>((resolve) => {
    wake = resolve;
    stream.end(resolve);
  });
}

const invocationOf = (context: Context | undefined, left: AbortSignal): Invocation => ({
  remainingMs: () => context?.getRemainingTimeInMillis() ?? Number.POSITIVE_INFINITY,
  left,
});

async function buffered(respond: Respond, event: APIGatewayProxyEvent, context?: Context): Promise<APIGatewayProxyResult> {
  const { statusCode, headers, body } = await respond(event, invocationOf(context, new AbortController().signal));
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const type = headers['content-type'] ?? headers['Content-Type'] ?? '';
  // What only says that it is text would not arrive as it is.
  const text = /json|text|event-stream|xml/i.test(type) && isUtf8(bytes);
  return { statusCode, headers: { ...headers }, body: bytes.toString(text ? 'utf8' : 'base64'), isBase64Encoded: !text };
}
