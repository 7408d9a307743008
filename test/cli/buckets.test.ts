import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Limit, RateLimiter } from '../../lib/index.js';
import { createStreamedTable, testClient } from '../support/dynamodb.js';
import { countUsage } from '../usage/count-usage.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await BuiltCli.build();
  env = { HEADGATE_TABLE: await createStreamedTable() };
  await headgate('limits', 'set', '--system', 'rpd=2/calendar-day', 'tpd=1000/calendar-day');
});
afterAll(() => cli.remove());

const headgate = (...args: readonly string[]) => cli.run(args, env);
const HEADER = 'entity\tlimit\trequested\tavailable\tcapacity\tretryAfterMs\n';

describe('headgate acquire', () => {
  it('grants with what is left, and denies with the wait, code 3, and nothing consumed', async () => {
    const on = ['key-1', 'gpt-4o'];
    expect(await headgate('acquire', ...on, 'rpd=1', 'tpd=400')).toEqual({
      code: 0,
      stdout: `Granted.\n${HEADER}key-1\trpd\t1\t1\t2\t0\nkey-1\ttpd\t400\t600\t1000\t0\n`,
      stderr: '',
    });
    expect((await headgate('acquire', ...on, 'rpd=1', 'tpd=100', '--settle', 'tpd=300')).stdout).toContain(
      'Granted, settled to rpd=1 tpd=300.\n',
    );
    const denied = await headgate('acquire', ...on, 'rpd=1');
    expect(denied).toMatchObject({ code: 3, stderr: '' });
    expect(denied.stdout).toMatch(/^Denied, retry after \d+ ms\. Nothing was consumed\.\n/);
    expect(denied.stdout).toMatch(/key-1\trpd\t1\t0\t2\t[1-9]\d*\n/);
    expect((await headgate('available', ...on)).stdout).toBe('limit\tavailable\nrpd\t0\ntpd\t300\n');
  });

  it('gives back what it is told to release, and takes limits with the request', async () => {
    const on = ['key-2', 'gpt-4o'];
    const released = await headgate('acquire', ...on, 'rpd=2', '--release', '--json');
    expect(JSON.parse(released.stdout)).toMatchObject({ granted: true, lease: { entity: 'key-2', charged: { rpd: 0, tpd: 0 } } });
    expect(JSON.parse((await headgate('available', ...on, '--json')).stdout)).toEqual({ rpd: 2, tpd: 1000 });
    expect(await headgate('acquire', 'key-3', 'x', 'own=9', '--limit', 'own=8/calendar-day')).toEqual({
      code: 3,
      stdout: '',
      stderr: 'headgate: Expected the cost of own to be at most the capacity 8 (entity "key-3", resource "x"), got 9\n',
    });
  });

  it('gives up its place in the queue at Ctrl-C', async () => {
    const limiter = new RateLimiter({ deadlineMs: 30_000, client: testClient(), tableName: env.HEADGATE_TABLE });
    const subject = { entity: 'key-6', resource: 'queue', limits: [Limit.perHour('rph', 1)] };
    await limiter.acquire({ ...subject, consume: { rph: 1 } });
    const waiting = cli.start(['acquire', 'key-6', 'queue', 'rph=1', '--max-wait-ms', '86400000', '--limit', 'rph=1/hour'], env);
    await vi.waitFor(async () => expect(await limiter.available(subject)).toEqual({ rph: -1 }), {
      timeout: 20_000,
      interval: 50,
    });
    waiting.signal('SIGINT');
    expect(await waiting.ended).toEqual({
      code: 3,
      stdout: '',
      stderr: 'headgate: Interrupted: the place in the queue was given up\n',
    });
    expect(await limiter.available(subject)).toEqual({ rph: 0 });
  });

  it.each([
    {
      when: 'tokens have no form',
      args: ['key-1', 'gpt-4o', 'rpd'],
      code: 2,
      stderr: 'headgate: Expected tokens to be LIMIT=TOKENS, such as tpm=500, got "rpd"\n',
    },
    {
      when: 'a limit is named twice',
      args: ['key-1', 'gpt-4o', 'rpd=1', 'rpd=2'],
      code: 2,
      stderr: 'headgate: Expected tokens to be each limit once, got "rpd=2"\n',
    },
    {
      when: 'a limit is unknown',
      args: ['key-1', 'gpt-4o', 'rpm=1'],
      code: 2,
      stderr: 'headgate: Expected consume to name configured limits (rpd, tpd), got "rpm"\n',
    },
    {
      when: 'what would be settled has no form',
      args: ['key-9', 'gpt-4o', 'rpd=1', '--settle', 'tpd'],
      code: 2,
      stderr: 'headgate: Expected --settle to be LIMIT=TOKENS, such as tpm=500, got "tpd"\n',
    },
    {
      when: 'nothing limits the request',
      args: ['key-1', 'gpt-4o', 'rpd=1', '--namespace', 'empty'],
      code: 4,
      stderr: /^headgate: Expected limits for entity "key-1" on resource "gpt-4o"/,
    },
  ])('says what is wrong with code $code when $when', async ({ args, code, stderr }) => {
    const ended = await headgate('acquire', ...args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    if (typeof stderr === 'string') expect(ended.stderr).toBe(stderr);
    else expect(ended.stderr).toMatch(stderr);
  });
});

describe('an operator', () => {
  it('sees where a bucket stands, gives it tokens, and makes it as new', async () => {
    const on = ['key-4', 'gpt-4o'];
    await headgate('acquire', ...on, 'rpd=2', 'tpd=900');
    expect((await headgate('top-up', ...on, 'tpd=400')).stdout).toBe('Topped up key-4 on gpt-4o.\n');
    expect((await headgate('status', ...on)).stdout).toMatch(
      /^entity\tlimit\tavailable\tcapacity\tdebt\tqueueMs\tresetMs\nkey-4\trpd\t0\t2\t0\t0\t\d+\nkey-4\ttpd\t500\t1000\t0\t0\t\d+\n$/,
    );
    expect((await headgate('reset', ...on)).stdout).toBe('The bucket of key-4 on gpt-4o is full.\n');
    expect((await headgate('available', ...on)).stdout).toBe('limit\tavailable\nrpd\t2\ntpd\t1000\n');
  });
});

describe('headgate usage', () => {
  it('tells what was counted as a table, as CSV and as JSON', async () => {
    await headgate('acquire', 'key-5', 'a, "b"', 'rpd=1', 'tpd=7');
    await headgate('acquire', 'key-5', 'gpt-4o', 'rpd=2');
    await countUsage(env.HEADGATE_TABLE ?? '');
    const start = `${new Date().toISOString().slice(0, 10)}T00:00:00.000Z`;

    const usage = await headgate('usage', 'key-5');
    expect(usage).toMatchObject({ code: 0, stderr: '' });
    expect(usage.stdout.split('\n')).toEqual([
      'start\tresource\trequests\tdenied\trpd\ttpd',
      `${start}\ta, "b"\t1\t0\t1\t7`,
      `${start}\tgpt-4o\t1\t0\t2\t`,
      '',
    ]);
    expect((await headgate('usage', 'key-5', '--resource', 'a, "b"', '--format', 'csv')).stdout).toBe(
      `start,resource,requests,denied,rpd,tpd\n${start},"a, ""b""",1,0,1,7\n`,
    );
    const rows = [
      {
        resource: 'a, "b"',
        by: 'month',
        start: expect.stringMatching(/-01T00:00:00.000Z$/),
        consumed: { rpd: 1, tpd: 7 },
        requests: 1,
        denied: 0,
      },
    ];
    const asked = ['usage', 'key-5', '--resource', 'a, "b"', '--by', 'month'];
    expect(JSON.parse((await headgate(...asked, '--format', 'json')).stdout)).toEqual({ rows });
    expect(JSON.parse((await headgate(...asked, '--json')).stdout)).toEqual({ rows });
  });

  it('tells who consumed most of a resource, or of everything, where no entity is named', async () => {
    await headgate('acquire', 'key-6', 'gpt-top', 'rpd=1', 'tpd=900');
    await headgate('acquire', 'key-7', 'gpt-top', 'rpd=1', 'tpd=20');
    await headgate('acquire', 'key-7', 'gpt-top', 'rpd=1', 'tpd=30');
    await headgate('acquire', 'key-7', 'gpt-other', 'rpd=1', 'tpd=1000');
    await countUsage(env.HEADGATE_TABLE ?? '');

    expect((await headgate('usage', '--resource', 'gpt-top')).stdout).toBe(
      'entity\trequests\tdenied\trpd\ttpd\nkey-7\t2\t0\t2\t50\nkey-6\t1\t0\t1\t900\n',
    );
    const most = ['usage', '--top', '1', '--sort', 'tpd'];
    expect((await headgate(...most, '--resource', 'gpt-top', '--by', 'month', '--format', 'csv')).stdout).toBe(
      'entity,requests,denied,rpd,tpd\nkey-6,1,0,1,900\n',
    );
    expect(JSON.parse((await headgate(...most, '--json')).stdout)).toEqual({
      consumers: [{ entity: 'key-7', consumed: { rpd: 3, tpd: 1050 }, requests: 3, denied: 0 }],
    });
    expect(JSON.parse((await headgate(...most, '--format', 'json')).stdout).consumers).toHaveLength(1);
    expect((await headgate('usage', '--top', '--resource', 'unused')).stdout).toBe('entity\trequests\tdenied\n');
  });

  it.each([
    { args: ['--top', 'key-5'], stderr: 'Expected limit to be an integer from 1 to 1000, got "key-5"' },
    { args: ['--top', '0'], stderr: 'Expected limit to be an integer from 1 to 1000, got 0' },
    { args: ['key-5', '--top'], stderr: 'Expected top to be left out: key-5 is the only one asked for, got true' },
    { args: ['key-5', '--sort', 'tpd'], stderr: 'Expected sort to be left out: key-5 is the only one asked for, got "tpd"' },
  ])('refuses $args with code 2', async ({ args, stderr }) => {
    expect(await headgate('usage', ...args)).toEqual({ code: 2, stdout: '', stderr: `headgate: ${stderr}\n` });
  });

  it('refuses periods and times that are none with code 2', async () => {
    expect(await headgate('usage', 'key-5', '--by', 'year')).toEqual({
      code: 2,
      stdout: '',
      stderr: "headgate: option '--by <period>' argument 'year' is invalid. Allowed choices are hour, day, month.\n",
    });
    expect((await headgate('usage', 'key-5', '--from', 'yesterday')).stderr).toMatch(
      /^headgate: Expected from to be a Date or an ISO 8601 string/,
    );
  });
});
