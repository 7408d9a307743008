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
  /** A resource that the call draws on as well, at the same time, such as its provider; one that is the same is drawn on once. */
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
  const { limiter, entity, resource, model, estimate, content, prices, leases = [] } = asked;
  const waiting = {
    ...(asked.maxWaitMs !== undefined && { maxWaitMs: asked.maxWaitMs }),
    ...(asked.priority !== undefined && { priority: asked.priority }),
    ...(asked.signal !== undefined && { signal: asked.signal }),
  };
  const alsoOn = asked.alsoOn === resource ? undefined : asked.alsoOn;
  const limitsOn = (of: string) => limiter.limitsFor({ entity, resource: of }, asked.priority);
  let own: LimitsFor;
  let beside: LimitsFor;
  try {
    [own, beside] = await Promise.all([limitsOn(resource), alsoOn === undefined ? NO_LIMITS : limitsOn(alsoOn)]);
  } catch (error) {
    if (!(error instanceof LimiterUnavailable)) throw error;
    return letThrough(await uncounted(limiter, { entity, resource, ...waiting }, error), asked, undefined, []);
  }
  const levels = [...own.levels, ...beside.levels];
  const stored = own.levels.find((level) => level.prices !== undefined)?.prices;
  const table = () => (stored === undefined ? prices() : { [model]: stored });
  const counted = [...levels.flatMap(({ limits }) => limits), ...leases.flatMap(({ counts }) => counts)];
  const price = await callPrice(model, counted, table, async () => [
    ...levels,
    ...(await Promise.all(leases.map((lease) => limiter.limits({ entity, resource: lease.resource })))).flat(),
  ]);
  const outcome = await limiter.tryAcquire({
    entity,
    resource,
    contextTokens: estimateOf(estimate.inputTokens, statedOutput(content)).totalTokens,
    consume: reservedCosts(own, asked, price),
    ...(alsoOn !== undefined && { also: [{ resource: alsoOn, consume: reservedCosts(beside, asked, price) }] }),
    ...waiting,
  });
  return letThrough(outcome, asked, price, own.levels);
}

type LimitsFor = Awaited<ReturnType<RateLimiter['limitsFor']>>;
const NO_LIMITS: LimitsFor = { levels: [], most: {} };

function letThrough(outcome: Outcome, asked: AskedCall, price: CallPrice | undefined, levels: readonly Level[]): LimitedCall {
  if (!outcome.granted) throw new RateLimitExceeded(outcome.denial);
  return new LimitedCall(outcome.lease, asked, price, asked.feedback?.begun(asked.resource, levels));
}

/** A call that was let through. It is to be ended once, however it went. */
export class LimitedCall {
  readonly #own: Lease;
  readonly #asked: Pick<AskedCall, 'resource' | 'alsoOn' | 'estimate' | 'learn' | 'leases'>;
  readonly #price: CallPrice | undefined;
  /** To be told when the call is sent, and what headers answer it. Undefined: nobody listens. */
  readonly feedback: FeedbackOfCall | undefined;

  constructor(
    own: Lease,
    asked: Pick<AskedCall, 'resource' | 'alsoOn' | 'estimate' | 'learn' | 'leases'>,
    price: CallPrice | undefined,
    feedback: FeedbackOfCall | undefined,
  ) {
    this.#own = own;
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
    return this.#own.waitedMs;
  }

  /**
   * Settles by what the call really used. Undefined: nobody told, and the estimate stays charged, its price too. `NO_TOKENS`: it failed, and all is
   * given back but the request, which was made. Slots are free again either way. Never throws for want of an answer from the database.
   */
  async end(usage: CallTokens | undefined): Promise<void> {
    const { resource, alsoOn = resource, learn } = this.#asked;
    if (usage !== undefined && usage !== NO_TOKENS) learn?.(usage);
    const used = (of: string) => (usage === undefined ? {} : settledCosts(this.#own.countsOn(of), usage, this.#price?.(usage)));
    const also = alsoOn === resource ? [] : [{ resource: alsoOn, actual: used(alsoOn) }];
    await Promise.all([
      this.#own.end(used(resource), { also, told: this.feedback?.ended() }),
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
    return [...this.#before, this.#own];
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
  { levels, most }: LimitsFor,
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
