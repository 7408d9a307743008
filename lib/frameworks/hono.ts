/** The public names of `headgate/hono`. */
import type { Context, Env, MiddlewareHandler } from 'hono';
import type { Lease } from '../lease.js';
import { type AdmittedRequest, type LimitedRequestOptions, type Passage, RequestLimits } from './limited-request.js';

export type { DeniedAnswer, DeniedRequest, LimitedRequestOptions, PerRequest } from './limited-request.js';

declare module 'hono' {
  interface ContextVariableMap {
    /** What the request was admitted with. Undefined where it was not limited. */
    lease: Lease | undefined;
  }
}

/** Nobody reads it: the client has closed the request. */
const CLIENT_CLOSED_REQUEST = 499;
const SWITCHING_PROTOCOLS = 101;

/**
 * A middleware that lets requests through, one by one: `c.get('lease')` is what each was admitted with. Errors that are not Headgate's go to `onError`.
 * Slots are free again when the answer's body was read to its end, or is cancelled. Throws `InvalidArgument` for wrong options.
 */
// biome-ignore lint/suspicious/noExplicitAny: the environment of any application
export function rateLimit<E extends Env = any>(options: LimitedRequestOptions<Context<E>>): MiddlewareHandler<E> {
  const limits = new RequestLimits(options);
  return async (c, next) => {
    const { signal, method } = c.req.raw;
    let passage: Passage;
    try {
      passage = await limits.ask(c, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      return new Response(null, { status: CLIENT_CLOSED_REQUEST });
    }
    if (passage.kind === 'denied') {
      const { status, headers, body } = passage.answer;
      return new Response(JSON.stringify(body), { status, headers });
    }
    if (passage.kind === 'skipped') return next();
    const { admitted } = passage;
    c.set('lease', admitted.lease);
    try {
      await next();
    } catch (error) {
      await admitted.end(500);
      throw error;
    }
    // A client that left made the work fail: that gives it nothing back.
    const status = signal.aborted ? CLIENT_CLOSED_REQUEST : c.res.status;
    const { body } = c.res;
    if (body !== null && admitted.holdsSlots && status < 500 && !signal.aborted && method !== 'HEAD') {
      answer(c, endingWith(body, admitted, status, signal), admitted.headers);
    } else {
      answer(c, body, admitted.headers);
      await admitted.end(status);
    }
    return undefined;
  };
}

/** Makes the answer one with another body, and with headers where it has none of that name. One that is a connection by now stays as it is. */
function answer(c: Context, body: ReadableStream<Uint8Array> | null, more: Readonly<Record<string, string>>): void {
  const { status, statusText } = c.res;
  if (status === SWITCHING_PROTOCOLS) return;
  const headers = new Headers(c.res.headers);
  for (const [name, value] of Object.entries(more)) if (!headers.has(name)) headers.set(name, value);
  c.res = new Response(body, { status, statusText, headers });
}

/** The body, whose end, break or cancellation ends what was let through, before whoever reads it is told. */
function endingWith(
  body: ReadableStream<Uint8Array>,
  admitted: AdmittedRequest,
  status: number,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const ended = (): Promise<void> => {
    signal.removeEventListener('abort', ended);
    return admitted.end(status);
  };
  signal.addEventListener('abort', ended);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const read = await reader.read().catch(async (error: unknown) => {
          await ended();
          throw error;
        });
        if (!read.done) return controller.enqueue(read.value);
        await ended();
        controller.close();
      },
      async cancel(reason) {
        await Promise.all([ended(), reader.cancel(reason)]);
      },
    },
    { highWaterMark: 0 },
  );
}
