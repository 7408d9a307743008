import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, PutItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Finding } from '../../cli/doctor/check.js';
import { tableDefinition } from '../../lib/store/table-definition.js';
import { createStreamedTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { BuiltCli, type Ended } from './cli-process.js';

let cli: BuiltCli;
const servers: Server[] = [];

beforeAll(async () => {
  cli = await BuiltCli.build();
});
afterAll(() => cli.remove());
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const doctor = (table: string, env: Record<string, string> = {}) => cli.run(['doctor', '--json', '--table', table], env);

function told({ stdout }: Ended): { readonly healthy: boolean; readonly of: (check: string) => Finding | undefined } {
  const { healthy, checks } = JSON.parse(stdout) as { healthy: boolean; checks: readonly Finding[] };
  return { healthy, of: (check) => checks.find((finding) => finding.check === check) };
}

/** In front of the run's database: refuses some operations as IAM does, and may tell another time. */
async function gate(denied: readonly string[], dateOf = (date: string) => date): Promise<string> {
  const { hostname, port } = new URL(testEndpoint());
  const server = createServer((incoming, answer) => {
    const operation = String(incoming.headers['x-amz-target']).split('.')[1] ?? '';
    if (denied.includes(operation)) {
      const __type = 'com.amazon.coral.service#AccessDeniedException';
      answer.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' });
      answer.end(JSON.stringify({ __type, Message: `User: u is not authorized to perform: dynamodb:${operation}` }));
      return;
    }
    const onwards = request(
      { hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
      (came) => {
        answer.writeHead(came.statusCode ?? 500, { ...came.headers, date: dateOf(new Date().toUTCString()) });
        came.pipe(answer);
      },
    );
    incoming.pipe(onwards);
  });
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('headgate doctor', () => {
  it('finds a table of create-table with limits for the system well, with code 0, and has written nothing', async () => {
    const table = `doctor-${randomUUID()}`;
    expect(await cli.run(['create-table', '--table', table])).toEqual({
      code: 0,
      stdout: `The table ${table} is ready.\n`,
      stderr: '',
    });
    const before = await doctor(table);
    expect(told(before).of('limits')).toMatchObject({ state: 'warning', remedy: 'headgate limits set --system rpm=60/minute' });
    expect(before.code).toBe(0);
    expect((await testClient().send(new ScanCommand({ TableName: table }))).Items).toEqual([]);
    await cli.run(['limits', 'set', '--system', 'rpm=60/minute', '--table', table]);
    const { code, stdout, stderr } = await cli.run(['doctor', '--table', table]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n').map((line) => line.split('\t').slice(0, 2).join(' '))).toEqual([
      'check state',
      'region ok',
      'credentials ok',
      'table ok',
      'stream ok',
      'ttl ok',
      'permissions ok',
      'clock ok',
      'limits ok',
      '',
    ]);
  });

  it('names the command that makes a table where there is none, with code 6', async () => {
    const ended = await cli.run(['doctor', '--table', 'nowhere']);
    expect(ended.code).toBe(6);
    expect(ended.stdout).toContain('table\tfailed\tthere is no table nowhere\n');
    expect(ended.stdout).toContain('What to do:\ntable: headgate create-table --table nowhere, or deploy the stack');
  });

  it('finds a stream and a TTL that are off, and its remedy for TTL works', async () => {
    const table = `doctor-${randomUUID()}`;
    const { StreamSpecification: _, ...definition } = tableDefinition(table);
    await testClient().send(new CreateTableCommand(definition));
    const ended = await doctor(table);
    expect(ended.code).toBe(6);
    expect(told(ended).of('stream')).toMatchObject({
      state: 'failed',
      remedy: expect.stringContaining('aws dynamodb update-table'),
    });
    expect(told(ended).of('ttl')).toMatchObject({
      state: 'failed',
      remedy: expect.stringContaining(`headgate create-table --table ${table}`),
    });
    await cli.run(['create-table', '--table', table]);
    expect(told(await doctor(table)).of('ttl')).toMatchObject({ state: 'ok' });
  });

  it('refuses a table with other keys', async () => {
    const table = `doctor-${randomUUID()}`;
    await testClient().send(
      new CreateTableCommand({
        ...tableDefinition(table),
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      }),
    );
    expect(told(await doctor(table)).of('table')).toMatchObject({
      state: 'failed',
      found: 'its keys are id HASH, not pk HASH, sk RANGE',
    });
  });

  it('names each action that is not allowed, and skips what it may not look at', async () => {
    const table = await createStreamedTable();
    const denied = ['UpdateItem', 'TransactWriteItems', 'DescribeTimeToLive'];
    const ended = await doctor(table, { AWS_ENDPOINT_URL_DYNAMODB: await gate(denied) });
    expect(ended.code).toBe(6);
    const actions = 'dynamodb:UpdateItem, dynamodb:PutItem, dynamodb:DeleteItem, dynamodb:ConditionCheckItem';
    expect(told(ended).of('permissions')).toEqual({
      check: 'permissions',
      state: 'failed',
      found: `not allowed: ${actions}`,
      remedy: `Allow ${actions} on the table, for keys that begin with default#`,
    });
    expect(told(ended).of('ttl')).toMatchObject({ state: 'skipped' });
  });

  it('tells a clock that is a minute ahead from one that is right', async () => {
    const table = await createStreamedTable();
    const minuteAgo = (date: string) => new Date(Date.parse(date) - 60_000).toUTCString();
    const ahead = await doctor(table, { AWS_ENDPOINT_URL_DYNAMODB: await gate([], minuteAgo) });
    const { state, found } = told(ahead).of('clock') ?? {};
    const [, atLeastMs] = /^at least (\d+) ms ahead of DynamoDB’s$/.exec(found ?? '') ?? [];
    expect(state).toBe('warning');
    // The database tells whole seconds, and its answer takes some time, of which the check believes nothing.
    expect(Number(atLeastMs)).toBeGreaterThan(50_000);
    expect(Number(atLeastMs)).toBeLessThan(61_000);
    expect(told(await doctor(table, { AWS_ENDPOINT_URL_DYNAMODB: await gate([]) })).of('clock')).toMatchObject({ state: 'ok' });
  });

  it('names stored limits that nobody can read', async () => {
    const table = await createStreamedTable();
    const Item = { pk: { S: 'default#config' }, sk: { S: 'resource#gpt-4o' }, limits: { L: [{ M: { name: { S: 'rpm' } } }] } };
    await testClient().send(new PutItemCommand({ TableName: table, Item }));
    const limits = told(await doctor(table)).of('limits');
    expect(limits).toMatchObject({ state: 'failed', found: expect.stringContaining('default#config / resource#gpt-4o') });
  });

  it('names a silent endpoint, and a missing region, each with a way out', async () => {
    const silent = await doctor('any', { AWS_ENDPOINT_URL_DYNAMODB: 'http://127.0.0.1:1' });
    expect(silent.code).toBe(6);
    expect(told(silent).of('table')).toMatchObject({
      found: expect.stringContaining('ECONNREFUSED'),
      remedy: expect.stringContaining('--endpoint'),
    });
    const lost = await doctor('any', { AWS_REGION: '', AWS_DEFAULT_REGION: '', AWS_CONFIG_FILE: '/nowhere' });
    expect(lost.code).toBe(6);
    expect(told(lost).of('region')).toMatchObject({ state: 'failed', remedy: expect.stringContaining('AWS_REGION') });
    expect(told(lost).of('table')).toBeUndefined();
  });
});
