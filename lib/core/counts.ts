/** What one unit of a limit stands for, so that a gateway knows what to consume and what to settle. */
export type Counts = 'requests' | 'tokens' | 'inputTokens' | 'outputTokens' | 'microUsd' | 'inFlight' | 'custom';

export const COUNTS: readonly Counts[] = ['requests', 'tokens', 'inputTokens', 'outputTokens', 'microUsd', 'inFlight', 'custom'];

/** What a conventional name counts: `rps rpm rph rpd` requests, `tps tpm tph tpd` tokens, `itpm`, `otpm`, `usd…`, `inflight`. */
export function inferCounts(name: string): Counts {
  if (/^rp[smhd]$/.test(name)) return 'requests';
  if (/^tp[smhd]$/.test(name)) return 'tokens';
  if (name === 'itpm') return 'inputTokens';
  if (name === 'otpm') return 'outputTokens';
  if (name.startsWith('usd')) return 'microUsd';
  if (name === 'inflight') return 'inFlight';
  return 'custom';
}
