import { BoundedMap } from '../bounded-map.js';
import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';
import type { CallContent } from './call-content.js';
import type { CallTokens } from './call-tokens.js';
import { type Estimator, estimateOf, type TokenEstimate } from './estimate.js';

export interface LearnedOptions {
  /**
   * The share of calls that must not use more than their estimate, above 0 and below 1: the higher, the fewer calls draw on debt.
   * @default 0.9
   */
  readonly quantile?: number | undefined;
}

/** How far true use lies from the first guess, as a running quantile of the logarithm of their ratio. */
interface Learned {
  input: number;
  output: number;
  calls: number;
}

const RESOURCES_REMEMBERED = 1_000;
/** Beyond these a guess says nothing of the call. */
const [LEAST, MOST] = [Math.log(1 / 1_000), Math.log(100)];

/**
 * Corrects another estimator by what calls of the resource really used: a running quantile of true by estimated tokens, of input and output apart, so that
 * estimates get tight by themselves. The first calls are estimated as the other does; one process learns for itself.
 * Throws `InvalidArgument` for wrong options.
 */
export function learned(base: Estimator, options: LearnedOptions = {}): Estimator {
  if (typeof base !== 'function')
    throw new InvalidArgument({ field: 'base', value: base, expected: 'another estimator, such as byCharacters()' });
  checkFields(options, ['quantile'], 'options');
  const { quantile = 0.9 } = options;
  if (!(quantile > 0 && quantile < 1))
    throw new InvalidArgument({ field: 'quantile', value: quantile, expected: 'a number above 0 and below 1' });
  const known = new BoundedMap<string, Learned>(RESOURCES_REMEMBERED);
  const estimates = new WeakMap<TokenEstimate, TokenEstimate>();
  const estimator = async (content: CallContent, resource: string): Promise<TokenEstimate> => {
    const guess = await base(content, resource);
    const factors = known.get(resource);
    const estimate =
      factors === undefined
        ? { ...guess }
        : estimateOf(scaled(guess.inputTokens, factors.input), scaled(guess.outputTokens, factors.output));
    estimates.set(estimate, guess);
    return estimate;
  };
  const learn = (resource: string, estimated: TokenEstimate, used: CallTokens): void => {
    const guess = estimates.get(estimated);
    if (guess === undefined) return;
    const factors = known.get(resource) ?? { input: 0, output: 0, calls: 0 };
    factors.calls += 1;
    // Large steps first, so that tens of calls are enough; small ones later, so that one odd call moves little.
    const step = Math.max(0.02, 1 / Math.sqrt(factors.calls));
    factors.input = moved(factors.input, used.inputTokens, guess.inputTokens, step, quantile);
    factors.output = moved(factors.output, used.outputTokens, guess.outputTokens, step, quantile);
    known.set(resource, factors);
  };
  return Object.assign(estimator, { learn });
}

const scaled = (tokens: number, logarithm: number): number => Math.ceil(tokens * Math.exp(logarithm));

/** Up by much where more was used, down by little where less was: it comes to rest where the quantile's share of calls lies below. */
function moved(logarithm: number, used: number, guessed: number, step: number, quantile: number): number {
  if (guessed === 0 || used === 0) return logarithm;
  const isAbove = Math.log(used / guessed) > logarithm;
  const next = logarithm + step * (isAbove ? quantile : quantile - 1);
  return Math.min(MOST, Math.max(LEAST, next));
}
