import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import Anthropic, { RateLimitError as AnthropicRateLimitError } from '@anthropic-ai/sdk';
import { ApiError, GoogleGenAI } from '@google/genai';
import { APICallError, generateText, streamText } from 'ai';
import { OpenAI, RateLimitError as OpenAiRateLimitError } from 'openai';

/** Where a client sends its calls, and by which `fetch`. */
export interface Route {
  /** The provider's root, without a version. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly fetch: typeof fetch;
}

/** Tokens as a client was told them. */
export interface Told {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** One call of one client, in one piece or as a stream. */
export interface OfficialCall {
  readonly name: string;
  readonly model: string;
  /** Makes the call, reads its answer to the end, and returns the usage that the client tells. The client's own retries are off. */
  readonly call: (route: Route, prompt: string, signal?: AbortSignal) => Promise<Told>;
  /** What the client's own error for a limit says to wait, in seconds; undefined for any other error. */
  readonly deniedForSeconds: (error: unknown) => number | undefined;
}

const GPT = 'gpt-4o-mini';
const CLAUDE = 'claude-sonnet-4-5';
const GEMINI = 'gemini-2.5-flash';

const openai = ({ baseUrl, apiKey, fetch }: Route) => new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey, fetch, maxRetries: 0 });
const deniedOfOpenAi = (error: unknown) =>
  error instanceof OpenAiRateLimitError ? Number(error.headers.get('retry-after')) : undefined;

const anthropic = ({ baseUrl, apiKey, fetch }: Route) => new Anthropic({ baseURL: baseUrl, apiKey, fetch, maxRetries: 0 });
const deniedOfAnthropic = (error: unknown) =>
  error instanceof AnthropicRateLimitError ? Number(error.headers?.get('retry-after')) : undefined;

const messages = (content: string) => [{ role: 'user' as const, content }];

/** The Google client takes no `fetch` of its own: it uses the global one, which is put in its place while it calls. */
async function withGlobalFetch<T>(replacement: typeof fetch, work: () => Promise<T>): Promise<T> {
  const original = globalThis.fetch;
  globalThis.fetch = replacement;
  try {
    return await work();
  } finally {
    globalThis.fetch = original;
  }
}

const google = ({ baseUrl, apiKey }: Route) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl } });
const deniedOfGoogle = (error: unknown) => {
  if (!(error instanceof ApiError) || error.status !== 429) return undefined;
  return Math.ceil(Number(/"retryDelay":\s*"([\d.]+)s"/.exec(error.message)?.[1]));
};

const told = (inputTokens: number | undefined, outputTokens: number | undefined): Told => ({
  inputTokens: inputTokens ?? Number.NaN,
  outputTokens: outputTokens ?? Number.NaN,
});

const deniedOfAiSdk = (error: unknown) =>
  APICallError.isInstance(error) && error.statusCode === 429 ? Number(error.responseHeaders?.['retry-after']) : undefined;

function aiSdkCalls(
  name: string,
  model: string,
  modelOf: (route: Route) => Parameters<typeof generateText>[0]['model'],
): OfficialCall[] {
  return [
    {
      name: `ai with ${name}, in one piece`,
      model,
      deniedForSeconds: deniedOfAiSdk,
      async call(route, prompt, signal) {
        const { usage } = await generateText({
          model: modelOf(route),
          prompt,
          maxRetries: 0,
          ...(signal && { abortSignal: signal }),
        });
        return told(usage.inputTokens, usage.outputTokens);
      },
    },
    {
      name: `ai with ${name}, as a stream`,
      model,
      deniedForSeconds: deniedOfAiSdk,
      async call(route, prompt, signal) {
        let failure: unknown;
        const result = streamText({
          model: modelOf(route),
          prompt,
          maxRetries: 0,
          onError: ({ error }) => {
            failure = error;
          },
          ...(signal && { abortSignal: signal }),
        });
        await result.consumeStream();
        if (failure !== undefined) throw failure;
        const usage = await result.totalUsage;
        return told(usage.inputTokens, usage.outputTokens);
      },
    },
  ];
}

