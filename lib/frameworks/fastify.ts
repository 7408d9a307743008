/** The public names of `headgate/fastify`. */
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { InvalidArgument } from '../errors.js';
import type { Lease } from '../lease.js';
import { type LimitedRequestOptions, RequestLimits } from './limited-request.js';
import { askFor } from './node-response.js';

export type { DeniedAnswer, DeniedRequest, LimitedRequestOptions, PerRequest } from './limited-request.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** What the request was admitted with. Undefined where it was not limited. */
    lease: Lease | undefined;
  }
}

const HOOKS = ['onRequest', 'preValidation', 'preHandler'] as const;

export interface FastifyRateLimitOptions extends LimitedRequestOptions<FastifyRequest> {
  /** When requests are let through; `consume` sees a body from `preValidation` on. @default 'onRequest': before the body is read */
  readonly hook?: (typeof HOOKS)[number] | undefined;
}

const plugin: FastifyPluginAsync<FastifyRateLimitOptions> = async (app, options) => {
  const limits = new RequestLimits(options, ['hook']);
  const { hook = 'onRequest' } = options;
  if (!HOOKS.includes(hook)) throw new InvalidArgument({ field: 'hook', value: hook, expected: `one of ${HOOKS.join(', ')}` });
  if (!app.hasRequestDecorator('lease')) app.decorateRequest('lease', undefined);
  app.addHook(hook, async (request: FastifyRequest, reply: FastifyReply) => {
    const passage = await askFor(limits, request, reply.raw);
    if (passage.kind === 'left') return reply.hijack();
    if (passage.kind === 'denied') {
      const { status, headers, body } = passage.answer;
      // A string would be given a charset, which this type of content has not.
      return reply
        .code(status)
        .headers(headers)
        .send(Buffer.from(JSON.stringify(body)));
    }
    if (passage.kind === 'admitted') {
      request.lease = passage.admitted.lease;
      reply.headers(passage.admitted.headers);
    }
    return undefined;
  });
};

/**
 * A plugin that lets requests through, one by one, of every route that comes after it where it is registered: `request.lease` is what each was
 * admitted with. Errors that are not Headgate's go to the error handler. Registration rejects with `InvalidArgument` for wrong options.
 */
export const rateLimit: FastifyPluginAsync<FastifyRateLimitOptions> = Object.assign(plugin, {
  // Its hook and decorator belong to who registers it.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'headgate',
});
