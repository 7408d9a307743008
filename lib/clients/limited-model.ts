import { usageOfAnthropic } from '../llm/anthropic.js';
import { usageOfConverse } from '../llm/bedrock.js';
import { contentIn } from '../llm/call-content.js';
import { NO_TOKENS } from '../llm/costs.js';
import { isJsonObject } from '../llm/json-object.js';
import { cacheWrites, tokenCount, type Usage } from '../llm/usage.js';
import { checkFields } from '../names.js';
import { CALL_LIMITS_FIELDS, CallLimits, type CallLimitsOptions } from './call-limits.js';
import type { LimitedCall } from './limited-call.js';

/** What the middleware needs of a call of the AI SDK: a `LanguageModelV3CallOptions` is one. */
interface ModelCall {
  readonly prompt: unknown;
  readonly maxOutputTokens?: number | undefined;
  readonly tools?: unknown;
  readonly abortSignal?: AbortSignal | undefined;
}

/** A `LanguageModelV3Usage` is one. */
interface ModelUsage {
  readonly inputTokens: { readonly total: number | undefined; readonly cacheRead: number | undefined };
  readonly outputTokens: { readonly total: number | undefined };
}

interface Wrapped<Do> {
  readonly params: ModelCall;
  readonly model: { readonly modelId: string };
  readonly doGenerate: Do;
  readonly doStream: Do;
}

/** A middleware for `wrapLanguageModel` of the AI SDK 6. */
export interface LimitedModel {
  readonly specificationVersion: 'v3';
  wrapGenerate<Result extends { readonly usage: ModelUsage }>(
    call: Pick<Wrapped<() => PromiseLike<Result>>, 'params' | 'model' | 'doGenerate'>,
  ): Promise<Result>;
  wrapStream<Part, Result extends { readonly stream: ReadableStream<Part> }>(
    call: Pick<Wrapped<() => PromiseLike<Result>>, 'params' | 'model' | 'doStream'>,
  ): Promise<Result>;
}

/**
 * A language-model middleware of the AI SDK: `wrapLanguageModel({ model, middleware: limitedModel({ limiter, entity }) })`. Every call is let through by
 * the limits of the entity on the model, and settled by the usage that the model tells, before its answer or its stream ends. A call that is not let
 * through rejects with `RateLimitExceeded`, and nothing was sent. Throws `InvalidArgument` for wrong options.
 */
export function limitedModel(options: CallLimitsOptions): LimitedModel {
  checkFields(options, CALL_LIMITS_FIELDS, 'options');
  const limits = new CallLimits(options);
  return {
    specificationVersion: 'v3',
    async wrapGenerate({ params, model, doGenerate }) {
      const limited = await acquired(limits, model.modelId, params);
      const result = await sent(limited, doGenerate);
      await limited.end(usageOf(result.usage));
      return result;
    },
    async wrapStream({ params, model, doStream }) {
      const limited = await acquired(limits, model.modelId, params);
      const result = await sent(limited, doStream);
      return { ...result, stream: settling(result.stream, limited) };
    },
  };
}

/** Files of a prompt, and what tools give back that is no text. */
const ATTACHMENT_TYPES: ReadonlySet<unknown> = new Set([
  'file',
  'file-data',
  'file-url',
  'file-id',
  'image-data',
  'image-url',
  'image-file-id',
]);

/** The prompt's system messages, texts and tool results; files count as attachments. */
function acquired(
  limits: CallLimits,
  model: string,
  { prompt, tools, maxOutputTokens, abortSignal }: ModelCall,
): Promise<LimitedCall> {
  return limits.acquire({
    model,
    content: {
      ...contentIn([prompt], tools, ({ type }) => ATTACHMENT_TYPES.has(type)),
      statedOutputTokens: tokenCount(maxOutputTokens),
      answers: 1,
      hasOutput: true,
    },
    signal: abortSignal,
  });
}

/** What the model answers. A call that failed costs no tokens. */
async function sent<Result>(limited: LimitedCall, call: () => PromiseLike<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    await limited.end(NO_TOKENS);
    throw error;
  }
}

/** The model's parts as they come. At the end, or when the reader leaves, the call is settled by the usage told until then. */
function settling<Part>(stream: ReadableStream<Part>, limited: LimitedCall): ReadableStream<Part> {
  const reader = stream.getReader();
  let usage: Usage | undefined;
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= limited.end(usage);
    return ending;
  };
  return new ReadableStream<Part>(
    {
      async pull(controller) {
        try {
          const read = await reader.read();
          if (!read.done) {
            const { type, usage: told } = read.value as { readonly type?: unknown; readonly usage?: unknown };
            if (type === 'finish' && told !== undefined) usage = usageOf(told);
            return controller.enqueue(read.value);
          }
        } catch (error) {
          await end();
          throw error;
        }
        await end();
        controller.close();
      },
      async cancel(reason) {
        await Promise.all([end(), reader.cancel(reason)]);
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * Undefined where the model told not all of it: the estimate stays charged. Models of the AI SDK 5 tell plain numbers. What stays in the cache for an
 * hour only the provider's own usage tells.
 */
function usageOf(told: unknown): Usage | undefined {
  if (!isJsonObject(told)) return undefined;
  const { inputTokens, outputTokens, cachedInputTokens, raw } = told;
  const input = tokenCount(isJsonObject(inputTokens) ? inputTokens.total : inputTokens);
  const output = tokenCount(isJsonObject(outputTokens) ? outputTokens.total : outputTokens);
  const cached = tokenCount((isJsonObject(inputTokens) ? inputTokens.cacheRead : cachedInputTokens) ?? 0) ?? 0;
  if (input === undefined || output === undefined || cached > input) return undefined;
  const written = isJsonObject(inputTokens) ? inputTokens.cacheWrite : undefined;
  const { cacheWrite1hTokens } = usageOfAnthropic(raw) ?? usageOfConverse(raw) ?? {};
  const writes = cacheWrites(input - cached, written, cacheWrite1hTokens);
  return { inputTokens: input, cachedInputTokens: cached, ...writes, outputTokens: output, totalTokens: input + output };
}
