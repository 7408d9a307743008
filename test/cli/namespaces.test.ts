import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestTable } from '../support/dynamodb.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await BuiltCli.build();
  env = { HEADGATE_TABLE: await createTestTable(), HEADGATE_ACTOR: 'ada' };
});
afterAll(() => cli.remove());

const headgate = (...args: readonly string[]) => cli.run(args, env);

describe('headgate namespace', () => {
  it('registers, lists and shows namespaces', async () => {
    const created = await headgate('namespace', 'register', 'acme', '--title', 'Acme', '--metadata', '{"seats":5}', '--json');
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(created.stdout)).toMatchObject({
      namespace: 'acme',
      title: 'Acme',
      metadata: { seats: 5 },
      registeredBy: 'ada',
    });
    expect((await headgate('namespace', 'register', 'other')).code).toBe(0);
    expect((await headgate('namespace', 'list')).stdout).toMatch(
      /^namespace\tstate\tregisteredAt\tregisteredBy\ttitle\nacme\tregistered\t[^\t]+Z\tada\tAcme\nother\tregistered\t[^\t]+Z\tada\t-\n$/,
    );
    expect(JSON.parse((await headgate('namespace', 'list', '--after', 'acme', '--limit', '1', '--json')).stdout)).toHaveLength(1);
    expect((await headgate('namespace', 'get', 'acme')).stdout).toContain('title\tAcme\n');
    expect(await headgate('namespace', 'get', 'none')).toMatchObject({
      code: 4,
      stderr: 'headgate: Namespace "none" is not registered\n',
    });
    expect(await headgate('namespace', 'register', 'acme')).toMatchObject({
      code: 5,
      stderr: 'headgate: Expected namespace "acme" to be new: it is registered already and was not changed\n',
    });
  });

  it('purges one after it was told to, tells how far it has come, and leaves the other', async () => {
    for (const name of ['acme', 'acme-2'])
      expect((await headgate('entity', 'create', 'key-1', '--namespace', name)).code).toBe(0);

    expect(await headgate('namespace', 'purge', 'acme')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'headgate: Expected --yes to be given where nobody can be asked, got undefined\n',
    });
    expect((await headgate('entity', 'list', '--namespace', 'acme')).stdout).toBe('entity\nkey-1\n');

    const purged = await headgate('namespace', 'purge', 'acme', '--yes');
    expect(purged).toMatchObject({
      code: 0,
      stdout: 'Purged acme: 2 items deleted; its history stays until it expires.\n',
      stderr: expect.stringMatching(
        /^Purging acme: pass 2 of 2, \d+ items looked at, 1 deleted\n(.*\n)*Purging acme: pass 2 of 2, \d+ items looked at, 2 deleted\n$/,
      ),
    });
    expect((await headgate('entity', 'list', '--namespace', 'acme')).stdout).toBe('entity\n');
    expect((await headgate('entity', 'list', '--namespace', 'acme-2')).stdout).toBe('entity\nkey-1\n');
    expect((await headgate('namespace', 'get', 'acme')).code).toBe(4);
    const whole = await headgate('namespace', 'purge', 'acme', '--include-audit', '--yes', '--json');
    expect(whole).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(whole.stdout)).toMatchObject({ namespace: 'acme', includeAudit: true, deleted: 1, startedBy: 'ada' });
  });
});
