import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestTable } from '../support/dynamodb.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await BuiltCli.build();
  env = { HEADGATE_TABLE: await createTestTable() };
});
afterAll(() => cli.remove());

const headgate = (...args: readonly string[]) => cli.run(args, env);
const answered = async (...args: readonly string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await headgate(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
};

describe('headgate entity', () => {
  it('creates, changes, moves and deletes entities, and lists them', async () => {
    await answered('entity', 'create', 'acme');
    await answered('entity', 'create', 'other');
    expect(
      await answered('entity', 'create', 'team', '--parent', 'acme', '--tier', 'pro', '--metadata', '{"seats":5}'),
    ).toMatchObject({
      entity: 'team',
      parent: 'acme',
      cascade: true,
      ancestors: ['acme'],
      tier: 'pro',
      metadata: { seats: 5 },
    });
    expect((await headgate('entity', 'children', 'acme')).stdout).toBe('entity\nteam\n');
    const moved = await answered('entity', 'update', 'team', '--parent', 'other', '--no-tier', '--no-cascade', '--name', 'Team');
    expect(moved).toMatchObject({ parent: 'other', cascade: false, name: 'Team', metadata: { seats: 5 } });
    expect(moved).not.toHaveProperty('tier');
    expect((await headgate('entity', 'get', 'team')).stdout).toMatch(/^field\tvalue\nentity\tteam\n/);
    expect(await answered('entity', 'list')).toHaveLength(3);
    expect(await answered('entity', 'list', '--limit', '1')).toHaveLength(1);
    expect(await headgate('entity', 'delete', 'other')).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(/^headgate: Expected entity "other" to have no children: it has 1 and was not deleted\./),
    });
    expect(await answered('entity', 'delete', 'other', '--recursive')).toEqual({ entity: 'other' });
    expect(await answered('entity', 'list')).toEqual(['acme']);
  });

  it('refuses what is there already with code 5, what is not there with 4, and what is none with 2', async () => {
    await answered('entity', 'create', 'twice');
    expect(await headgate('entity', 'create', 'twice')).toEqual({
      code: 5,
      stdout: '',
      stderr: 'headgate: Expected entity "twice" to be new: it exists already and was not changed\n',
    });
    expect(await headgate('entity', 'get', 'nobody')).toEqual({
      code: 4,
      stdout: '',
      stderr: 'headgate: There is no record of entity "nobody"\n',
    });
    expect(await headgate('entity', 'create', 'x', '--metadata', '{')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'headgate: Expected --metadata to be a JSON object, such as {"seats":5}, got "{"\n',
    });
  });

  it('shows what would move a terminal’s cursor as an escape', async () => {
    await answered('entity', 'create', 'sly', '--name', 'a\u001b[2Jb\tc');
    expect((await headgate('entity', 'get', 'sly')).stdout).toContain('name\ta\\u001b[2Jb\\u0009c\n');
  });
});

describe('headgate key', () => {
  it('shows a secret once, lists keys without it, and revokes them', async () => {
    const created = (await answered('key', 'create', 'acme', '--expires-at', '2999-01-01')) as { secret: string; keyId: string };
    expect(created.secret).toMatch(/^hg_[\w-]{43}$/);
    expect(created.keyId).toMatch(/^[\da-f]{18}$/);
    const listed = await headgate('key', 'list', 'acme');
    expect(listed.stdout).toContain(`${created.keyId}\t${created.secret.slice(0, 7)}…\tactive\t`);
    expect(listed.stdout).not.toContain(created.secret);
    expect(await headgate('key', 'revoke', 'acme', created.keyId)).toMatchObject({ code: 0, stderr: '' });
    expect((await headgate('key', 'list', 'acme')).stdout).toContain('\trevoked\t');
    expect((await headgate('key', 'revoke', 'acme', 'none')).code).toBe(2);
    expect((await headgate('key', 'create', 'acme', '--expires-at', '1999-01-01')).stderr).toContain('in the future');
  });

  it('puts a new key in the place of one, and lets keys expire', async () => {
    const old = (await answered('key', 'create', 'rotating')) as { keyId: string };
    const rotated = await headgate('key', 'rotate', 'rotating', old.keyId, '--overlap', '7d');
    expect(rotated).toMatchObject({ code: 0, stderr: '' });
    expect(rotated.stdout).toMatch(/\nsecret\thg_[\w-]{43}\n/);
    expect(rotated.stdout).toMatch(new RegExp(`\nKey ${old.keyId} works until \\d{4}-[^ ]+Z\\.\n`));
    expect(await headgate('key', 'rotate', 'rotating', old.keyId)).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(/key [\da-f]{18} replaces it\. Nothing was changed\n$/),
    });
    const next = (await answered('key', 'list', 'rotating')) as { keyId: string; replaces?: string }[];
    const { keyId } = next.find(({ replaces }) => replaces === old.keyId)!;
    expect(await answered('key', 'expire', 'rotating', keyId, '--in', '90m')).toMatchObject({ keyId, state: 'active' });
    expect(await answered('key', 'rotate', 'rotating', keyId, '--overlap', '0s')).toMatchObject({
      replaces: keyId,
      replaced: { state: 'revoked' },
    });
    expect((await headgate('key', 'expire', 'rotating', keyId, '--in', '1m')).code).toBe(5);
    expect((await headgate('key', 'expire', 'rotating', keyId)).stderr).toContain('given, or --in, and not both');
    expect((await headgate('key', 'rotate', 'rotating', keyId, '--overlap', 'soon')).stderr).toContain('--overlap');
  });
});
