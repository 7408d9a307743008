import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Limit } from '../../lib/core/limit.js';
import { createTestTable } from '../support/dynamodb.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await BuiltCli.build();
  env = { HEADGATE_TABLE: await createTestTable(), HEADGATE_NAMESPACE: 'limits' };
});
afterAll(() => cli.remove());

const headgate = (...args: readonly string[]) => cli.run(args, env);

describe('headgate limits', () => {
  it('stores, shows, explains and deletes what a scope is given', async () => {
    expect(
      await headgate('limits', 'set', '--tier', 'free', 'rpm=20/minute', 'tpm=1000/minute,burst=50', '--priority', 'low'),
    ).toEqual({
      code: 0,
      stdout: 'Stored for tier free. Limiters apply it within a minute.\n',
      stderr: '',
    });
    expect((await headgate('limits', 'set', '--system', 'rpm=60/minute', '--default-tier', 'free')).code).toBe(0);
    expect(await headgate('limits', 'get', '--tier', 'free')).toEqual({
      code: 0,
      stdout: 'limit\tcounts\nrpm=20/minute\trequests\ntpm=1000/minute,burst=50\ttokens\nfield\tvalue\npriority\tlow\n',
      stderr: '',
    });
    const explained = await headgate('limits', 'explain', 'anybody', 'gpt-4o');
    expect(explained.stdout).toContain('The limits of its tier apply to anybody: none are stored for');
    expect(explained.stdout).toContain('tier\trpm=20/minute tpm=1000/minute,burst=50\tpriority="low"\tyes\n');
    expect(explained.stdout).toContain('system\trpm=60/minute\tdefaultTier="free"\tno\n');
    expect(await headgate('limits', 'delete', '--tier', 'free')).toEqual({
      code: 0,
      stdout: 'Deleted for tier free.\n',
      stderr: '',
    });
    expect(await headgate('limits', 'get', '--tier', 'free')).toEqual({
      code: 4,
      stdout: '',
      stderr: 'headgate: Nothing is stored for tier free\n',
    });
  });

  it('stores what inherits, and explains where each limit comes from', async () => {
    await headgate('limits', 'set', '--resource', 'shared', 'rpm=60/minute', 'tpm=1000/minute', '--shards', '4');
    expect((await headgate('limits', 'set', '--entity', 'big', 'tpm=9000/minute', '--inherit')).code).toBe(0);
    expect((await headgate('limits', 'get', '--entity', 'big')).stdout).toBe(
      'limit\tcounts\ntpm=9000/minute\ttokens\nfield\tvalue\ninherit\ttrue\n',
    );
    const explained = (await headgate('limits', 'explain', 'big', 'shared')).stdout;
    expect(explained).toContain('The limits of the entity apply to big, with those of the resource inherited: none are stored');
    expect(explained).toContain('limit\tfrom\ntpm=9000/minute\tentity\nrpm=60/minute\tresource\n');
    expect(explained).toContain('entity\ttpm=9000/minute\tinherit=true\tyes\n');
    expect(explained).toContain('resource\trpm=60/minute tpm=1000/minute\tshards=4\tyes\n');
    const [own] = JSON.parse((await headgate('limits', 'explain', 'big', 'shared', '--json')).stdout).levels;
    expect(own.limits.map(({ limit, from }: { limit: Limit; from: string }) => [limit.name, from])).toEqual([
      ['tpm', 'entity'],
      ['rpm', 'resource'],
    ]);
    expect(own.options).toEqual({ shards: 4 });
  });

  it('stores scheduled limits, and shows every form with its times and the one in force', async () => {
    const text = 'tpm=100/minute,burst=500; x3 at * * 31 2 * Europe/Paris; 20/second at * * * * *';
    const refused = await headgate('limits', 'set', '--resource', 'clocked', text);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('schedule[0].cron to be a time that comes') });

    const set = await headgate('limits', 'set', '--resource', 'clocked', text.replace('31 2', '29 2'), 'rpm=9/minute', '--json');
    expect(JSON.parse(set.stdout).limits[0].schedule).toEqual([
      { cron: '* * 29 2 *', timeZone: 'Europe/Paris', scale: 3 },
      { cron: '* * * * *', capacity: 20, refillAmount: 20, refillPeriodMs: 1_000 },
    ]);
    const forms =
      'form\tchange\tcron\ttimeZone\tinForce\n' +
      'tpm=300/minute,burst=1500\tx3\t* * 29 2 *\tEurope/Paris\tno\n' +
      'tpm=20/second\t20/second\t* * * * *\tUTC\tyes\n' +
      'tpm=100/minute,burst=500\t-\totherwise\t-\tno\n';
    expect((await headgate('limits', 'get', '--resource', 'clocked')).stdout).toBe(
      `limit\tcounts\ntpm=100/minute,burst=500\ttokens\nrpm=9/minute\trequests\n${forms}`,
    );
    expect(JSON.parse((await headgate('limits', 'get', '--resource', 'clocked', '--json')).stdout).limits).toEqual(
      JSON.parse(set.stdout).limits,
    );
    const explained = (await headgate('limits', 'explain', 'anyone', 'clocked')).stdout;
    expect(explained).toContain(forms);
    expect(explained).toContain(
      'resource\t[tpm=100/minute,burst=500; x3 at * * 29 2 * Europe/Paris; 20/second at * * * * *] rpm=9/minute\t',
    );
    expect((await headgate('status', 'anyone', 'clocked')).stdout).toBe(
      'entity\tlimit\tavailable\tcapacity\tdebt\tqueueMs\tresetMs\tform\n' +
        `anyone\ttpm\t20\t20\t0\t0\t0\t20/second at * * * * *\nanyone\trpm\t9\t9\t0\t0\t0\t-\n`,
    );
    expect(JSON.parse((await headgate('status', 'anyone', 'clocked', '--json')).stdout).limits[0].form).toEqual({
      entry: { cron: '* * * * *', capacity: 20, refillAmount: 20, refillPeriodMs: 1_000 },
      until: null,
    });
    expect((await headgate('available', 'anyone', 'clocked')).stdout).toBe(
      `limit\tavailable\tform\ntpm\t20\t20/second at * * * * *\nrpm\t9\t-\n`,
    );
  });

  it('answers in JSON that a program reads, errors too', async () => {
    const set = await headgate(
      'limits',
      'set',
      '--entity',
      'acme',
      '--resource',
      'gpt-4o',
      'usd=5/calendar-day',
      '--json',
      '--no-disabled',
    );
    expect(JSON.parse(set.stdout)).toEqual({
      scope: { entity: 'acme', resource: 'gpt-4o' },
      limits: [{ kind: 'quota', name: 'usd', capacity: 5, per: 'day', timeZone: 'UTC', counts: 'microUsd' }],
      options: { disabled: false },
    });
    const missing = await headgate('--json', 'limits', 'get', '--resource', 'nothing');
    expect(missing).toEqual({
      code: 4,
      stdout: '',
      stderr: '{"code":"NotFound","message":"Nothing is stored for resource nothing"}\n',
    });
  });

  it('refuses in JSON as well what is no command, and what is none of its options', async () => {
    const refused = (message: string) => ({
      code: 2,
      stdout: '',
      stderr: `${JSON.stringify({ code: 'InvalidArgument', message })}\n`,
    });
    expect(await headgate('--json', 'limits', 'sett')).toEqual(refused("unknown command 'sett'\n(Did you mean set?)"));
    expect(await headgate('limits', 'get', '--sytem', '--json')).toEqual(
      refused("unknown option '--sytem'\n(Did you mean --system?)"),
    );
  });

  it('draws columns and colours where it is told to, and plain tabs where its output is read by a program', async () => {
    await headgate('limits', 'set', '--resource', 'colours', 'rpm=1/minute');
    const drawn = await cli.run(['limits', 'get', '--resource', 'colours'], { ...env, FORCE_COLOR: '1' });
    expect(drawn.stdout).toContain('\u001b[1mlimit\u001b[22m');
    expect(drawn.stdout).not.toContain('\t');
    expect(drawn.stdout).not.toContain('\u2502');
    const plain = await headgate('limits', 'get', '--resource', 'colours');
    expect(plain.stdout).toBe('limit\tcounts\nrpm=1/minute\trequests\n');
  });

  it.each([
    {
      when: 'no scope is named',
      args: ['limits', 'get'],
      stderr:
        'headgate: Expected scope to be --system, --resource, --tier, --entity, or --resource with one of the last two, got undefined\n',
    },
    {
      when: 'the scopes exclude each other',
      args: ['limits', 'get', '--tier', 'a', '--entity', 'b'],
      stderr: /^headgate: Expected scope to be \{ system: true \}.*\n$/,
    },
    {
      when: 'there is no such command',
      args: ['limit', 'get'],
      stderr: "headgate: unknown command 'limit'\n(Did you mean limits?)\n",
    },
    {
      when: 'there is no such option',
      args: ['limits', 'get', '--sytem'],
      stderr: "headgate: unknown option '--sytem'\n(Did you mean --system?)\n",
    },
    {
      when: 'a limit is none',
      args: ['limits', 'set', '--system', 'rpm'],
      stderr: /^headgate: Expected limit to be NAME=AMOUNT\/PERIOD.* got "rpm"\n$/,
    },
    {
      when: 'shards are no number',
      args: ['limits', 'set', '--system', 'rpm=1/day', '--shards', 'x'],
      stderr: 'headgate: Expected shards to be an integer from 1 to 64, got "x"\n',
    },
    {
      when: 'shares have no form',
      args: ['limits', 'set', '--system', 'rpm=1/day', '--priorities', 'low'],
      stderr: 'headgate: Expected --priorities to be PRIORITY=SHARE,…, such as low=0.5,normal=0.9, got "low"\n',
    },
    {
      when: 'the endpoint is no URL',
      args: ['limits', 'get', '--system', '--endpoint', 'local'],
      stderr: 'headgate: Expected --endpoint to be a URL, such as http://127.0.0.1:8000, got "local"\n',
    },
    {
      when: 'the table does not exist',
      args: ['limits', 'get', '--system', '--table', 'other'],
      stderr: /^headgate: Expected tableName to be a table that exists in us-east-1 .*, got "other"\n$/,
    },
  ])('ends with code 2 and one sentence, without a stack, when $when', async ({ args, stderr }) => {
    const ended = await headgate(...args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 2, stdout: '' });
    if (typeof stderr === 'string') expect(ended.stderr).toBe(stderr);
    else expect(ended.stderr).toMatch(stderr);
  });

  it('ends with code 1 when nobody answers at the endpoint', async () => {
    const ended = await headgate('limits', 'get', '--system', '--endpoint', 'http://127.0.0.1:1');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/^headgate: The table could not be asked: no answer from DynamoDB .*\n$/);
    const unmade = await headgate('create-table', '--endpoint', 'http://127.0.0.1:1', '--json');
    expect(unmade).toMatchObject({ code: 1, stdout: '' });
    expect(JSON.parse(unmade.stderr)).toEqual({
      code: 'LimiterUnavailable',
      message: expect.stringMatching(/^The table could not be made: no answer from DynamoDB .*ECONNREFUSED/),
    });
  });

  it('tells its version, its options with the variables they are read from, and what its exit codes mean', async () => {
    expect(await headgate('--version')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    const help = await headgate('--help');
    expect(help.code).toBe(0);
    for (const text of ['HEADGATE_TABLE', 'HEADGATE_NAMESPACE', 'AWS_ENDPOINT_URL_DYNAMODB', '--json', 'Exit codes: 0 done'])
      expect(help.stdout).toContain(text);
    expect(help.stdout).not.toContain('_complete');
    expect((await headgate('limits', 'set', '--help')).stdout).toContain('--table <name>');
  });
});
