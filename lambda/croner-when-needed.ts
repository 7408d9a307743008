import { createRequire } from 'node:module';
import type * as Croner from 'croner';

let croner: typeof Croner | undefined;

/**
 * Stands for croner in the authorizer's bundle, where it would be a tenth of what every cold start loads, for the sake of limits that have a
 * schedule. The first of those loads it from the file beside the bundle, and at once: arithmetic does not wait.
 */
export const Cron = new Proxy(Object as unknown as typeof Croner.Cron, {
  construct(_, given: ConstructorParameters<typeof Croner.Cron>) {
    croner ??= createRequire(import.meta.url)('./croner.cjs') as typeof Croner;
    return new croner.Cron(...given);
  },
});
