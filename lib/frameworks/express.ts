/** The public names of `headgate/express`. */
import type { Request, RequestHandler, Response } from 'express';
import type { Lease } from '../lease.js';
import { type LimitedRequestOptions, type Passage, RequestLimits } from './limited-request.js';
import { askFor } from './node-response.js';

export type { DeniedAnswer, DeniedRequest, LimitedRequestOptions, PerRequest } from './limited-request.js';

declare global {
  namespace Express {
    interface Request {
      /** What the request was admitted with. Undefined where it was not limited. */
      lease?: Lease | undefined;
    }
  }
}

/**
 * A middleware that lets requests through, one by one: `req.lease` is what each was admitted with. Errors that are not Headgate's go to `next`.
 * For Express 4 and 5. Throws `InvalidArgument` for wrong options.
 */
export function rateLimit(options: LimitedRequestOptions<Request>): RequestHandler {
  const limits = new RequestLimits(options);
  return async (request, response, next) => {
    let passage: Passage | { readonly kind: 'left' };
    try {
      passage = await askFor(limits, request, response);
    } catch (error) {
      return next(error);
    }
    if (passage.kind === 'left') return;
    if (passage.kind === 'denied') return answer(response, passage);
    if (passage.kind === 'admitted') {
      request.lease = passage.admitted.lease;
      response.set(passage.admitted.headers);
    }
    next();
  };
}

function answer(response: Response, { answer: { status, headers, body } }: Passage & { readonly kind: 'denied' }): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.end(JSON.stringify(body));
}
