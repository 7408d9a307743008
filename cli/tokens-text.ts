import { InvalidArgument } from '../lib/errors.js';
import type { Tokens } from '../lib/lease.js';

/** The tokens that words such as `rpm=1 tpm=500` stand for. Throws `InvalidArgument` for a word of another form, or a limit named twice. */
export function parseTokens(words: readonly string[], field: string): Tokens {
  const tokens = new Map<string, number>();
  for (const word of words) {
    const [, name, amount] = /^([^=]+)=(\d+)$/.exec(word) ?? [];
    if (name === undefined) throw new InvalidArgument({ field, value: word, expected: 'LIMIT=TOKENS, such as tpm=500' });
    if (tokens.has(name)) throw new InvalidArgument({ field, value: word, expected: 'each limit once' });
    tokens.set(name, Number(amount));
  }
  return Object.fromEntries(tokens);
}

/** `rpm=1 tpm=500`. */
export const tokensText = (tokens: Tokens): string =>
  Object.entries(tokens)
    .map(([limit, amount]) => `${limit}=${amount}`)
    .join(' ');
