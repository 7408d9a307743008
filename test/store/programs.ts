import fc from 'fast-check';
import { Limit } from '../../lib/core/limit.js';
import { HeadgateError } from '../../lib/errors.js';
import type { Lease, Tokens } from '../../lib/lease.js';
import type { Outcome, RateLimiter } from '../../lib/limiter.js';
import type { TestBed } from '../support/stores.js';

/** One step of a random program. `of` picks one of the leases granted so far, `by` the process that acts. */
export type Step =
  | { readonly kind: 'acquire'; readonly who: Who; readonly by: number; readonly consume: Tokens }
  | { readonly kind: 'reserve'; readonly who: Who; readonly by: number; readonly consume: Tokens; readonly maxWaitMs: number }
  | { readonly kind: 'settle' | 'adjust'; readonly of: number; readonly tokens: Tokens }
  | { readonly kind: 'release'; readonly of: number }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'limits'; readonly who: Who; readonly limits: readonly Limit[] }
  | { readonly kind: 'available' | 'status'; readonly who: Who; readonly by: number }
  | { readonly kind: 'wait'; readonly who: Who; readonly by: number; readonly needed: Tokens };

/** An entity whose limits come with each request, and a stored one that cascades to its parent. */
type Who = 'alone' | 'child';

const amount = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 5, max: 15 }) },
  { weight: 1, arbitrary: fc.constantFrom(1, 700_000, 1_000_000_000_000) },
);

const limit = (name: string): fc.Arbitrary<Limit> =>
  fc.oneof(
    fc.tuple(fc.constantFrom(Limit.perMinute, Limit.perHour), amount).map(([per, n]) => per(name, n)),
    fc
      .record({
        capacity: fc.integer({ min: 5, max: 15 }),
        refillAmount: fc.integer({ min: 1, max: 7 }),
        refillPeriodMs: fc.constantFrom(333, 5_000, 60_000),
      })
      .map((bucket) => Limit.custom({ name, ...bucket })),
  );

const both = fc.tuple(limit('a'), limit('__proto__'));

export const limitSet: fc.Arbitrary<readonly Limit[]> = fc.oneof(
  { weight: 4, arbitrary: both },
  { weight: 1, arbitrary: fc.tuple(limit('a')) },
  { weight: 1, arbitrary: both.map(([one, other]) => [other, one]) },
);

/** Costs that mostly fit, sometimes never do, and sometimes name a limit that is not there. */
const cost = (least: number) =>
  fc.oneof({ weight: 9, arbitrary: fc.integer({ min: least, max: 5 }) }, { weight: 1, arbitrary: amount });
const tokens = (least: number): fc.Arbitrary<Tokens> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ a: cost(least) }) },
    { weight: 2, arbitrary: fc.tuple(cost(least), cost(least)).map(([one, other]) => ({ a: one, ['__proto__']: other })) },
    { weight: 1, arbitrary: fc.constant({}) },
  );

const who = fc.constantFrom<Who>('alone', 'child');
const by = fc.nat({ max: 1 });
const of = fc.nat({ max: 2 });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 16, arbitrary: fc.record({ kind: fc.constant('acquire' as const), who, by, consume: tokens(0) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      who,
      by,
      consume: tokens(0),
      maxWaitMs: fc.constantFrom(600, 60_000, 86_400_000),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('settle' as const), of, tokens: tokens(0) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('adjust' as const), of, tokens: tokens(-3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), of }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('advance' as const),
      ms: fc.oneof(fc.constantFrom(0.000_001, 1, 60_000, 3_600_000), fc.integer({ min: 1, max: 5_000 })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('limits' as const), who, limits: limitSet }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('available' as const, 'status' as const), who, by }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), who, by, needed: tokens(0) }) },
);

export const program = fc.array(step, { minLength: 15, maxLength: 15 });

/** One side of the comparison: two processes on one store, and what the program has come to there. */
export class Run {
  readonly #bed: TestBed;
  readonly #limiters: readonly RateLimiter[];
  readonly #leases: Lease[] = [];
  #limits: readonly Limit[];

  constructor(bed: TestBed, limits: readonly Limit[]) {
    this.#bed = bed;
    // Nothing cached: a fetch behind an answer would come in between at another step on each side.
    this.#limiters = [bed.limiter({ cacheTtlMs: 0 }), bed.limiter({ cacheTtlMs: 0 })];
    this.#limits = limits;
  }

  async begin(parentLimits: readonly Limit[]): Promise<void> {
    const admin = this.#bed.admin();
    await admin.createEntity({ entity: 'parent' });
    await admin.createEntity({ entity: 'child', parent: 'parent' });
    await admin.setLimits({ entity: 'parent' }, parentLimits);
    await admin.setLimits({ entity: 'child' }, this.#limits);
  }

  /** What a step came to, without what is random (the ids of leases). Errors by their code. */
  async step(step: Step): Promise<unknown> {
    try {
      return await this.#come(step);
    } catch (error) {
      if (!(error instanceof HeadgateError)) throw error;
      return { error: error.code };
    }
  }

  /** How many writes the processes have sent. */
  get writes(): readonly number[] {
    return this.#limiters.map((limiter) => limiter.stats().writes);
  }

  async #come(step: Step): Promise<unknown> {
    switch (step.kind) {
      case 'acquire':
        return this.#noted(await this.#by(step).tryAcquire({ ...this.#subject(step.who), consume: step.consume }));
      case 'reserve': {
        const { consume, maxWaitMs } = step;
        return this.#noted(await this.#by(step).reserve({ ...this.#subject(step.who), consume, maxWaitMs }));
      }
      case 'settle':
      case 'adjust':
        await this.#lease(step.of)?.[step.kind](step.tokens);
        return this.#charged(step.of);
      case 'release':
        await this.#lease(step.of)?.release();
        return this.#charged(step.of);
      case 'advance':
        return this.#bed.clock.advance(step.ms);
      case 'limits':
        if (step.who === 'child') await this.#bed.admin().setLimits({ entity: 'child' }, step.limits);
        else this.#limits = step.limits;
        return undefined;
      case 'available':
        return Object.entries(await this.#by(step).available(this.#subject(step.who)));
      case 'status':
        return this.#by(step).status(this.#subject(step.who));
      case 'wait':
        return this.#by(step).timeUntilAvailable({ ...this.#subject(step.who), needed: step.needed });
    }
  }

  #noted(outcome: Outcome): unknown {
    if (!outcome.granted) return { denied: outcome.denial };
    this.#leases.push(outcome.lease);
    const { limits, startsAt, queuedAheadMs } = outcome.lease;
    return { granted: limits, startsAt, queuedAheadMs };
  }

  #by({ by }: { readonly by: number }): RateLimiter {
    return this.#limiters[by]!;
  }

  #lease(of: number): Lease | undefined {
    return this.#leases.at(-1 - of);
  }

  #charged(of: number): unknown {
    const lease = this.#lease(of);
    return lease && { charged: Object.entries(lease.charged) };
  }

  #subject(entity: Who) {
    const subject = { entity, resource: 'gpt-4' };
    return entity === 'alone' ? { ...subject, limits: this.#limits } : subject;
  }
}
