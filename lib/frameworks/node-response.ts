import type { ServerResponse } from 'node:http';
import type { Passage, RequestLimits } from './limited-request.js';

/** What of a response says when it has ended; that of HTTP/2 has it too. */
export type EndingResponse = Pick<ServerResponse, 'once' | 'off' | 'destroyed' | 'statusCode'>;

/**
 * Asks for a request that is answered by `response`, whose end then ends what was let through: sent in full, broken off, or left by its client.
 * A client that leaves before the decision is not answered, and not charged.
 */
export async function askFor<Request>(
  limits: RequestLimits<Request>,
  request: Request,
  response: EndingResponse,
): Promise<Passage | { readonly kind: 'left' }> {
  const left = new AbortController();
  const leave = () => left.abort();
  response.once('close', leave);
  if (response.destroyed) leave();
  try {
    const passage = await limits.ask(request, left.signal);
    if (passage.kind === 'admitted')
      for (const event of ['finish', 'close']) response.once(event, () => void passage.admitted.end(response.statusCode));
    return passage;
  } catch (error) {
    if (left.signal.aborted) return { kind: 'left' };
    throw error;
  } finally {
    response.off('close', leave);
  }
}
