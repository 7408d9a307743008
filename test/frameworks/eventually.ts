import { vi } from 'vitest';

/** Resolves when `check` passes: what happens after an answer has no other sign. A busy machine takes its time. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 20_000, interval: 10 });
}
