import type { Priority } from '../config/priorities.js';
import type { Level } from '../config/resolution.js';
import { LimiterUnavailable } from '../errors.js';
import { type Lease, type Tokens, tokensOf } from '../lease.js';
import type { Outcome, RateLimiter } from '../limiter.js';
import type { CallContent } from '../llm/call-content.js';
import type { CallTokens } from '../llm/call-tokens.js';
import { costsOf, NO_TOKENS, settledCosts } from '../llm/costs.js';
import { estimateOf, type TokenEstimate } from '../llm/estimate.js';
import type { PriceTable } from '../llm/prices.js';
import { RateLimitExceeded } from '../rate-limit-exceeded.js';
import type { LimitReport } from '../report.js';
import { uncounted } from '../uncounted.js';
import { type CallPrice, callPrice, countsMoney } from './call-price.js';
import type { FeedbackOfCall, UpstreamFeedback } from './upstream-feedback.js';

/** A call that is about to be made, and who is limited by what for it. */
export interface AskedCall {
  readonly limiter: RateLimiter;
  readonly entity: string;
  /** Whose limits: the model's, unless told otherwise. */
  readonly resource: string;
  /**
   * A resource that the call draws on as well, at the same time, such as its provider; the same resource is drawn on once. Not for calls that wait: one
   * would be held while the other is waited for.
   */
  readonly alsoOn?: string | undefined;
  /** Whose prices. */
  readonly model: string;
  readonly content: Pick<CallContent, 'statedOutputTokens' | 'answers' | 'hasOutput'>;
  readonly estimate: TokenEstimate;
  /** Prices of models that have none stored with the resource; asked for when a limit counts money. */
  readonly prices: () => PriceTable;
  /** What was acquired for the same call before: it is settled with it. @default nothing */
  readonly leases?: readonly Lease[];
  /** The same call was made before and failed: its request is counted already. @default false */
  readonly isRetry?: boolean;
  readonly maxWaitMs?: number | undefined;
  readonly priority?: Priority | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told what the provider says is left of the account that the call is on. */
  readonly feedback?: UpstreamFeedback | undefined;
  /** Told what was really used. */
  readonly learn?: ((used: CallTokens) => void) | undefined;
}

/**
 * Acquires what a call will cost by its estimate, on every limit that applies. Throws `RateLimitExceeded` when it is denied, and whatever
 * `tryAcquire` throws; then nothing is consumed, and what was acquired before is still held.
 */
export async function limitCall(asked: AskedCall): Promise<LimitedCall> {
  const { limiter, entity, resource, alsoOn, model, prices, leases = [] } = asked;
  const resources = alsoOn === undefined || alsoOn === resource ? [resource] : [resource, alsoOn];
  const read = await Promise.all(resources.map((one) => limitsOn(one, asked)));
  const [own] = read;
  const levels = read.flatMap((limits) => limits.levels);
  const stored = own?.levels.find((level) => level.prices !== undefined)?.prices;
  const table = () => (stored === undefined ? prices() : { [model]: stored });
  const counted = [...levels.flatMap(({ limits }) => limits), ...leases.flatMap(({ counts }) => counts)];
  const price = await callPrice(model, counted, table, async () => [
    ...levels,
    ...(await Promise.all(leases.map((lease) => limiter.limits({ entity, resource: lease.resource })))).flat(),
  ]);
  const acquired = await allGranted(read.map(({ acquire }) => acquire(price)));
  return new LimitedCall(acquired, asked, price, asked.feedback?.begun(resource, own?.levels ?? []));
}

/** The limits on one resource, and how they are acquired. */
interface ReadLimits {
  readonly levels: readonly Level[];
  readonly acquire: (price: CallPrice | undefined) => Promise<Outcome>;
}

/** Where no limits can be read, `onUnavailable` decides. */
async function limitsOn(resource: string, asked: AskedCall): Promise<ReadLimits> {
  const { limiter, entity, estimate, content, maxWaitMs, priority, signal } = asked;
  const request = {
    entity,
    resource,
    ...(maxWaitMs !== undefined && { maxWaitMs }),
    ...(priority !== undefined && { priority }),
    ...(signal !== undefined && { signal }),
  };
  try {
    const { levels, most } = await limiter.limitsFor({ entity, resource }, priority);
    return {
      levels,
      acquire: (price) =>
        limiter.tryAcquire({
          ...request,
          contextTokens: estimateOf(estimate.inputTokens, statedOutput(content)).totalTokens,
          consume: reservedCosts(levels, most, asked, price),
        }),
    };
  } catch (error) {
    if (!(error instanceof LimiterUnavailable)) throw error;
    return { levels: [], acquire: () => uncounted(limiter, request, error) };
  }
}

