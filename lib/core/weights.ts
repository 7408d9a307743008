import { InvalidArgument } from '../errors.js';
import { millionths } from './millionths.js';

/**
 * What a token of each part counts on a limit, where not all count 1: 0 to 1,000, with at most six decimal places. `cachedInput` is the part of the
 * input that the provider had in its prompt cache.
 */
export interface TokenWeights {
  /** @default 1 */
  readonly input?: number;
  /** @default the weight of input */
  readonly cachedInput?: number;
  /** @default 1 */
  readonly output?: number;
}

/** The parts of a call that a limit counts, by what it counts. Other limits count no tokens of a call. */
const PARTS: Readonly<Record<string, readonly (keyof TokenWeights)[]>> = {
  tokens: ['input', 'cachedInput', 'output'],
  inputTokens: ['input', 'cachedInput'],
  outputTokens: ['output'],
};

const MOST = 1_000;

/** Checked weights of a limit, one for each part that it counts, frozen. Throws `InvalidArgument` naming the field, the value and the legal range. */
export function parseWeights(value: unknown, counts: string, field: string): TokenWeights {
  const parts = Object.hasOwn(PARTS, counts) ? PARTS[counts] : undefined;
  if (parts === undefined) {
    const known = Object.keys(PARTS).join(', ');
    throw new InvalidArgument({ field, value, expected: `left out: of limits that count one of ${known}, and not ${counts}` });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidArgument({ field, value, expected: `an object of weights for ${parts.join(', ')}` });
  const given = value as Readonly<Record<string, unknown>>;
  for (const part of Object.keys(given)) {
    if (parts.some((known) => known === part)) continue;
    const expected = `left out: a limit that counts ${counts} has weights for ${parts.join(', ')}`;
    throw new InvalidArgument({ field: `${field}.${part}`, value: given[part], expected });
  }
  const all = everyWeight(given);
  for (const part of parts) weightMillionths(all[part], `${field}.${part}`);
  return Object.freeze(Object.fromEntries(parts.map((part) => [part, all[part]])));
}

/** The weight of every part in millionths, those left out by default: exact. */
export function weightsInMillionths(weights: TokenWeights): Readonly<Record<keyof TokenWeights, bigint>> {
  const { input, cachedInput, output } = everyWeight({ ...weights });
  return {
    input: weightMillionths(input, 'weights.input'),
    cachedInput: weightMillionths(cachedInput, 'weights.cachedInput'),
    output: weightMillionths(output, 'weights.output'),
  };
}

function everyWeight({ input = 1, cachedInput = input, output = 1 }: Readonly<Record<string, unknown>>) {
  return { input, cachedInput, output };
}

function weightMillionths(value: unknown, field: string): bigint {
  const count = millionths(value, MOST);
  if (count !== undefined) return count;
  throw new InvalidArgument({ field, value, expected: `a number from 0 to ${MOST} with at most six decimal places` });
}
