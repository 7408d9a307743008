import { type Clock, nowMs, SystemClock } from '../clock.js';
import { HeadgateError, InvalidArgument, ResourceNotAllowed } from '../errors.js';
import { problemOf } from '../http/problem.js';
import { NO_TOKENS } from '../llm/costs.js';
import { metered, meterOf, WHEN_CLIENT_LEAVES, type WhenClientLeaves } from '../llm/metered-stream.js';
import type { PreparedCall, ProviderApi } from '../llm/provider-api.js';
import { apiOfPath } from '../llm/provider-apis.js';
import { checkFields, checkName } from '../names.js';
import { RateLimitExceeded } from '../rate-limit-exceeded.js';
import { rateLimitHeaders } from '../rate-limit-headers.js';
import { CALL_LIMITS_FIELDS, CallLimits, type CallLimitsOptions } from './call-limits.js';
import { FailedCalls } from './failed-calls.js';
import type { LimitedCall } from './limited-call.js';
import { refusalOf, waitHeaders } from './refusal.js';
import { UpstreamFeedback } from './upstream-feedback.js';
import { upstreamWaitMs } from './upstream-wait.js';

export interface LimitedFetchOptions extends CallLimitsOptions {
  /** What sends the calls. @default the global fetch as it is now, so that this one may take its place */
  readonly upstream?: typeof fetch | undefined;
  /**
   * Models in the order in which they are tried, of one provider: a call to one of them goes to the next when it is limited or not allowed, or when
   * the provider itself has no more of it. @default none: a call goes to its own model alone
   */
  readonly models?: readonly string[] | undefined;
  /**
   * How often a call that the provider turned away (429, 503, 529) is made again, after the wait that the provider asks for, 0 to 10. It is charged
   * once. @default 0: its client retries
   */
  readonly retries?: number | undefined;
  /** The longest of these waits in milliseconds: what asks for more is handed on. @default 60000 */
  readonly maxRetryWaitMs?: number | undefined;
  /**
   * `cancel`: the provider stops, and the call is settled by what it told until then, else by its estimate. `readOn`: the answer is read to its end
   * all the same, and settled by its real usage, for providers that bill it all; the process must live as long.
   * @default 'cancel'
   */
  readonly whenClientLeaves?: WhenClientLeaves | undefined;
  /**
   * Whose limits are those of the account at the provider: the entity itself, or one above it. When the provider's headers say that less is left, because
   * others use the account too, they are lowered to that. @default none: what the provider says is left is not read
   */
  readonly feedback?: string | undefined;
  /** @default the machine's clock */
  readonly clock?: Clock | undefined;
}

const FIELDS = [
  ...CALL_LIMITS_FIELDS,
  'upstream',
  'models',
  'retries',
  'maxRetryWaitMs',
  'feedback',
  'whenClientLeaves',
  'clock',
];
const MOST_RETRIES = 10;

/**
 * A `fetch` for the clients of OpenAI, Anthropic and Gemini and all that speak as they do. Calls that cost tokens are let through by the limits of the
 * entity on the model, and settled by the usage in their answer, JSON or stream, before its body ends; anything else is passed on. A call that is not
 * let through is answered in the provider's own error shape (429 with `Retry-After` for a limit), so that its client raises its own error.
 * The answer's bytes are the upstream's, but for the usage chunk of an OpenAI stream whose caller asked for none.
 * A failed or unanswered call costs no tokens, but stays counted as a request, once for all tries of its client. A body that is never read keeps the
 * estimate charged. Throws `InvalidArgument` for wrong options.
 */
export function limitedFetch(options: LimitedFetchOptions): typeof fetch {
  const limited = new LimitedFetch(options);
  return (input, init) => limited.fetch(input, init);
}

/** One call on its way: to which model, and as what. */
interface Attempt {
  readonly api: ProviderApi;
  readonly url: URL;
  readonly model: string;
  readonly body: Uint8Array;
  readonly call: PreparedCall;
}

type Body = NonNullable<RequestInit['body']>;

interface Sent {
  readonly input: string | URL | Request;
  readonly init: RequestInit | undefined;
  /** What its body is by itself, where no header says it: the form of a form, for one, says what separates its parts. */
  readonly type?: string | undefined;
}

class LimitedFetch {
  readonly #limits: CallLimits;
  readonly #models: readonly string[];
  readonly #upstream: typeof fetch;
  readonly #retries: number;
  readonly #maxRetryWaitMs: number;
  readonly #whenClientLeaves: WhenClientLeaves;
  readonly #clock: Clock;
  readonly #feedback: UpstreamFeedback | undefined;
  readonly #failed: FailedCalls;
  readonly #resource: string | undefined;

