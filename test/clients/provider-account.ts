import { type Clock, nowMs } from '../../lib/clock.js';

/**
 * An account at a provider with a limit of requests and one of tokens, both of a minute, which it keeps by itself: whatever uses it, its headers tell
 * what is left after each call, rounded down.
 */
export class ProviderAccount {
  readonly #clock: Clock;
  readonly #left: { requests: number; tokens: number };
  #atMs: number;

  constructor(
    clock: Clock,
    readonly capacity: { readonly requests: number; readonly tokens: number },
  ) {
    this.#clock = clock;
    this.#left = { ...capacity };
    this.#atMs = nowMs(clock);
  }

  get left(): { readonly requests: number; readonly tokens: number } {
    const now = nowMs(this.#clock);
    for (const part of ['requests', 'tokens'] as const)
      this.#left[part] = Math.min(this.capacity[part], this.#left[part] + ((now - this.#atMs) * this.capacity[part]) / 60_000);
    this.#atMs = now;
    return { requests: Math.floor(this.#left.requests), tokens: Math.floor(this.#left.tokens) };
  }

  /** A call of anybody who has the key. Negative: it is given back. */
  use(tokens: number, requests = 1): void {
    void this.left;
    this.#left.tokens -= tokens;
    this.#left.requests -= requests;
  }

  /** As OpenAI writes them. */
  headers(): Readonly<Record<string, string>> {
    const { requests, tokens } = this.left;
    return {
      'x-ratelimit-limit-requests': String(this.capacity.requests),
      'x-ratelimit-limit-tokens': String(this.capacity.tokens),
      'x-ratelimit-remaining-requests': String(Math.max(0, requests)),
      'x-ratelimit-remaining-tokens': String(Math.max(0, tokens)),
    };
  }
}
