import type { Usage } from '../../lib/llm/usage.js';

/**
 * Input, cached input, output and total, and what was written to the cache, and of that for an hour, as typed by hand; undefined: no usage is told.
 */
export type Counts =
  | readonly [
      inputTokens: number,
      cachedInputTokens: number,
      outputTokens: number,
      totalTokens: number,
      cacheWriteTokens?: number,
      cacheWrite1hTokens?: number,
    ]
  | undefined;

/** The usage that these counts are. */
export function usageOf(counts: Counts): Usage | undefined {
  if (counts === undefined) return undefined;
  const [inputTokens, cachedInputTokens, outputTokens, totalTokens, cacheWriteTokens, cacheWrite1hTokens] = counts;
  return {
    inputTokens,
    cachedInputTokens,
    ...(cacheWriteTokens !== undefined && { cacheWriteTokens }),
    ...(cacheWrite1hTokens !== undefined && { cacheWrite1hTokens }),
    outputTokens,
    totalTokens,
  };
}

/** An answer in one piece, and the usage in it. */
export interface RecordedAnswer {
  readonly name: string;
  readonly text: string;
  readonly counts: Counts;
}

/** One event as it is on the wire, and the usage of a stream that breaks off right after it. */
export interface RecordedEvent {
  readonly text: string;
  readonly counts: Counts;
}

export interface RecordedStream {
  readonly name: string;
  readonly events: readonly RecordedEvent[];
}

/** As OpenAI and Google write them, in lines. */
export const inLines = (name: string, answer: object, counts: Counts): RecordedAnswer => ({
  name,
  text: `${JSON.stringify(answer, undefined, 2)}\n`,
  counts,
});

/** As Anthropic writes them. */
export const inOneLine = (name: string, answer: object, counts: Counts): RecordedAnswer => ({
  name,
  text: JSON.stringify(answer),
  counts,
});

type Row = readonly [data: object | string, counts: Counts];

const textOf = (data: object | string): string => (typeof data === 'string' ? data : JSON.stringify(data));

/** Events that are data alone: OpenAI's chat completions, and Gemini's, which ends its lines in CRLF. */
export const asData = (name: string, rows: readonly Row[], end: '\n' | '\r\n' = '\n'): RecordedStream => ({
  name,
  events: rows.map(([data, counts]) => ({ text: `data: ${textOf(data)}${end}${end}`, counts })),
});

interface Typed {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Events with their type before them: the Responses API's, and Anthropic's. */
export const asTyped = (name: string, rows: readonly (readonly [data: Typed, counts: Counts])[]): RecordedStream => ({
  name,
  events: rows.map(([data, counts]) => ({ text: `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`, counts })),
});