  constructor(options: LimitedFetchOptions) {
    checkFields(options, FIELDS, 'options');
    const { models = [], retries = 0, maxRetryWaitMs = 60_000, whenClientLeaves = 'cancel' } = options;
    if (!Array.isArray(models) || models.some((model) => typeof model !== 'string' || model === ''))
      throw new InvalidArgument({ field: 'models', value: models, expected: 'a list of model names' });
    if (!Number.isInteger(retries) || retries < 0 || retries > MOST_RETRIES)
      throw new InvalidArgument({ field: 'retries', value: retries, expected: `an integer from 0 to ${MOST_RETRIES}` });
    if (!(maxRetryWaitMs >= 0))
      throw new InvalidArgument({ field: 'maxRetryWaitMs', value: maxRetryWaitMs, expected: 'at least 0' });
    if (!WHEN_CLIENT_LEAVES.includes(whenClientLeaves))
      throw new InvalidArgument({
        field: 'whenClientLeaves',
        value: whenClientLeaves,
        expected: `one of ${WHEN_CLIENT_LEAVES.join(', ')}`,
      });
    const { upstream, clock } = options;
    if (upstream !== undefined && typeof upstream !== 'function')
      throw new InvalidArgument({ field: 'upstream', value: upstream, expected: 'a function, such as fetch' });
    if (clock !== undefined && (typeof clock?.nowNs !== 'function' || typeof clock.sleep !== 'function'))
      throw new InvalidArgument({ field: 'clock', value: clock, expected: 'a Clock: { nowNs, sleep }' });
    this.#limits = new CallLimits(options);
    this.#models = models;
    this.#upstream = options.upstream ?? fetch;
    this.#retries = retries;
    this.#maxRetryWaitMs = maxRetryWaitMs;
    this.#whenClientLeaves = whenClientLeaves;
    this.#clock = options.clock ?? new SystemClock();
    this.#failed = new FailedCalls(this.#clock);
    this.#resource = options.resource;
    const { feedback } = options;
    if (feedback !== undefined) checkName(feedback, 'feedback');
    const warn = (message: string) => this.#limits.warn(message, undefined);
    this.#feedback = feedback === undefined ? undefined : new UpstreamFeedback(feedback, this.#clock, warn);
  }

  async fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    const method = init?.method ?? (input instanceof Request ? input.method : 'GET');
    const api = method.toUpperCase() === 'POST' ? apiOfPath(url.pathname) : undefined;
    if (api === undefined) return this.#upstream(input, init);
    const { bytes, type } = await bodyOf({ input, init });
    const sent: Sent = { input, init, type };
    // A server of one model may need no name of it.
    const call = api.prepare(bytes, url.pathname, this.#resource);
    // The provider says what is wrong with it, in its own words.
    if (!call.ok) return this.#upstream(urlOf(sent), { ...initOf(sent), body: bytes as Body });
    const first: Attempt = { api, url, model: call.model, body: call.body, call };
    try {
      return await this.#whileListening(signalOf(sent), this.#answered(sent, first, bytes));
    } catch (error) {
      if (error instanceof HeadgateError) return refused(api, error);
      throw error;
    }
  }

  /** The answer, or the signal's reason at once; the answer that comes after it nobody reads. */
  async #whileListening(signal: AbortSignal | undefined, answering: Promise<Response>): Promise<Response> {
    if (this.#whenClientLeaves === 'cancel' || signal === undefined) return answering;
    const left = new Promise<never>((_resolve, reject) => {
      const leave = () => reject(signal.reason);
      signal.addEventListener('abort', leave);
      const stay = () => signal.removeEventListener('abort', leave);
      answering.then(stay, stay);
    });
    try {
      return await Promise.race([answering, left]);
    } catch (error) {
      answering.then(({ body }) => body?.cancel()).catch(() => {});
      throw error;
    }
  }

