import type { Priority } from '../config/priorities.js';
import type { Limit } from '../core/limit.js';
import { HeadgateError, InvalidArgument, LimiterUnavailable } from '../errors.js';
import { type Problem, problem, problemOf } from '../http/problem.js';
import type { Lease, Tokens } from '../lease.js';
import type { Outcome, RateLimiter } from '../limiter.js';
import { checkFields } from '../names.js';
import { RateLimitExceeded } from '../rate-limit-exceeded.js';
import { rateLimitHeaders } from '../rate-limit-headers.js';
import { type AcquireRequest, checkAcquire } from '../request.js';
import { uncounted } from '../uncounted.js';

/** What is said once for all requests, or of each. */
export type PerRequest<Value, Request> = Value | ((request: Request) => Value | Promise<Value>);

/** Who is limited, and how: the same for every framework. `Request` is what the framework hands to its middleware. */
export interface LimitedRequestOptions<Request> {
  readonly limiter: RateLimiter;
  /**
   * The caller that is limited: 1 to 256 bytes of printable UTF-8 without `#`. Undefined: nobody knows who calls, and the request is answered by 401.
   * Who may pass without a limit is for `skip` to say.
   */
  readonly entity: string | ((request: Request) => string | undefined | Promise<string | undefined>);
  /** What is limited. @default 'api': all routes together */
  readonly resource?: PerRequest<string, Request> | undefined;
  /** @default those stored */
  readonly limits?: PerRequest<readonly Limit[], Request> | undefined;
  /** Whole tokens by limit name, from 0. @default 1 of each limit that counts requests or what is in flight, nothing of others */
  readonly consume?: PerRequest<Tokens, Request> | undefined;
  /** How long a request may wait for tokens, 0 to 86,400,000 milliseconds. @default 0: it is denied at once */
  readonly maxWaitMs?: number | undefined;
  /** @default that of the entity's tier, or 'normal' */
  readonly priority?: PerRequest<Priority | undefined, Request> | undefined;
  /** True lets a request through without a lease. @default none is */
  readonly skip?: ((request: Request) => boolean | Promise<boolean>) | undefined;
  /** Told of each request that is kept out; the fields that it gives back take the place of the answer's. @default the answer as it is */
  readonly onDenied?: ((denied: DeniedRequest<Request>) => DeniedAnswer | Promise<DeniedAnswer>) | undefined;
}

/** A request that is kept out, why, and how it is about to be answered. */
export interface DeniedRequest<Request> {
  readonly request: Request;
  readonly error: HeadgateError;
  readonly answer: Problem;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a function that only logs returns nothing
export type DeniedAnswer = Partial<Problem> | undefined | void;

/** What became of a request at the door. */
export type Passage =
  | { readonly kind: 'skipped' }
  | { readonly kind: 'admitted'; readonly admitted: AdmittedRequest }
  | { readonly kind: 'denied'; readonly error: HeadgateError; readonly answer: Problem };

type Asked = Omit<AcquireRequest, 'consume'>;

const FIELDS = ['limiter', 'entity', 'resource', 'limits', 'consume', 'maxWaitMs', 'priority', 'skip', 'onDenied'];
const ALL_ROUTES = 'api';

/** Lets requests of one application through, one by one. Throws `InvalidArgument` for wrong options; `more`: the names of a framework's own. */
export class RequestLimits<Request> {
  readonly #options: LimitedRequestOptions<Request>;

  constructor(options: LimitedRequestOptions<Request>, more: readonly string[] = []) {
    checkFields(options, [...FIELDS, ...more], 'options');
    const { limiter, entity, resource = ALL_ROUTES, limits, consume = {}, maxWaitMs, priority, skip, onDenied } = options;
    if (typeof limiter?.tryAcquire !== 'function')
      throw new InvalidArgument({ field: 'limiter', value: limiter, expected: 'a RateLimiter' });
    for (const [field, value] of Object.entries({ skip, onDenied }))
      if (value !== undefined && typeof value !== 'function')
        throw new InvalidArgument({ field, value, expected: 'a function of the request' });
    checkAcquire({
      entity: typeof entity === 'function' ? ALL_ROUTES : entity,
      resource: typeof resource === 'function' ? ALL_ROUTES : resource,
      limits: typeof limits === 'function' ? undefined : limits,
      consume: typeof consume === 'function' ? {} : consume,
      maxWaitMs,
      priority: typeof priority === 'function' ? undefined : priority,
    });
    this.#options = options;
  }

