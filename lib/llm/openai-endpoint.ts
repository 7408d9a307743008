/** What kind of answer a path gives: text by chat completions (the older completions included) or by the Responses API, or vectors. */
export type OpenAiEndpoint = 'chat' | 'responses' | 'embeddings';

const ENDPOINTS: ReadonlyMap<string, OpenAiEndpoint> = new Map([
  ['completions', 'chat'],
  ['responses', 'responses'],
  ['embeddings', 'embeddings'],
]);

/**
 * The endpoint a provider's path ends in (`/v1/chat/completions`, `deployments/d/embeddings?api-version=1`), undefined for any other.
 * Letter case, empty segments and the query do not matter, since they do not to every provider.
 */
export function endpointOfPath(path: string): OpenAiEndpoint | undefined {
  const [pathname = ''] = path.split(/[?#]/, 1);
  const last = pathname.split('/').findLast((segment) => segment !== '');
  return last === undefined ? undefined : ENDPOINTS.get(last.toLowerCase());
}
