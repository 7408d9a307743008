import { ChangeConflict } from '../errors.js';
import { pause } from './answering-store.js';

export const ATTEMPTS = 8;

/**
 * Changes what is stored by what `attempt` reads and writes, anew as long as others change the same in between. Undefined from `attempt`: it came
 * too late. Throws `ChangeConflict` after eight attempts. `subject`: what is changed, for that error.
 */
export async function attempted<T>(subject: string, attempt: () => Promise<T | undefined>): Promise<T> {
  for (let count = 1; count <= ATTEMPTS; count += 1) {
    const done = await attempt();
    if (done !== undefined) return done;
    await pause(count);
  }
  throw new ChangeConflict(subject, ATTEMPTS);
}
