import type { Command } from 'commander';
import { InvalidArgument } from '../../lib/errors.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { ManifestAdmin } from '../../lib/manifest/manifest-admin.js';
import { openManifest } from '../../lib/manifest/open-manifest.js';
import { type Problem, problemText } from '../../lib/manifest/problem.js';
import { type Answer, lines } from '../answer.js';
import type { Connection } from '../connection.js';
import type { Execute } from '../execute.js';
import { EXIT } from '../exit-codes.js';

/** `headgate limits validate`: what a manifest says, and what is wrong with it. */
export function addValidateCommand(limits: Command, execute: Execute): void {
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

export const adminOf = ({ client, tableName, actor }: Connection, namespace: string): ManifestAdmin =>
  new ManifestAdmin({ client, tableName, namespace, actor });

/** The manifest's namespace, unless the command or the environment names another one: then nothing may happen in either. */
export function namespaceOf(command: Command, named: string | undefined): string {
  const { namespace } = command.optsWithGlobals<{ readonly namespace: string }>();
  const isDefault = command.getOptionValueSourceWithGlobals('namespace') === 'default';
  if (named === undefined) return namespace;
  if (named !== namespace && !isDefault)
    throw new InvalidArgument({
      field: '--namespace',
      value: namespace,
      expected: `left out, or ${named}, as the manifest says`,
    });
  return named;
}

/** How much a manifest says, as a number of each and in words. */
export function extentOf({ settings, entities }: Manifest) {
  const limits = settings.reduce((sum, setting) => sum + setting.limits.length, 0);
  const counts = [counted(settings.length, 'scope'), counted(limits, 'limit'), counted(entities.length, 'entity', 'entities')];
  return { json: { scopes: settings.length, limits, entities: entities.length }, text: counts.join(', ') };
}

const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

function summary(file: string, manifest: Manifest): Answer {
  const { namespace } = manifest;
  const { json, text } = extentOf(manifest);
  const where = namespace === undefined ? '' : ` for namespace ${namespace}`;
  return {
    json: { file, namespace, ...json, problems: [] },
    shown: [lines({ text: `${file} is right: ${text}${where}.`, tone: 'good' })],
  };
}
