/** What a shell offers when its user presses Tab, and the scripts that make shells ask for it. */
import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What the last word may become, given all words after `headgate`: commands, options, or the values of an option that has a list of them. */
export function candidates(root: Command, words: readonly string[]): readonly string[] {
  const last = words.at(-1) ?? '';
  let command = root;
  let before: Option | undefined;
  for (const word of words.slice(0, -1)) {
    const option = optionsOf(command).find((each) => each.long === word);
    const isValue = before !== undefined && takesValue(before);
    before = option;
    if (option === undefined && !isValue) command = command.commands.find((each) => each.name() === word) ?? command;
  }
  if (before !== undefined && takesValue(before)) return starting(before.argChoices ?? [], last);
  if (last.startsWith('-'))
    return starting(
      optionsOf(command).flatMap(({ long }) => long ?? []),
      last,
    );
  const visible = command.commands.filter((each) => !each.name().startsWith('_'));
  return starting(
    visible.map((each) => each.name()),
    last,
  );
}

const takesValue = ({ required, optional }: Option): boolean => required || optional;

const starting = (words: readonly string[], start: string): readonly string[] => words.filter((word) => word.startsWith(start));

/** A command's options, and those that every command takes. */
function optionsOf(command: Command): readonly Option[] {
  const own = command.createHelp().visibleOptions(command);
  return command.parent === null
    ? own
    : [...own, ...optionsOf(rootOf(command)).filter(({ long }) => long !== '--version' && long !== '--help')];
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

/** The script of a shell: each asks `headgate _complete` with the words so far. */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case 'bash':
      return `_headgate() {
  local IFS=$'\\n'
  COMPREPLY=($(headgate _complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _headgate headgate
`;
    case 'zsh':
      return `#compdef headgate
_headgate() {
  compadd -- \${(f)"$(headgate _complete -- "\${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)"}
}
compdef _headgate headgate
`;
    case 'fish':
      return `complete -c headgate -f -a '(headgate _complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`;
  }
}