export const OFFICIAL_CALLS: readonly OfficialCall[] = [
  {
    name: 'openai chat, in one piece',
    model: GPT,
    deniedForSeconds: deniedOfOpenAi,
    async call(route, prompt, signal) {
      const { usage } = await openai(route).chat.completions.create({ model: GPT, messages: messages(prompt) }, { signal });
      return told(usage?.prompt_tokens, usage?.completion_tokens);
    },
  },
  {
    name: 'openai chat, as a stream',
    model: GPT,
    deniedForSeconds: deniedOfOpenAi,
    async call(route, prompt, signal) {
      const chunks = await openai(route).chat.completions.create(
        { model: GPT, messages: messages(prompt), stream: true, stream_options: { include_usage: true } },
        { signal },
      );
      let usage: OpenAI.CompletionUsage | undefined;
      for await (const chunk of chunks) usage = chunk.usage ?? usage;
      return told(usage?.prompt_tokens, usage?.completion_tokens);
    },
  },
  {
    name: 'openai responses, in one piece',
    model: GPT,
    deniedForSeconds: deniedOfOpenAi,
    async call(route, prompt, signal) {
      const { usage } = await openai(route).responses.create({ model: GPT, input: prompt }, { signal });
      return told(usage?.input_tokens, usage?.output_tokens);
    },
  },
  {
    name: 'openai responses, as a stream',
    model: GPT,
    deniedForSeconds: deniedOfOpenAi,
    async call(route, prompt, signal) {
      const events = await openai(route).responses.create({ model: GPT, input: prompt, stream: true }, { signal });
      let usage: OpenAI.Responses.ResponseUsage | undefined;
      for await (const event of events) if (event.type === 'response.completed') usage = event.response.usage;
      return told(usage?.input_tokens, usage?.output_tokens);
    },
  },
  {
    name: 'openai embeddings',
    model: 'text-embedding-3-small',
    deniedForSeconds: deniedOfOpenAi,
    async call(route, prompt, signal) {
      const { usage } = await openai(route).embeddings.create({ model: 'text-embedding-3-small', input: prompt }, { signal });
      return told(usage.prompt_tokens, 0);
    },
  },
  {
    name: 'anthropic messages, in one piece',
    model: CLAUDE,
    deniedForSeconds: deniedOfAnthropic,
    async call(route, prompt, signal) {
      const { usage } = await anthropic(route).messages.create(
        { model: CLAUDE, max_tokens: 500, messages: messages(prompt) },
        { signal },
      );
      return told(usage.input_tokens, usage.output_tokens);
    },
  },
  {
    name: 'anthropic messages, as a stream',
    model: CLAUDE,
    deniedForSeconds: deniedOfAnthropic,
    async call(route, prompt, signal) {
      const stream = anthropic(route).messages.stream({ model: CLAUDE, max_tokens: 500, messages: messages(prompt) }, { signal });
      const { usage } = await stream.finalMessage();
      return told(usage.input_tokens, usage.output_tokens);
    },
  },
  {
    name: 'gemini, in one piece',
    model: GEMINI,
    deniedForSeconds: deniedOfGoogle,
    call: (route, prompt, signal) =>
      withGlobalFetch(route.fetch, async () => {
        const { usageMetadata } = await google(route).models.generateContent({
          model: GEMINI,
          contents: prompt,
          config: { ...(signal && { abortSignal: signal }) },
        });
        return told(usageMetadata?.promptTokenCount, usageMetadata?.candidatesTokenCount);
      }),
  },
  {
    name: 'gemini, as a stream',
    model: GEMINI,
    deniedForSeconds: deniedOfGoogle,
    call: (route, prompt, signal) =>
      withGlobalFetch(route.fetch, async () => {
        const chunks = await google(route).models.generateContentStream({
          model: GEMINI,
          contents: prompt,
          config: { ...(signal && { abortSignal: signal }) },
        });
        let usage: { promptTokenCount?: number; candidatesTokenCount?: number } | undefined;
        for await (const chunk of chunks) usage = chunk.usageMetadata ?? usage;
        return told(usage?.promptTokenCount, usage?.candidatesTokenCount);
      }),
  },
  ...aiSdkCalls('@ai-sdk/openai', GPT, ({ baseUrl, apiKey, fetch }) =>
    createOpenAI({ baseURL: `${baseUrl}/v1`, apiKey, fetch })(GPT),
  ),
  ...aiSdkCalls('@ai-sdk/anthropic', CLAUDE, ({ baseUrl, apiKey, fetch }) =>
    createAnthropic({ baseURL: `${baseUrl}/v1`, apiKey, fetch })(CLAUDE),
  ),
];
