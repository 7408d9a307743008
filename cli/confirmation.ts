import { InvalidArgument } from '../lib/errors.js';
import { Interrupted } from './exit-codes.js';

/**
 * Asks whether to go on, on a terminal; `--yes` answers for whoever cannot be asked. Throws `Interrupted` when the answer is no, and `InvalidArgument`
 * when there is nobody to ask.
 */
export async function confirmed(question: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new InvalidArgument({ field: '--yes', value: undefined, expected: 'given where nobody can be asked' });
  // Loaded where it is needed: most commands ask nothing.
  const { default: confirm } = await import('@inquirer/confirm');
  const answer = await confirm({ message: question, default: false }, { output: process.stderr }).catch(() => false);
  if (!answer) throw new Interrupted('Nothing was changed.');
}
