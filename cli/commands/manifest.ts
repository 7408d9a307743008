import type { Command } from 'commander';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { openManifest } from '../../lib/manifest/open-manifest.js';
import { type Problem, problemText } from '../../lib/manifest/problem.js';
import { type Answer, lines } from '../answer.js';
import type { Execute } from '../execute.js';
import { EXIT } from '../exit-codes.js';

/** `headgate limits validate`: what a manifest says, and what is wrong with it. */
export function addManifestCommands(limits: Command, execute: Execute): void {
  withFile(limits.command('validate').description('whether a manifest is right, and all that is wrong with it; asks no database'))
    .addHelpText('after', '\nExample:\n  $ headgate limits validate -f headgate.yaml')
    .action((_options: unknown, command: Command) => {
      const { file } = command.opts<{ readonly file: string }>();
      return execute(command, async (): Promise<Answer> => {
        const read = openManifest(file);
        return 'problems' in read ? problemsAnswer(read.problems) : summary(file, read.manifest);
      });
    });
}

/** Adds the option that names the manifest. */
export function withFile(command: Command): Command {
  return command.option('-f, --file <path>', 'the manifest', 'headgate.yaml');
}

/** What every command answers whose manifest has problems: each on a line, and the exit code of wrong use. */
export const problemsAnswer = (problems: readonly Problem[]): Answer => ({
  json: { problems },
  shown: [lines(...problems.map((problem) => ({ text: problemText(problem), tone: 'bad' as const })))],
  exitCode: EXIT.usage,
});

function summary(file: string, { namespace, settings, entities }: Manifest): Answer {
  const limits = settings.reduce((sum, setting) => sum + setting.limits.length, 0);
  const counts = [counted(settings.length, 'scope'), counted(limits, 'limit'), counted(entities.length, 'entity', 'entities')];
  const where = namespace === undefined ? '' : ` for namespace ${namespace}`;
  return {
    json: { file, namespace, scopes: settings.length, limits, entities: entities.length, problems: [] },
    shown: [lines({ text: `${file} is right: ${counts.join(', ')}${where}.`, tone: 'good' })],
  };
}

const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
