import { type LimitedFetchOptions, limitedFetch } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import type { RateLimiter } from '../../lib/limiter.js';
import type { TestBed } from '../support/stores.js';
import { ProviderAccount } from './provider-account.js';

export const MODEL = 'gpt-4o';
/** What the account holds, too. */
export const LIMITS = [Limit.perMinute('rpm', 600), Limit.perMinute('tpm', 60_000)];

/** A call whose headers have come. */
export interface Begun {
  readonly status: number;
  /** Ends its answer, and waits until it is settled. */
  readonly end: () => Promise<void>;
}

/** A process that calls the provider. */
export interface Client {
  readonly limiter: RateLimiter;
  /** A call that reserves 100 tokens and uses so many. */
  readonly begin: (used: number) => Promise<Begun>;
  readonly call: (used: number) => Promise<number>;
}

/** An account at a provider that counts what a call uses when it comes, or turns it away, and the clients of the entity `acme`, whose limits are a copy of it. */
export async function onAccount(bed: TestBed, limits: readonly Limit[] = LIMITS) {
  await bed.admin().setLimits({ entity: 'acme', resource: MODEL }, limits);
  const account = new ProviderAccount(bed.clock, { requests: 600, tokens: 60_000 });
  const ends = new Map<string, () => void>();
  const warnings: string[] = [];
  let calls = 0;

  const upstream: typeof fetch = async (_input, init) => {
    const { user } = JSON.parse(init?.body as string) as { user: string };
    const used = Number(user.split(':')[1]);
    const isTurnedAway = account.left.tokens < used;
    account.use(isTurnedAway ? 0 : used);
    const headers = { 'content-type': 'application/json', ...account.headers() };
    if (isTurnedAway) return new Response('{"error":{}}', { status: 429, headers });
    const usage = { prompt_tokens: 2, completion_tokens: used - 2, total_tokens: used };
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        ends.set(user, () => {
          controller.enqueue(new TextEncoder().encode(JSON.stringify({ usage })));
          controller.close();
        });
      },
    });
    return new Response(body, { headers });
  };

  const client = (options: Partial<LimitedFetchOptions> = {}): Client => {
    const limiter = bed.limiter({ cacheTtlMs: 0 });
    const onWarning = ({ message }: Error) => warnings.push(message);
    const send = limitedFetch({ limiter, entity: 'acme', feedback: 'acme', clock: bed.clock, upstream, onWarning, ...options });
    const begin = async (used: number): Promise<Begun> => {
      calls += 1;
      const user = `${calls}:${used}`;
      const body = { model: MODEL, messages: [{ role: 'user', content: 'Hello?!!' }], max_tokens: 98, user };
      const answer = await send('http://provider/v1/chat/completions', { method: 'POST', body: JSON.stringify(body) });
      const { status } = answer;
      return {
        status,
        async end() {
          ends.get(user)?.();
          await answer.text();
        },
      };
    };
    const call = async (used: number): Promise<number> => {
      const begun = await begin(used);
      await begun.end();
      return begun.status;
    };
    return { limiter, begin, call };
  };
  const left = (entity = 'acme') => bed.limiter({ cacheTtlMs: 0 }).available({ entity, resource: MODEL });
  return { account, warnings, client, left };
}
