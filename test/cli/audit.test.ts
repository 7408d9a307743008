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
const done = async (...args: readonly string[]) => {
  const { code, stdout, stderr } = await headgate(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
};

describe('headgate audit', () => {
  it('tells who changed what, from what and to what, the latest first, and pages on', async () => {
    await done('limits', 'set', '--tier', 'pro', '--resource', 'gpt-4o', 'rpm=60/minute');
    await done('limits', 'set', '--tier', 'pro', '--resource', 'gpt-4o', 'rpm=10/minute', '--disabled', '--actor', 'bob');
    await done('entity', 'create', 'acme', '--tier', 'pro');
    const created = JSON.parse(await done('key', 'create', 'acme', '--json')) as { keyId: string; secret: string };

    const text = await done('audit');
    const [head, ...rows] = text
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'));
    expect(head).toEqual(['at', 'by', 'did', 'to', 'change']);
    expect(rows.map(([, by, did, to]) => [by, did, to])).toEqual([
      ['ada', 'key.create', `key ${created.keyId} of acme`],
      ['ada', 'entity.create', 'entity acme'],
      ['bob', 'limits.set', 'tier pro on gpt-4o'],
      ['ada', 'limits.set', 'tier pro on gpt-4o'],
    ]);
    expect(rows[2]![4]).toBe('limits rpm=60/minute -> rpm=10/minute; disabled none -> true');
    expect(rows[3]![4]).toBe('limits rpm=60/minute');
    expect(text).not.toContain(created.secret);

    expect((await done('audit', '--by', 'bob')).split('\n')).toHaveLength(3);
    expect((await done('audit', '--entity', 'acme')).split('\n')).toHaveLength(4);
    const page = await done('audit', '--limit', '3');
    const id = /More with --after (\S+)\n$/.exec(page)?.[1] ?? '';
    const { records } = JSON.parse(await done('audit', '--after', id, '--json')) as { records: { actor: string; to: unknown }[] };
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ actor: 'ada', action: 'limits.set', target: { tier: 'pro', resource: 'gpt-4o' } });
  });

  it('tells what was done to buckets by hand', async () => {
    const of = ['--namespace', 'operators'];
    await done('limits', 'set', '--system', 'rpd=60/calendar-day', 'tpd=1000/calendar-day', ...of);
    await done('top-up', 'key-1', 'gpt-4o', 'rpd=5', 'tpd=100', ...of);
    await done('reset', 'key-1', 'gpt-4o', '--actor', 'bob', ...of);

    const rows = (await done('audit', '--entity', 'key-1', ...of)).trimEnd().split('\n').slice(1);
    expect(rows.map((row) => row.split('\t').slice(1))).toEqual([
      ['bob', 'bucket.reset', 'entity key-1 on gpt-4o', ''],
      ['ada', 'bucket.topUp', 'entity key-1 on gpt-4o', 'tokens rpd=5 tpd=100'],
    ]);
  });

  it('names whoever runs it where nobody else is named', async () => {
    const alone = { ...env, HEADGATE_ACTOR: '', HEADGATE_NAMESPACE: 'alone' };
    expect(await cli.run(['limits', 'set', '--system', 'rpm=60/minute'], alone)).toMatchObject({ code: 0 });
    const { stdout } = await cli.run(['audit'], alone);
    expect(stdout.split('\n')[1]!.split('\t')[1]).toMatch(/^.+@.+$/);
  });

  it('refuses what is none', async () => {
    expect(await headgate('audit', '--from', 'yesterday')).toMatchObject({ code: 2, stderr: expect.stringContaining('from') });
    expect(await headgate('audit', '--limit', 'many')).toMatchObject({ code: 2, stderr: expect.stringContaining('1 to 10000') });
  });
});