/** The leases of all, or those that were granted given back: throws what kept a call out, of denials the longest. */
async function allGranted(asked: readonly Promise<Outcome>[]): Promise<readonly Lease[]> {
  const outcomes = await Promise.allSettled(asked);
  const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const leases = answers.flatMap((answer) => (answer.granted ? [answer.lease] : []));
  if (leases.length === asked.length) return leases;
  await Promise.all(leases.map((lease) => lease.release()));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  const denials = answers.flatMap((answer) => (answer.granted ? [] : [answer.denial]));
  throw new RateLimitExceeded(denials.reduce((longest, one) => (one.retryAfterMs > longest.retryAfterMs ? one : longest)));
}

/** A call that was let through. It is to be ended once, however it went. */
export class LimitedCall {
  /** The first on the call's own resource. */
  readonly #acquired: readonly Lease[];
  readonly #asked: Pick<AskedCall, 'estimate' | 'learn' | 'leases'>;
  readonly #price: CallPrice | undefined;
  /** To be told when the call is sent, and what headers answer it. Undefined: nobody listens. */
  readonly feedback: FeedbackOfCall | undefined;

  constructor(
    acquired: readonly Lease[],
    asked: Pick<AskedCall, 'estimate' | 'learn' | 'leases'>,
    price: CallPrice | undefined,
    feedback: FeedbackOfCall | undefined,
  ) {
    this.#acquired = acquired;
    this.#asked = asked;
    this.#price = price;
    this.feedback = feedback;
  }

  /** How every limit stood right after the call was let through. */
  get limits(): readonly LimitReport[] {
    return this.#leases.flatMap((lease) => lease.limits);
  }

  /** Milliseconds that it waited. */
  get waitedMs(): number {
    return Math.max(...this.#acquired.map(({ waitedMs }) => waitedMs));
  }

  /**
   * Settles by what the call really used. Undefined: nobody told, and the estimate stays charged, its price too. `NO_TOKENS`: it failed, and all is
   * given back but the request, which was made. Slots are free again either way. Never throws for want of an answer from the database.
   */
  async end(usage: CallTokens | undefined): Promise<void> {
    if (usage !== undefined && usage !== NO_TOKENS) this.#asked.learn?.(usage);
    const told = this.feedback?.ended();
    await Promise.all([
      ...this.#acquired.map((lease, index) => {
        const used = usage === undefined ? {} : settledCosts(lease.counts, usage, this.#price?.(usage));
        return lease.end(used, index === 0 ? told : undefined);
      }),
      ...this.#before.map((lease) => lease.end(this.#settledOn(lease, usage))),
    ]);
  }

  /** Gives everything back, the request included: the call was not made. */
  async release(): Promise<void> {
    this.feedback?.left();
    await Promise.all(this.#leases.map((lease) => lease.release()));
  }

  /** What was acquired before. */
  get #before(): readonly Lease[] {
    return this.#asked.leases ?? [];
  }

  get #leases(): readonly Lease[] {
    return [...this.#before, ...this.#acquired.toReversed()];
  }

  /** Who acquired before knew no model, so no price: money is charged only here. */
  #settledOn({ counts }: Lease, usage: CallTokens | undefined): Tokens {
    if (usage !== undefined) return settledCosts(counts, usage, this.#price?.(usage));
    return settledCosts(counts.filter(countsMoney), NO_TOKENS, this.#price?.(this.#asked.estimate));
  }
}

/**
 * What is acquired for a call: its estimate, but on no limit more than that holds, so that a guess alone never keeps a call out for good. The output
 * that the caller itself allows is no guess: where a limit never holds that, the call is refused as `CostExceedsCapacity`.
 */
function reservedCosts(
  levels: readonly Level[],
  most: Tokens,
  { content, estimate, isRetry = false }: AskedCall,
  price: CallPrice | undefined,
): Tokens {
  const counted = levels.flatMap(({ limits }) => limits).filter(({ counts }) => !(isRetry && counts === 'requests'));
  const stated = estimateOf(0, statedOutput(content));
  const guessed = costsOf(counted, estimate, price?.(estimate));
  const certain = costsOf(counted, stated, price?.(stated));
  return Object.fromEntries(
    Object.entries(guessed).map(([name, cost]) => [
      name,
      Math.max(Math.min(cost, tokensOf(most, name) ?? cost), Math.min(cost, tokensOf(certain, name) ?? 0)),
    ]),
  );
}

/** The output tokens that the caller itself allows; the rest of an estimate's is a guess. */
const statedOutput = ({ hasOutput, statedOutputTokens = 0, answers }: AskedCall['content']): number =>
  hasOutput ? statedOutputTokens * answers : 0;
