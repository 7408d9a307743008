import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseLimitText } from '../../lib/config/limit-text.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

let page: string;
let folder: string;
beforeAll(async () => {
  page = await readFile(join(ROOT, 'docs/limits.md'), 'utf8');
  folder = await mkdtemp(join(tmpdir(), 'headgate-limits-page-'));
});
afterAll(() => rm(folder, { recursive: true }));

const blocks = (language: string): readonly string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text);

/** What a line says that it gives: `expression; // value`. */
const CLAIM = /^(?!const |let |import )(.+); \/\/ ([[{'\d-].*|true|false)$/;

/** All examples as one module, which notes what each claimed line really gave. */
function module(): { readonly text: string; readonly claimed: readonly string[] } {
  const claimed: string[] = [];
  const lines = blocks('ts')
    .flatMap((block) => block.split('\n'))
    .map((line) => {
      const [, expression, value] = CLAIM.exec(line) ?? [];
      if (expression === undefined || value === undefined) return line;
      claimed.push(line);
      return `given.push([${expression}, ${value}]);`;
    });
  return { text: `export const given: unknown[][] = [];\n${lines.join('\n')}\n`, claimed };
}

describe('docs/limits.md', () => {
  it('has examples that compile, and give what stands behind them', { timeout: 60_000 }, async () => {
    const { text, claimed } = module();
    expect(claimed.length).toBeGreaterThanOrEqual(20);
    const file = join(folder, 'page.ts');
    await writeFile(file, text);
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    const options = { noEmit: true, rootDir: '/', typeRoots: [join(ROOT, 'node_modules/@types')], noUnusedLocals: false };
    const paths = { headgate: [join(ROOT, 'lib/index.ts')] };
    const config = { extends: join(ROOT, 'tsconfig.json'), compilerOptions: { ...options, paths }, include: ['page.ts'] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const compiled = await promisify(execFile)(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder]).catch((error) => error);
    expect(compiled.stdout).toBe('');

    const outfile = join(folder, 'page.mjs');
    await build({
      entryPoints: [file],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      alias: { headgate: join(ROOT, 'lib/index.ts') },
      mainFields: ['module', 'main'],
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    });
    const { given } = (await import(pathToFileURL(outfile).href)) as { readonly given: readonly (readonly [unknown, unknown])[] };
    expect(given.map(([found], index) => ({ line: claimed[index], gives: found }))).toEqual(
      given.map(([, value], index) => ({ line: claimed[index], gives: value })),
    );
  });

  it('has a manifest that is right, and says what the command beside it says', () => {
    const [yaml = ''] = blocks('yaml');
    const read = readManifest(yaml, { file: 'page' });
    const [, written = ''] = /limits set --resource gpt-4o '(.*)'/.exec(blocks('sh').join()) ?? [];

    expect(read).toMatchObject({
      manifest: { settings: [{ scope: { resource: 'gpt-4o' }, limits: [parseLimitText(written)] }] },
    });
  });
});
