import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let file: string;

beforeAll(async () => {
  cli = await BuiltCli.build();
  file = join(cli.folder, 'headgate.yaml');
});
afterAll(() => cli.remove());

/** Runs it against no database at all. */
const headgate = (...args: readonly string[]) => cli.run(args, { AWS_ENDPOINT_URL_DYNAMODB: 'http://127.0.0.1:1' });

describe('headgate limits validate', () => {
  it('counts what a right manifest has, without a database', async () => {
    await writeFile(
      join(cli.folder, 'base.yaml'),
      'version: 1\nresources: { gpt-4o: { limits: { rpm: 1/minute, rpd: 2/day } } }\n',
    );
    await writeFile(file, 'version: 1\nnamespace: acme\nextends: ./base.yaml\nentities: { x: }\n');
    expect(await headgate('limits', 'validate', '-f', file)).toEqual({
      code: 0,
      stdout: `${file} is right: 1 scope, 2 limits, 1 entity for namespace acme.\n`,
      stderr: '',
    });
    expect(JSON.parse((await headgate('limits', 'validate', '--json', '-f', file)).stdout)).toEqual({
      file,
      namespace: 'acme',
      scopes: 1,
      limits: 2,
      entities: 1,
      problems: [],
    });
  });

  it('tells each problem on a line and ends with exit code 2', async () => {
    await writeFile(file, 'version: 1\nsystem:\n  limit: { rpm: 60 }\n  shards: 0\n');
    expect(await headgate('limits', 'validate', '-f', file)).toEqual({
      code: 2,
      stdout: `${file}:3:3  system.limit  Unknown field. Did you mean limits?\n${file}:4:11  system.shards  Expected at least 1, got 0\n`,
      stderr: '',
    });
    const json = await headgate('limits', 'validate', '--json', '-f', file);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toEqual({
      problems: [
        { file, line: 3, column: 3, path: 'system.limit', message: 'Unknown field. Did you mean limits?' },
        { file, line: 4, column: 11, path: 'system.shards', message: 'Expected at least 1, got 0' },
      ],
    });
  });

  it('tells a file that it cannot read as a problem', async () => {
    expect(await headgate('limits', 'validate', '-f', 'nowhere.yaml')).toEqual({
      code: 2,
      stdout: 'nowhere.yaml:1:1  Expected a file that can be read (ENOENT)\n',
      stderr: '',
    });
  });
});
