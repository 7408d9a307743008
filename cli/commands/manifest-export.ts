import { existsSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { InvalidArgument } from '../../lib/errors.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { openManifest, updatedManifest } from '../../lib/manifest/open-manifest.js';
import { manifestJson, manifestText } from '../../lib/manifest/write-manifest.js';
import { type Answer, lines } from '../answer.js';
import type { Connection } from '../connection.js';
import type { Execute } from '../execute.js';
import { adminOf, extentOf, namespaceOf, problemsAnswer } from './manifest.js';

/** `headgate limits export`: what is stored, as a manifest. */
export function addExportCommand(limits: Command, execute: Execute): void {
  limits
    .command('export')
    .description('all that is stored in the namespace, as a manifest, managed or not; changes nothing in the table')
    .option('-f, --file <path>', 'change this manifest so that it says what is stored, comments and order kept; or make it')
    .addHelpText('after', EXAMPLES)
    .action((_options: unknown, command: Command) =>
      execute(command, (connection) => {
        const { file } = command.opts<{ readonly file?: string }>();
        return file === undefined ? printed(connection) : written(connection, command, file);
      }),
    );
}

const EXAMPLES = '\nExamples:\n  $ headgate limits export > stored.yaml\n  $ headgate limits export -f headgate.yaml';

async function printed(connection: Connection): Promise<Answer> {
  const manifest = await adminOf(connection, connection.namespace).export();
  const text = manifestText(manifest).replace(/\n$/, '');
  return { json: manifestJson(manifest), shown: [lines(...text.split('\n'))] };
}

async function written(connection: Connection, command: Command, file: string): Promise<Answer> {
  const before = existsSync(file) ? openManifest(file) : undefined;
  if (before !== undefined && 'problems' in before) return problemsAnswer(before.problems);
  const named = before?.manifest.namespace;
  const stored = await adminOf(connection, namespaceOf(command, named)).export();
  if (before === undefined) {
    write(file, manifestText(stored));
    return writtenAnswer(file, 'made', stored);
  }
  // A file that names no namespace is for any.
  const updated = updatedManifest(file, { ...stored, namespace: named });
  if ('problems' in updated) return problemsAnswer(updated.problems);
  if (updated.changed) write(file, updated.text);
  return writtenAnswer(file, updated.changed ? 'changed' : 'unchanged', stored);
}

const SENTENCES = {
  made: 'was made and says what is stored',
  changed: 'now says what is stored',
  unchanged: 'says what is stored, as it did before',
} as const;

function writtenAnswer(file: string, outcome: keyof typeof SENTENCES, stored: Manifest): Answer {
  const { json, text } = extentOf(stored);
  return {
    json: { file, outcome, ...json },
    shown: [lines({ text: `${file} ${SENTENCES[outcome]}: ${text}.`, tone: 'good' })],
  };
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new InvalidArgument({ field: '--file', value: file, expected: 'a file that can be written', cause: error });
  }
}
