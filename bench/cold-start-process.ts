/** Loads one bundle and calls its handler once, with a request that needs no database: all that stands between a cold start and its first call. */
import { pathToFileURL } from 'node:url';
import { childArguments, report } from './inside-child.js';

export interface ColdStartArguments {
  readonly bundle: string;
}

const { bundle } = childArguments<ColdStartArguments>();
const event = { type: 'REQUEST', methodArn: 'arn:aws:execute-api:us-east-1:1:a/prod/GET/x', headers: {}, pathParameters: null };
const startMs = performance.now();
const { handler } = (await import(pathToFileURL(bundle).href)) as { readonly handler: (event: unknown) => Promise<unknown> };
// A request without a key: the authorizer refuses it once it is set up.
await handler(event).catch((error: unknown) => {
  if (!(error instanceof Error && error.message === 'Unauthorized')) throw error;
});
report(performance.now() - startMs);
