import type { Command } from 'commander';
import { limitText } from '../../lib/config/limit-text.js';
import { scopeText } from '../../lib/config/scope-limits.js';
import { presetHead, presetNames, presetText } from '../../lib/manifest/presets.js';
import { suggestion } from '../../lib/manifest/problem.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';
import { type Answer, fields, table } from '../answer.js';
import type { Execute } from '../execute.js';
import { NotFound } from '../exit-codes.js';
import { problemsAnswer } from './manifest.js';

/** `headgate presets`: the manifests that come with the package. */
export function addPresetCommands(root: Command, execute: Execute): void {
  const presets = root.command('presets').description('what providers publish for their usage tiers, for a manifest to extend');

  presets
    .command('list')
    .description('the presets there are, and when their figures were read; asks no database')
    .addHelpText('after', '\nExample:\n  $ headgate presets list')
    .action((_options: unknown, command: Command) =>
      execute(command, async (): Promise<Answer> => {
        const all = presetNames().map((name) => ({ name, ...presetHead(presetText(name) ?? '') }));
        return {
          json: all,
          shown: [
            table(
              ['preset', 'what', 'read'],
              all.map(({ name, title = '-', date = '-' }) => [name, title, date]),
            ),
          ],
        };
      }),
    );

  presets
    .command('show <preset>')
    .description('the limits and prices of a preset, and where they are from; asks no database')
    .addHelpText('after', '\nExample:\n  $ headgate presets show openai/tier-1')
    .action((name: string, _options: unknown, command: Command) =>
      execute(command, async (): Promise<Answer> => {
        const text = presetText(name);
        if (text === undefined) throw new NotFound(`There is no preset ${name}.${suggestion(name, presetNames())}`);
        return shown(name, text);
      }),
    );
}

function shown(name: string, text: string): Answer {
  const read = readManifest(text, { file: `preset ${name}` });
  if ('problems' in read) return problemsAnswer(read.problems);
  const { title, urls, date } = presetHead(text);
  const { settings } = read.manifest;
  return {
    json: { name, title, urls, date, settings },
    shown: [
      fields({ preset: name, what: title, source: urls.join(' '), read: date }),
      table(
        ['scope', 'limits', 'input', 'cached input', 'cache write', 'output'],
        settings.map(({ scope, limits, options: { prices } }) => [
          scopeText(scope),
          limits.map(limitText).join(' ') || '-',
          dollars(prices?.input),
          dollars(prices?.cachedInput ?? prices?.input),
          dollars(prices?.cacheWrite ?? prices?.input),
          dollars(prices?.output),
        ]),
      ),
    ],
  };
}

/** A price of a million tokens. */
const dollars = (price: number | undefined): string => (price === undefined ? '-' : `$${price}`);