  /** The answer of the first model that lets the call through and is not exhausted itself. */
  async #answered(sent: Sent, first: Attempt, bytes: Uint8Array): Promise<Response> {
    const attempts = this.#attempts(first);
    const retried = this.#failed.retried(first.url, bytes, initOf(sent).headers);
    const isRetry = retried !== undefined;
    let denied: unknown;
    for (const [index, attempt] of attempts.entries()) {
      const isLast = index === attempts.length - 1;
      let limited: LimitedCall;
      try {
        limited = await this.#acquired(attempt, sent, isRetry, isLast ? undefined : 0);
      } catch (error) {
        if (!passesOn(error)) {
          denied = error;
          break;
        }
        denied ??= error;
        continue;
      }
      let answer: Response;
      try {
        answer = await this.#sent(sent, attempt, limited, isLast ? this.#retries : 0);
      } catch (error) {
        this.#failed.failed(first.url, bytes);
        throw error;
      }
      if (isLast || (await upstreamWaitMs(answer, 0, nowMs(this.#clock))) === undefined) {
        if (!answer.ok) this.#failed.failed(first.url, bytes, answer.status);
        return this.#relayed(answer, attempt, limited, signalOf(sent));
      }
      await Promise.all([limited.release(), answer.body?.cancel()]);
    }
    if (isRetry) this.#failed.back(retried);
    throw denied;
  }

  #acquired({ model, call }: Attempt, sent: Sent, isRetry: boolean, maxWaitMs: number | undefined): Promise<LimitedCall> {
    const { content } = call;
    return this.#limits.acquire({ model, content, isRetry, maxWaitMs, signal: signalOf(sent), feedback: this.#feedback });
  }

  /** The call as asked for, and then to each model that comes after its own. */
  #attempts(first: Attempt): readonly Attempt[] {
    const at = this.#models.indexOf(first.model);
    if (at < 0) return [first];
    const others = this.#models.slice(at + 1).map((model): Attempt => {
      const { path, body } = first.call.toModel(model);
      const url = new URL(first.url);
      url.pathname = path;
      return { ...first, model, url, body };
    });
    return [first, ...others];
  }

  /** Sends the call, again where the provider has none left for the moment. A call that could not be sent costs no tokens. */
  async #sent(sent: Sent, { url, body }: Attempt, limited: LimitedCall, retries: number): Promise<Response> {
    for (let attempt = 0; ; attempt += 1) {
      let answer: Response;
      try {
        const signal = this.#whenClientLeaves === 'cancel' ? signalOf(sent) : undefined;
        limited.feedback?.sent();
        const init = initOf(sent);
        answer = await this.#upstream(url.href, { ...init, signal: signal ?? null, body: sendable(body, init.headers) });
        limited.feedback?.answered(answer.headers);
        const waitMs = attempt < retries ? await upstreamWaitMs(answer, attempt, nowMs(this.#clock)) : undefined;
        if (waitMs === undefined || waitMs > this.#maxRetryWaitMs) return answer;
        await answer.body?.cancel();
        await this.#clock.sleep(waitMs, signalOf(sent));
      } catch (error) {
        await limited.end(NO_TOKENS);
        throw error;
      }
    }
  }

  /** The upstream's answer, whose body settles the call when it ends. */
  async #relayed(
    answer: Response,
    { api, call }: Attempt,
    limited: LimitedCall,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    if (!answer.ok || answer.body === null) {
      await limited.end(answer.ok ? undefined : NO_TOKENS);
      return answer;
    }
    const { status, statusText, url, redirected, type } = answer;
    const headers = new Headers(answer.headers);
    // It may be shorter than the provider's.
    if (call.addedUsage) headers.delete('content-length');
    const body = metered(answer.body, meterOf(api, call, answer), (usage) => limited.end(usage), {
      signal,
      whenClientLeaves: this.#whenClientLeaves,
    });
    return Object.defineProperties(new Response(body, { status, headers }), {
      statusText: { value: statusText },
      url: { value: url },
      redirected: { value: redirected },
      type: { value: type },
    });
  }
}

/** Whether another model may be tried: this one is limited, or its tier does not allow it. */
const passesOn = (error: unknown): boolean => error instanceof RateLimitExceeded || error instanceof ResourceNotAllowed;

async function bodyOf({ input, init }: Sent): Promise<{ readonly bytes: Uint8Array; readonly type?: string | undefined }> {
  const body = init?.body ?? undefined;
  if (typeof body === 'string') return { bytes: new TextEncoder().encode(body), type: 'text/plain;charset=UTF-8' };
  // A copy, for its owner may use it again while the call waits.
  if (body instanceof Uint8Array) return { bytes: new Uint8Array(body) };
  if (input instanceof Request && body === undefined) return { bytes: new Uint8Array(await input.arrayBuffer()) };
  const request = new Request(urlOf({ input, init }), initOf({ input, init }));
  return { bytes: new Uint8Array(await request.arrayBuffer()), type: request.headers.get('content-type') ?? undefined };
}

const urlOf = ({ input }: Sent): string => (input instanceof Request ? input.url : String(input));
const signalOf = ({ input, init }: Sent): AbortSignal | undefined =>
  init?.signal ?? (input instanceof Request ? input.signal : undefined);

/**
 * A call's body, which is UTF-8, as `fetch` takes it: as text, for Node 20 cannot send bytes again to where a redirect leads. Not where that would add a
 * content type.
 */
const sendable = (body: Uint8Array, headers: Headers): Body =>
  headers.has('content-type') ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(body) : (body as Body);

/** What to send with a body that may have another length than the caller's. */
function initOf({ input, init, type }: Sent): RequestInit & { readonly headers: Headers } {
  const from = input instanceof Request ? input : undefined;
  const headers = new Headers(init?.headers ?? from?.headers);
  headers.delete('content-length');
  if (type !== undefined && !headers.has('content-type')) headers.set('content-type', type);
  return {
    ...init,
    ...(from && {
      method: init?.method ?? from.method,
      signal: init?.signal ?? from.signal,
      redirect: init?.redirect ?? from.redirect,
    }),
    headers,
  };
}

/** The answer to a call that was not let through, as its provider would have given it. */
function refused(api: ProviderApi, error: HeadgateError): Response {
  const found = problemOf(error);
  const refusal = refusalOf(found);
  const limits = error instanceof RateLimitExceeded ? [...error.violations, ...error.passed] : [];
  const headers = {
    ...found.headers,
    ...rateLimitHeaders(limits),
    ...waitHeaders(refusal),
    'Content-Type': 'application/json',
    'x-headgate-code': error.code,
    ...api.refusalHeaders?.(refusal),
  };
  return new Response(JSON.stringify(api.refusalBody(refusal)), { status: found.status, headers });
}
