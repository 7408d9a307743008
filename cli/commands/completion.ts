import { Argument, type Command } from 'commander';
import { candidates, completionScript, SHELLS, type Shell } from '../completion.js';
import type { Terminal } from '../execute.js';

/** `headgate completion`: the script that makes a shell complete commands and options. */
export function addCompletion(root: Command, terminal: Terminal): void {
  root
    .command('completion')
    .description('the script that makes a shell complete commands and options')
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .addHelpText(
      'after',
      '\nExamples:\n  $ source <(headgate completion bash)\n  $ headgate completion fish > ~/.config/fish/completions/headgate.fish',
    )
    .action((shell: Shell) => {
      terminal.out(completionScript(shell));
    });

  root
    .command('_complete', { hidden: true })
    .argument('[words...]')
    .action((words: string[]) => {
      terminal.out(
        candidates(root, words)
          .map((word) => `${word}\n`)
          .join(''),
      );
    });
}
