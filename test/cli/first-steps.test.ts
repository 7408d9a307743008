import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { countUsage } from '../usage/count-usage.js';
import { BuiltCli } from './cli-process.js';

const PAGE = new URL('../../docs/first-steps.md', import.meta.url);

interface Step {
  readonly command: string;
  readonly output: string;
}

/** The commands of the page's `console` blocks, each with what it is said to print. */
function steps(page: string): readonly Step[] {
  const blocks = [...page.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
  return blocks
    .flatMap((block) => block.split(/^\$ /m).slice(1))
    .map((step) => {
      const [command = '', ...output] = step.split('\n');
      return { command, output: output.join('\n').trimEnd() };
    });
}

/** The words of a command as a shell reads them, without its substitutions. */
const words = (command: string): readonly string[] =>
  (command.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'|'$/g, ''));

/** Columns are as wide as their widest value: behind a word any run of spaces is as good as another. `…` stands for what differs each time. */
function pattern(output: string): RegExp {
  const escaped = output
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replace(/(?<=\S) {2,}/g, ' +')
    .replaceAll('…', '\\S.*?');
  return new RegExp(`^${escaped}$`);
}

/** What the page shows, each at its first place. */
const WALK = [
  'doctor',
  'echo $?',
  'create-table',
  'limits validate',
  'limits plan',
  'limits apply',
  'limits explain',
  'key',
  'acquire',
  'usage',
  'limits set',
  'limits drift',
  'limits export',
];

let cli: BuiltCli;
let tableName: string;

beforeAll(async () => {
  cli = await BuiltCli.build();
  tableName = `first-steps-${randomUUID()}`;
});
afterAll(() => cli.remove());

describe('docs/first-steps.md', () => {
  it('prints what it says, from an empty database to counted usage', { timeout: 120_000 }, async () => {
    const page = await readFile(PAGE, 'utf8');
    const [, manifest = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(page) ?? [];
    await writeFile(join(cli.folder, 'headgate.yaml'), manifest);
    const all = steps(page);
    expect([...new Set(all.map(({ command }) => /^npx headgate (limits \S+|\S+)/.exec(command)?.[1] ?? command))]).toEqual(WALK);
    let lastCode: number | null = 0;
    for (const { command, output } of all) {
      if (command === 'echo $?') {
        expect(output).toBe(String(lastCode));
        continue;
      }
      const [npx, headgate, ...args] = words(command);
      expect([npx, headgate]).toEqual(['npx', 'headgate']);
      if (args[0] === 'usage') await countUsage(tableName);
      const ended = await cli.run(args, { HEADGATE_TABLE: tableName, FORCE_COLOR: '1' });
      const printed = stripVTControlCharacters(ended.stdout + ended.stderr)
        .trimEnd()
        .replaceAll(tableName, 'headgate');
      expect(printed, command).toMatch(pattern(output));
      lastCode = ended.code;
    }
  });
});
