import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestTable } from '../support/dynamodb.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let table: string;
let namespaces = 0;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await BuiltCli.build();
  table = await createTestTable();
});
afterAll(() => cli.remove());
beforeEach(() => {
  namespaces += 1;
  env = { HEADGATE_TABLE: table, HEADGATE_NAMESPACE: `manifests-${namespaces}`, HEADGATE_ACTOR: 'ada' };
});

const headgate = (...args: readonly string[]) => cli.run(args, env);

/** Writes a manifest; its path. */
async function manifest(text: string): Promise<string> {
  const path = join(cli.folder, 'headgate.yaml');
  await writeFile(path, `version: 1\n${text}`);
  return path;
}

const FIRST =
  'system: { limits: { rpm: 60/minute } }\ntiers: { pro: { limits: { rpm: 100/minute } } }\nentities: { acme: { tier: pro } }\n';
const SECOND = 'system: { limits: { rpm: 30/minute } }\n';

const WRONG = `version: 1
system:
  limit: { rpm: 60/minute }
resources:
  a: { disabled: yes }
  a: { bypass: true }
  b:
    limits:
      rpm: { amount: 5, per: minute, schedule: [{ cron: "* 24 * * *", scale: 2 }] }
      rpd: 7/calendar-day,timeZone=Europe/Pari
tiers:
  free: { limits: { rpm: 1/minute } }
entities:
  acme: { tier: fre }
  acme: { tier: free }
  one: { parent: two }
  two: { parent: one }
  three: { parent: for }
`;

