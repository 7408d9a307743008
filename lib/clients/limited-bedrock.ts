import {
  BedrockUsageReader,
  bedrockModel,
  contentOfConverse,
  contentOfInvocation,
  usageOfConverse,
  usageOfInvocation,
} from '../llm/bedrock.js';
import type { CallContent } from '../llm/call-content.js';
import { NO_TOKENS } from '../llm/costs.js';
import { isJsonObject, type JsonObject } from '../llm/json-object.js';
import type { UsageReader } from '../llm/provider-api.js';
import { jsonOf, type Usage } from '../llm/usage.js';
import { checkFields } from '../names.js';
import { CALL_LIMITS_FIELDS, CallLimits, type CallLimitsOptions } from './call-limits.js';
import type { LimitedCall } from './limited-call.js';

/** What the middleware needs of a stack of the AWS SDK: a `MiddlewareStack` is one. */
interface MiddlewareStack {
  add(
    // biome-ignore lint/suspicious/noExplicitAny: the SDK's own types are of each client's commands.
    middleware: (next: (args: any) => Promise<any>, context: { readonly commandName?: string }) => (args: any) => Promise<any>,
    options: { readonly step: 'initialize'; readonly name: string; readonly override: boolean },
  ): void;
}

/** For `client.middlewareStack.use(…)` of the AWS SDK: a `Pluggable` of any client. */
export interface LimitedBedrock {
  applyToStack(stack: MiddlewareStack): void;
}

/**
 * A middleware of the AWS SDK's client for Bedrock: `client.middlewareStack.use(limitedBedrock({ limiter, entity }))`. Every `Converse`,
 * `ConverseStream`, `InvokeModel` and `InvokeModelWithResponseStream` is let through by the limits of the entity on the model, and settled by the usage in
 * its answer, or at the end of its stream. The model is the command's `modelId`, of an ARN the last part. A call that is not let through rejects
 * with `RateLimitExceeded`, and nothing was sent; the SDK's retries of a call that was are charged once. Throws `InvalidArgument` for wrong options.
 */
export function limitedBedrock(options: CallLimitsOptions): LimitedBedrock {
  checkFields(options, CALL_LIMITS_FIELDS, 'options');
  const limits = new CallLimits(options);
  return {
    applyToStack(stack) {
      stack.add(
        // Before the SDK's own retries, which begin later.
        (next, { commandName = '' }) => {
          const kind = KINDS[commandName];
          return kind === undefined ? next : (args) => made(limits, kind, args, next);
        },
        { step: 'initialize', name: 'headgateLimits', override: true },
      );
    },
  };
}

/** One of the commands that cost tokens. */
interface Kind {
  readonly contentOf: (input: JsonObject, model: string) => CallContent;
  /** The answer as the caller gets it, which ends the call now or with its stream. */
  readonly settled: (result: Result, limited: LimitedCall) => Promise<Result>;
}

interface Result {
  readonly output: Readonly<Record<string, unknown>>;
  readonly response: unknown;
}

const inOnePiece =
  (usageOf: (result: Result) => Usage | undefined): Kind['settled'] =>
  async (result, limited) => {
    await limited.end(usageOf(result));
    return result;
  };

const asStream =
  (member: 'stream' | 'body', read: (reader: UsageReader, event: JsonObject) => void): Kind['settled'] =>
  async (result, limited) => {
    const events = result.output[member] as AsyncIterable<JsonObject>;
    return { ...result, output: { ...result.output, [member]: settling(events, read, limited) } };
  };

const invocation = (input: JsonObject, model: string): CallContent => {
  const body = jsonOf(textOf(input.body));
  return contentOfInvocation(isJsonObject(body) ? body : {}, model);
};

const KINDS: Readonly<Record<string, Kind>> = {
  ConverseCommand: { contentOf: contentOfConverse, settled: inOnePiece(({ output }) => usageOfConverse(output.usage)) },
  ConverseStreamCommand: {
    contentOf: contentOfConverse,
    settled: asStream('stream', (reader, { metadata }) => {
      if (metadata !== undefined) reader.read(JSON.stringify(metadata));
    }),
  },
  InvokeModelCommand: {
    contentOf: invocation,
    settled: inOnePiece(({ output, response }) => usageOfInvocation(jsonOf(textOf(output.body)), headersOf(response))),
  },
  InvokeModelWithResponseStreamCommand: {
    contentOf: invocation,
    settled: asStream('body', (reader, { chunk }) => {
      if (isJsonObject(chunk)) reader.read(textOf(chunk.bytes));
    }),
  },
};

async function made(
  limits: CallLimits,
  { contentOf, settled }: Kind,
  args: { readonly input: JsonObject },
  next: (args: unknown) => Promise<Result>,
): Promise<Result> {
  const { modelId } = args.input;
  // The SDK says what is wrong with it, in its own words.
  if (typeof modelId !== 'string' || modelId === '') return next(args);
  const model = bedrockModel(modelId);
  const limited = await limits.acquire({ model, content: contentOf(args.input, model) });
  let result: Result;
  try {
    result = await next(args);
  } catch (error) {
    await limited.end(NO_TOKENS);
    throw error;
  }
  return settled(result, limited);
}

/** The events as they come. At their end, or when the reader leaves, be it before the first, the call is settled by the usage told until then. */
function settling(
  events: AsyncIterable<JsonObject>,
  read: (reader: UsageReader, event: JsonObject) => void,
  limited: LimitedCall,
): AsyncIterableIterator<JsonObject, void> {
  const reader = new BedrockUsageReader();
  const iterator: AsyncIterator<JsonObject, void> = events[Symbol.asyncIterator]();
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= limited.end(reader.usage);
    return ending;
  };
  return {
    async next() {
      try {
        const result = await iterator.next();
        if (result.done) await end();
        else read(reader, result.value);
        return result;
      } catch (error) {
        await end();
        throw error;
      }
    },
    async return() {
      await Promise.all([end(), iterator.return?.()]);
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function textOf(bytes: unknown): string {
  if (typeof bytes === 'string') return bytes;
  if (bytes instanceof Uint8Array) return new TextDecoder().decode(bytes);
  return bytes instanceof ArrayBuffer ? new TextDecoder().decode(new Uint8Array(bytes)) : '';
}

/** What Bedrock counted. No other header: those of HTTP/2 have names (`:status`) that `Headers` takes from nobody. */
function headersOf(response: unknown): Headers {
  const headers = isJsonObject(response) && isJsonObject(response.headers) ? response.headers : {};
  const counts = Object.entries(headers).filter(([name]) => name.toLowerCase().startsWith('x-amzn-bedrock-'));
  return new Headers(counts.map(([name, value]): [string, string] => [name, String(value)]));
}
