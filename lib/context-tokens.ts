import type { Level, Resolved } from './config/resolution.js';
import { ContextTooLong } from './errors.js';
import { type Tokens, tokensOf } from './lease.js';

/**
 * Checks that a call is no longer than the tiers of its entity and of those above it allow. `contextTokens` undefined: what the request consumes of
 * limits that count tokens, or input and output tokens together, whichever is more. Throws `ContextTooLong`.
 */
export function checkContext(
  { contexts, levels }: Resolved,
  {
    resource,
    consume,
    contextTokens,
  }: { readonly resource: string; readonly consume: Tokens; readonly contextTokens?: number | undefined },
): void {
  if (contexts.length === 0) return;
  const tokens = contextTokens ?? consumedTokens(levels, consume);
  for (const context of contexts) {
    if (tokens > context.maxContextTokens) throw new ContextTooLong({ ...context, resource, contextTokens: tokens });
  }
}

function consumedTokens(levels: readonly Level[], consume: Tokens): number {
  const most = (counted: string): number => {
    const costs = levels.flatMap(({ limits }) =>
      limits.filter(({ counts }) => counts === counted).map(({ name }) => tokensOf(consume, name) ?? 0),
    );
    return Math.max(0, ...costs);
  };
  return Math.max(most('tokens'), most('inputTokens') + most('outputTokens'));
}
