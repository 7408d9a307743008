import type { Counts } from '../core/counts.js';

/** What a provider says is left of one of its limits. */
export interface ToldRemaining {
  readonly counts: Counts;
  /** Whole, from 0. */
  readonly remaining: number;
  /** What its limit holds; undefined: it does not say. */
  readonly capacity: number | undefined;
}

/** The names of what is left, and beside each of what there is. Anthropic rounds its tokens to the nearest thousand. */
const HEADERS: readonly { counts: Counts; remaining: string; capacity: string; rounding?: number }[] = [
  { counts: 'requests', remaining: 'x-ratelimit-remaining-requests', capacity: 'x-ratelimit-limit-requests' },
  { counts: 'tokens', remaining: 'x-ratelimit-remaining-tokens', capacity: 'x-ratelimit-limit-tokens' },
  { counts: 'requests', remaining: 'anthropic-ratelimit-requests-remaining', capacity: 'anthropic-ratelimit-requests-limit' },
  ...(['tokens', 'input-tokens', 'output-tokens'] as const).map((part) => ({
    counts: ({ tokens: 'tokens', 'input-tokens': 'inputTokens', 'output-tokens': 'outputTokens' } as const)[part],
    remaining: `anthropic-ratelimit-${part}-remaining`,
    capacity: `anthropic-ratelimit-${part}-limit`,
    rounding: 500,
  })),
];

/**
 * What the headers of an answer say is left, by OpenAI's names, which Azure, Groq and others use too, and by Anthropic's. A rounded number is taken for
 * the most that it may stand for, but 0 for nothing. What is no whole number from 0 says nothing: Azure's -1 means that it does not know.
 */
export function toldRemaining(headers: Headers): readonly ToldRemaining[] {
  return HEADERS.flatMap(({ counts, remaining, capacity, rounding = 0 }) => {
    const left = wholeNumber(headers.get(remaining));
    if (left === undefined) return [];
    const most = left > 0 && left % 1_000 === 0 ? left + rounding : left;
    return [{ counts, remaining: most, capacity: wholeNumber(headers.get(capacity)) }];
  });
}

function wholeNumber(text: string | null): number | undefined {
  const number = /^\d+$/.test(text ?? '') ? Number(text) : undefined;
  return Number.isSafeInteger(number) ? number : undefined;
}