describe('headgate limits plan, apply and drift', () => {
  it('show what changes, change it, and say so when something was changed by hand', async () => {
    const file = await manifest(FIRST);

    expect(await headgate('limits', 'plan', '-f', file)).toEqual({
      code: 0,
      stdout:
        '+ the system\n    rpm=60/minute\n+ tier pro\n    rpm=100/minute\n+ entity acme\n    tier: pro\n\n' +
        'Plan: 3 to create, 0 to change, 0 to remove; 0 unchanged.\n',
      stderr: '',
    });
    expect((await headgate('limits', 'plan', '-f', file, '--exit-code')).code).toBe(7);
    const applied = await headgate('limits', 'apply', '-f', file, '--yes');
    expect(applied).toMatchObject({ code: 0, stderr: '' });
    expect(applied.stdout.split('\n').slice(-3)).toEqual([
      'Plan: 3 to create, 0 to change, 0 to remove; 0 unchanged.',
      'Applied as revision 1.',
      '',
    ]);
    expect(await headgate('limits', 'plan', '-f', file, '--exit-code')).toEqual({
      code: 0,
      stdout: 'Nothing to change: 3 unchanged.\n',
      stderr: '',
    });
    expect((await headgate('limits', 'drift', '--exit-code')).stdout).toBe('Everything is as it was applied.\n');
    await headgate('limits', 'set', '--tier', 'pro', 'rpm=1/minute', '--actor', 'bob');
    const drift = await headgate('limits', 'drift', '--exit-code');
    expect(drift.code).toBe(7);
    expect(drift.stdout).toMatch(/^what\twas\tby\tat\ntier pro\tchanged\tbob\t20\d\d-[-:.T\d]+Z\n$/);
    expect((await headgate('audit')).stdout).toContain('ada');
  });

  it('remove what left the manifest when told to prune', async () => {
    await headgate('limits', 'apply', '-f', await manifest(FIRST), '--yes');
    const file = await manifest(SECOND);

    expect((await headgate('limits', 'plan', '-f', file)).stdout).toContain(
      'tier pro is no longer in the manifest and stays: --prune removes it\n',
    );
    const applied = await headgate('limits', 'apply', '-f', file, '--prune', '--yes', '--json');

    expect(JSON.parse(applied.stdout)).toEqual({
      applied: true,
      revision: 2,
      create: 0,
      change: 1,
      adopt: 0,
      remove: 2,
      changes: 3,
    });
    expect((await headgate('entity', 'list', '--json')).stdout).toBe('[]\n');
  });

  it('ask before they apply: where nobody can be asked nothing is changed', async () => {
    const file = await manifest(FIRST);

    expect(await headgate('limits', 'apply', '-f', file)).toEqual({
      code: 2,
      stdout: '',
      stderr: 'headgate: Expected --yes to be given where nobody can be asked, got undefined\n',
    });
    expect((await headgate('limits', 'get', '--system')).code).toBe(4);
  });

  it('apply a plan that was kept, unless somebody applied in between: a conflict, and nothing is changed', async () => {
    const path = join(cli.folder, 'plan.json');
    await headgate('limits', 'plan', '-f', await manifest(FIRST), '--out', path);
    await headgate('limits', 'apply', '-f', await manifest(SECOND), '--yes', '--actor', 'bob');

    const late = await headgate('limits', 'apply', '--plan', path, '--yes');

    expect(late).toMatchObject({ code: 5, stderr: '' });
    expect(late.stdout).toMatch(
      /\nConflict: revision 1 was applied by bob at [^ ]+Z, after this was planned\.\nNothing was changed\.\n$/,
    );
    expect((await headgate('limits', 'get', '--tier', 'pro')).code).toBe(4);
    await headgate('limits', 'plan', '-f', await manifest(FIRST), '--out', path);
    expect((await headgate('limits', 'apply', '--plan', path, '--yes')).code).toBe(0);
  });

  it('refuse a plan that is none, and one with more said beside it', async () => {
    const path = join(cli.folder, 'bad.json');
    await writeFile(path, 'steps');

    expect(await headgate('limits', 'apply', '--plan', path, '--yes')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'headgate: Expected plan to be as it was planned: the JSON of a plan, got "steps"\n',
    });
    expect(await headgate('limits', 'apply', '--plan', path, '--prune', '--yes')).toEqual({
      code: 2,
      stdout: '',
      stderr: "headgate: option '--plan <path>' cannot be used with option '--prune'\n",
    });
  });

  it('use the manifest’s namespace, and refuse another one', async () => {
    const file = await manifest(`namespace: acme\n${SECOND}`);

    expect(await headgate('limits', 'plan', '-f', file)).toMatchObject({ code: 2, stdout: '' });
    env = { HEADGATE_TABLE: table };
    expect((await headgate('limits', 'apply', '-f', file, '--yes')).code).toBe(0);
    expect((await headgate('limits', 'get', '--system', '--namespace', 'acme')).stdout).toContain('rpm=30/minute');
  });

  it('tell all that is wrong with a manifest, each with its place, and change nothing', async () => {
    const path = join(cli.folder, 'headgate.yaml');
    await writeFile(path, WRONG);

    const ended = await headgate('limits', 'apply', '-f', path, '--yes');

    expect(ended).toMatchObject({ code: 2, stderr: '' });
    expect(ended.stdout.replaceAll(path, 'f').split('\n')).toEqual([
      'f:3:3  system.limit  Unknown field. Did you mean limits?',
      'f:5:18  resources.a.disabled  Expected true or false, got "yes"',
      'f:6:3  resources.a  Expected each key once: this one came before',
      'f:9:57  resources.b.limits.rpm.schedule[0].cron  Expected five fields: minute 0-59, hour 0-23, day of the month 1-31, month 1-12, day of the week 0-7, such as "* 9-17 * * 1-5", got "* 24 * * *"',
      'f:10:12  resources.b.limits.rpd  Expected timeZone to be an IANA time zone such as Europe/Paris, got "Europe/Pari"',
      'f:14:17  entities.acme.tier  Expected a tier of this manifest (free), got "fre". Did you mean free?',
      'f:15:3  entities.acme  Expected each key once: this one came before',
      'f:16:18  entities.one.parent  Expected an entity that is not below one itself: one → two → one',
      'f:18:20  entities.three.parent  Expected an entity with a record in this manifest (acme, one, two, three), got "for"',
      '',
    ]);
    expect(JSON.parse((await headgate('limits', 'export', '--json')).stdout)).toEqual({
      version: 1,
      namespace: env.HEADGATE_NAMESPACE,
    });
  });

  it('show progress line by line where no terminal watches', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `  r-${index}: { limits: { rpm: 1/minute } }\n`);

    const ended = await headgate('limits', 'apply', '-f', await manifest(`resources:\n${names.join('')}`), '--yes');

    expect(ended.stderr.split('\n')[0]).toMatch(/^Applying: \d+ of 100 steps$/);
    expect(ended.stderr.split('\n').at(-2)).toBe('Applying: 100 of 100 steps');
  });
});
