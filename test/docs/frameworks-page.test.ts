import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** What the page says that the application has. */
const APPLICATION = `
declare function tenantOf(authorization: string | undefined): Promise<string | undefined>;
declare function callLlm(body: unknown): Promise<{ readonly text: string; readonly tokens: number }>;
export const applications = [tenantOf, callLlm];
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-frameworks-page-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('docs/frameworks.md', () => {
  it('has an example of each framework that compiles against its types', { timeout: 60_000 }, async () => {
    const page = await readFile(join(ROOT, 'docs/frameworks.md'), 'utf8');
    const examples = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
    expect(examples.map((text) => /headgate\/(\w+)/.exec(text)?.[1])).toEqual(['hono', 'express', 'fastify', 'middy']);

    const files = await Promise.all(
      examples.map(async (text, index) => {
        await writeFile(join(folder, `example-${index}.ts`), text + APPLICATION);
        return `example-${index}.ts`;
      }),
    );
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const paths = { headgate: [join(ROOT, 'lib/index.ts')], 'headgate/*': [join(ROOT, 'lib/frameworks/*.ts')] };
    const compilerOptions = { noEmit: true, rootDir: '/', paths };
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), compilerOptions, files, include: [], exclude: [] }),
    );
    const compiled = await promisify(execFile)(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder]).catch((error) => error);

    expect(compiled.stdout).toBe('');
  });
});
