import { InvalidArgument } from '../lib/errors.js';
import { CHARACTERS_PER_TOKEN, type TokenEstimate } from '../lib/llm/estimate.js';
import { checkName } from '../lib/names.js';
import { type HeaderedEvent, headerValues } from './http-event.js';

/** Sent by clients that know how many tokens their call will take. */
const ESTIMATE_HEADER = 'x-headgate-estimated-tokens';
/** Answer tokens of a call of which nothing else is known. */
const DEFAULT_OUTPUT_TOKENS = 200;

/** What calls of a resource usually take: all tokens together, or those in and out, each by its length or the default where it is left out. */
type Usual = number | { readonly inputTokens?: number; readonly outputTokens?: number };

export type CallEstimates = ReadonlyMap<string, Usual>;

/** What is estimated before the body is seen. */
export interface CallEstimate extends TokenEstimate {
  /** The tokens that the client itself stated; undefined: it stated none. */
  readonly statedTokens: number | undefined;
}

/** HEADGATE_ESTIMATES, `{ "openai": 1500, "anthropic": { "outputTokens": 800 } }`. Throws `InvalidArgument`. */
export function estimatesOf(text: string | undefined): CallEstimates {
  if (!text) return new Map();
  const refused = (cause?: unknown) =>
    new InvalidArgument({
      field: 'HEADGATE_ESTIMATES',
      value: text,
      expected: 'JSON such as {"openai": 1500, "anthropic": {"inputTokens": 1000, "outputTokens": 800}}, whole numbers from 0',
      cause,
    });
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw refused(error);
  }
  if (!isObject(parsed)) throw refused();
  return new Map(
    Object.entries(parsed).map(([resource, usual]) => {
      checkName(resource, 'HEADGATE_ESTIMATES');
      if (!isUsual(usual)) throw refused();
      return [resource, usual];
    }),
  );
}

/**
 * The tokens of a call of which only the headers are seen: those the client states, if it is believed; else what is usual for the resource; else one for four bytes of
 * the body, and 200 for the answer. A header that says no whole number says nothing; of several, the largest counts.
 */
export function callEstimate(
  event: HeaderedEvent,
  resource: string,
  { estimates, believesClients }: { readonly estimates: CallEstimates; readonly believesClients: boolean },
): CallEstimate {
  const bytes = countIn(headerValues(event, 'content-length')) ?? 0;
  const byLength = Math.ceil(bytes / CHARACTERS_PER_TOKEN);
  const statedTokens = believesClients ? countIn(headerValues(event, ESTIMATE_HEADER)) : undefined;
  const usual = statedTokens ?? estimates.get(resource) ?? {};
  if (typeof usual !== 'number') {
    const { inputTokens = byLength, outputTokens = DEFAULT_OUTPUT_TOKENS } = usual;
    return {
      inputTokens,
      outputTokens,
      totalTokens: Math.min(inputTokens + outputTokens, Number.MAX_SAFE_INTEGER),
      statedTokens,
    };
  }
  const inputTokens = Math.min(byLength, usual);
  return { inputTokens, outputTokens: usual - inputTokens, totalTokens: usual, statedTokens };
}

/** The largest whole number among the values of a header; undefined where there is none. */
function countIn(values: readonly string[]): number | undefined {
  const counts = values.map((text) => (/^\d+$/.test(text) ? Number(text) : Number.NaN)).filter(Number.isSafeInteger);
  return counts.length === 0 ? undefined : Math.max(...counts);
}

function isUsual(value: unknown): value is Usual {
  if (!isObject(value)) return isCount(value);
  return Object.entries(value).every(([name, count]) => ['inputTokens', 'outputTokens'].includes(name) && isCount(count));
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
