import { PRIORITIES, type Priority } from '../config/priorities.js';
import { InvalidArgument } from '../errors.js';
import type { RateLimiter } from '../limiter.js';
import type { CallContent } from '../llm/call-content.js';
import type { CallTokens } from '../llm/call-tokens.js';
import { byCharacters, type Estimator, type TokenEstimate } from '../llm/estimate.js';
import { type PriceTable, parsePrices } from '../llm/prices.js';
import { checkName } from '../names.js';
import { LONGEST_WAIT_MS } from '../request.js';
import { type LimitedCall, limitCall } from './limited-call.js';
import type { UpstreamFeedback } from './upstream-feedback.js';

/** Who is limited, and how: the same for every kind of client. */
export interface CallLimitsOptions {
  readonly limiter: RateLimiter;
  /** The caller that is limited. 1 to 256 bytes of printable UTF-8 without `#`. */
  readonly entity: string;
  /** Whose limits apply. @default the model of each request */
  readonly resource?: string | undefined;
  /** Guesses a call's tokens before it is made. One that throws is reported, once for the same error, and the default is taken. @default byCharacters() */
  readonly estimate?: Estimator | undefined;
  /** What models cost that have no prices stored with them, for limits that count money. @default none: a call under such a limit is refused */
  readonly prices?: PriceTable | undefined;
  /** How long a call may wait for tokens, 0 to 86,400,000 milliseconds. @default 0: it is refused at once */
  readonly maxWaitMs?: number | undefined;
  /** @default that of the entity's tier, or 'normal' */
  readonly priority?: Priority | undefined;
  /** Told what went wrong without harm to a call. @default process.emitWarning */
  readonly onWarning?: ((error: Error) => void) | undefined;
}

export const CALL_LIMITS_FIELDS = ['limiter', 'entity', 'resource', 'estimate', 'prices', 'maxWaitMs', 'priority', 'onWarning'];

/** A call to be let through. */
export interface Call {
  readonly model: string;
  readonly content: CallContent;
  readonly signal?: AbortSignal | undefined;
  /** @default as the options say */
  readonly maxWaitMs?: number | undefined;
  /** The same call was made before and failed: its request is counted already. @default false */
  readonly isRetry?: boolean;
  /** Told what the provider says is left. */
  readonly feedback?: UpstreamFeedback | undefined;
}

const byDefault = byCharacters();

/** Lets calls of one entity through, one by one. Throws `InvalidArgument` for wrong options. */
export class CallLimits {
  readonly #options: CallLimitsOptions;
  /** What the estimator failed with last: the same again is not told again. */
  #lastFailure: string | undefined;

  constructor(options: CallLimitsOptions) {
    const { limiter, entity, resource, estimate = byDefault, prices, maxWaitMs, priority, onWarning } = options;
    if (typeof limiter?.tryAcquire !== 'function')
      throw new InvalidArgument({ field: 'limiter', value: limiter, expected: 'a RateLimiter' });
    checkName(entity, 'entity');
    if (resource !== undefined) checkName(resource, 'resource');
    if (typeof estimate !== 'function')
      throw new InvalidArgument({ field: 'estimate', value: estimate, expected: 'a function, such as byCharacters()' });
    if (prices !== undefined) parsePrices(prices, 'prices');
    if (maxWaitMs !== undefined && !(maxWaitMs >= 0 && maxWaitMs <= LONGEST_WAIT_MS))
      throw new InvalidArgument({ field: 'maxWaitMs', value: maxWaitMs, expected: `0 to ${LONGEST_WAIT_MS} milliseconds` });
    if (priority !== undefined && !PRIORITIES.includes(priority))
      throw new InvalidArgument({ field: 'priority', value: priority, expected: `one of ${PRIORITIES.join(', ')}` });
    if (onWarning !== undefined && typeof onWarning !== 'function')
      throw new InvalidArgument({ field: 'onWarning', value: onWarning, expected: 'a function' });
    this.#options = options;
  }

  /** Acquires what the call may cost. Throws `RateLimitExceeded` when it is denied, and whatever `tryAcquire` throws. */
  async acquire({ model, content, signal, maxWaitMs, isRetry = false, feedback }: Call): Promise<LimitedCall> {
    const { limiter, entity, resource = model, estimate: estimator, prices = {}, priority } = this.#options;
    const estimate = await this.#estimated(content, resource);
    return limitCall({
      limiter,
      entity,
      resource,
      model,
      content,
      estimate,
      prices: () => prices,
      isRetry,
      feedback,
      maxWaitMs: maxWaitMs ?? this.#options.maxWaitMs,
      priority,
      signal,
      ...(estimator?.learn && { learn: (used) => this.#learn(estimator, resource, estimate, used) }),
    });
  }

  async #estimated(content: CallContent, resource: string): Promise<TokenEstimate> {
    const { estimate } = this.#options;
    try {
      if (estimate !== undefined) return checked(await estimate(content, resource));
    } catch (error) {
      this.#failed('The estimator failed, characters were counted instead', error);
    }
    return byDefault(content);
  }

  #learn(estimator: Estimator, resource: string, estimated: TokenEstimate, used: CallTokens): void {
    try {
      estimator.learn?.(resource, estimated, used);
    } catch (error) {
      this.#failed('The estimator failed to learn', error);
    }
  }

  #failed(what: string, error: unknown): void {
    const failure = `${what}: ${String(error)}`;
    if (this.#lastFailure !== failure) this.warn(failure, error);
    this.#lastFailure = failure;
  }

  warn(message: string, cause: unknown): void {
    const { onWarning = (warning: Error) => process.emitWarning(warning) } = this.#options;
    onWarning(Object.assign(new Error(message, { cause }), { name: 'HeadgateWarning' }));
  }
}

function checked(estimate: TokenEstimate): TokenEstimate {
  for (const field of ['inputTokens', 'outputTokens', 'totalTokens'] as const) {
    const value = estimate[field];
    if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgument({ field, value, expected: 'an integer from 0' });
  }
  return estimate;
}