  /**
   * Admits a request, or says how it is answered. Throws what the options' functions throw, and the reason of an aborted `signal`: then nothing is
   * charged.
   */
  async ask(request: Request, signal?: AbortSignal): Promise<Passage> {
    if (await this.#options.skip?.(request)) return { kind: 'skipped' };
    const entity = await of(this.#options.entity, request);
    if (entity === undefined || entity === null) return this.#unknown(request);
    const resource = (await of(this.#options.resource, request)) ?? ALL_ROUTES;
    const [limits, consume, priority] = await Promise.all([
      of(this.#options.limits, request),
      of(this.#options.consume, request),
      of(this.#options.priority, request),
    ]);
    const { maxWaitMs } = this.#options;
    let outcome: Outcome;
    try {
      outcome = await this.#acquired({ entity, resource, limits, maxWaitMs, priority, signal }, consume);
    } catch (error) {
      if (!(error instanceof HeadgateError)) throw error;
      return this.#denied(request, error, problemOf(error));
    }
    if (outcome.granted) {
      if (!signal?.aborted) return { kind: 'admitted', admitted: new AdmittedRequest(outcome.lease) };
      await outcome.lease.release();
      throw signal.reason;
    }
    const error = new RateLimitExceeded(outcome.denial);
    return this.#denied(request, error, problemOf(error));
  }

  async #acquired(asked: Asked, consume: Tokens | undefined): Promise<Outcome> {
    let costs: Tokens;
    try {
      costs = consume ?? (await this.#oneOfEach(asked));
    } catch (error) {
      if (!(error instanceof LimiterUnavailable)) throw error;
      return uncounted(this.#options.limiter, asked, error);
    }
    return this.#options.limiter.tryAcquire({ ...asked, consume: costs });
  }

  async #oneOfEach({ entity, resource, limits }: Asked): Promise<Tokens> {
    const levels = await this.#options.limiter.limits({ entity, resource, limits });
    const counted = levels
      .flatMap((level) => level.limits)
      .filter(({ counts }) => counts === 'requests' || counts === 'inFlight');
    return Object.fromEntries(counted.map(({ name }) => [name, 1]));
  }

  #unknown(request: Request): Promise<Passage> {
    const error = new InvalidArgument({ field: 'entity', value: undefined, expected: 'the name of who calls' });
    return this.#denied(request, error, problem(401, 'Unauthorized', 'Unauthorized', 'Expected a caller whose name is known'));
  }

  async #denied(request: Request, error: HeadgateError, answer: Problem): Promise<Passage> {
    const other = await this.#options.onDenied?.({ request, error, answer });
    return { kind: 'denied', error, answer: { ...answer, ...other } };
  }
}

/** A request that was let through. It is to be ended once it is answered, however that went. */
export class AdmittedRequest {
  readonly lease: Lease;
  #ending: Promise<void> | undefined;

  constructor(lease: Lease) {
    this.lease = lease;
  }

  /** What tells the caller its limits, as they stood right after it was let through. */
  get headers(): Readonly<Record<string, string>> {
    return rateLimitHeaders(this.lease.limits);
  }

  /** Whether others wait for its end. */
  get holdsSlots(): boolean {
    return this.lease.grants.some(({ charges }) => charges.some(({ kind, tokens }) => kind === 'slot' && tokens > 0));
  }

  /**
   * Frees its slots. `status` is that of its answer: 500 or above says that the work failed, and what was not settled is given back. Only the first
   * call counts; every one resolves when all is written.
   */
  end(status: number): Promise<void> {
    this.#ending ??= status >= 500 ? this.lease.abandon() : this.lease.freeSlots();
    return this.#ending;
  }
}

function of<Value, Request>(option: PerRequest<Value, Request>, request: Request): Value | Promise<Value> {
  return typeof option === 'function' ? (option as (request: Request) => Value | Promise<Value>)(request) : option;
}
