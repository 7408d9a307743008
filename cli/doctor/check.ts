/** What `doctor` looks at, one after the other, and what it says of each. */
import type { Connection } from '../connection.js';

export interface Finding {
  readonly check: string;
  /** 'warning': Headgate works, but not as well as it could. 'skipped': it could not be looked at. */
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly found: string;
  /** What to do about it: a command where there is one. Absent where nothing need be done. */
  readonly remedy?: string;
}

/** Looks at one thing, or at several that one call tells. Never rejects for a fault it looks for. */
export type Check = (connection: Connection) => Promise<readonly Finding[]>;

export const ok = (check: string, found: string): Finding => ({ check, state: 'ok', found });
export const failed = (check: string, found: string, remedy: string): Finding => ({ check, state: 'failed', found, remedy });
export const warning = (check: string, found: string, remedy: string): Finding => ({ check, state: 'warning', found, remedy });
export const skipped = (check: string, found: string): Finding => ({ check, state: 'skipped', found });

/** The message of an error; Node gives a refused connection to several addresses none. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || (error as NodeJS.ErrnoException).code || error.name;
}
