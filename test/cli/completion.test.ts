import { execFileSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;

beforeAll(async () => {
  cli = await BuiltCli.build();
  const program = join(cli.folder, 'headgate');
  await writeFile(program, `#!/bin/sh\nexec ${process.execPath} ${cli.script} "$@"\n`);
  await chmod(program, 0o755);
});
afterAll(() => cli.remove());

/** What bash offers after these words, the last of which is being typed. */
function offered(...words: readonly string[]): readonly string[] {
  const script = `source <(headgate completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _headgate; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, PATH: `${cli.folder}:${process.env.PATH}` };
  return execFileSync('bash', ['-c', script, 'bash', ...words], { env, encoding: 'utf8' })
    .split('\n')
    .filter(Boolean);
}

describe('completion in bash', () => {
  it.each([
    { words: ['headgate', 'li'], offers: ['limits'] },
    { words: ['headgate', 'entity', ''], offers: ['create', 'get', 'update', 'delete', 'children', 'list'] },
    { words: ['headgate', '--table', 'entity', 'key', ''], offers: ['create', 'list', 'rotate', 'expire', 'revoke'] },
    { words: ['headgate', 'usage', 'key-1', '--by', ''], offers: ['hour', 'day', 'month'] },
    { words: ['headgate', 'usage', 'key-1', '--f'], offers: ['--from', '--format'] },
    { words: ['headgate', 'usage', '--en'], offers: ['--endpoint'] },
    { words: ['headgate', 'usage', '--from', ''], offers: [] },
  ])('offers $offers after $words', ({ words, offers }) => {
    expect(offered(...words)).toEqual(offers);
  });

  it('has a script for zsh and fish, and no other', async () => {
    expect((await cli.run(['completion', 'zsh'])).stdout).toContain('compdef _headgate headgate');
    expect((await cli.run(['completion', 'fish'])).stdout).toContain('complete -c headgate');
    expect(await cli.run(['completion', 'tcsh'])).toMatchObject({ code: 2, stdout: '' });
  });
});
