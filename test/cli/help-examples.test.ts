import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { program } from '../../cli/program.js';
import { HeadgateAdmin, Limit } from '../../lib/index.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { SqsStub } from '../support/sqs-stub.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let table: string;
let keyId: string;
let queueUrl: string;
const queue = new SqsStub();

beforeAll(async () => {
  cli = await BuiltCli.build();
  queueUrl = await queue.start();
  await writeFile(join(cli.folder, 'headgate.yaml'), 'version: 1\nsystem:\n  limits: { rpm: 60/minute, tpm: 100000/minute }\n');
  table = await createTestTable();
  const admin = new HeadgateAdmin({ client: testClient(), tableName: table });
  for (const entity of ['acme', 'other', 'key-1']) await admin.createEntity({ entity });
  const limits = [Limit.perMinute('rpm', 60), Limit.perMinute('tpm', 100_000)];
  await admin.setLimits({ system: true }, limits);
  await admin.setLimits({ entity: 'acme', resource: 'gpt-4o' }, limits);
  keyId = (await admin.createKey({ entity: 'key-1' })).keyId;
});
afterAll(async () => {
  await queue.stop();
  await cli.remove();
});

/** The lines of a command's help, and of those below it, that show how `headgate` is called. */
function examples(command: Command): readonly string[] {
  const help: string[] = [];
  command.configureOutput({ writeOut: (text) => help.push(text) }).outputHelp();
  const own = help
    .join('')
    .split('\n')
    .flatMap((line) => /^ {2}\$ headgate (.*)$/.exec(line)?.[1] ?? []);
  return [...own, ...command.commands.flatMap(examples)];
}

/** What is only an example in an example: where the table and the manifest are, and a key's id. */
const here = (line: string): string =>
  line
    .replace('headgate.yaml', join(cli.folder, 'headgate.yaml'))
    .replace('--table headgate', `--table ${table}`)
    .replace('http://127.0.0.1:8000', testEndpoint())
    .replace('https://sqs.eu-west-1.amazonaws.com/123456789012/headgate-unbooked', queueUrl)
    .replace('1f0c9a7b52e4d86310', keyId);

it('every example in the help of every command does what it says', { timeout: 120_000 }, async () => {
  const silent = { style: 'plain' as const, out: () => {}, error: () => {}, exit: () => {} };
  const lines = examples(program(silent)).filter((line) => !line.includes('>'));
  expect(lines.length).toBeGreaterThanOrEqual(20);
  // A limit that is set without `tpm` would leave later examples without it.
  const rearranged = [...lines].sort((a, b) => Number(/^limits (set|delete)/.test(a)) - Number(/^limits (set|delete)/.test(b)));
  for (const line of rearranged) {
    const args = (here(line).match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'|'$/g, ''));
    const ended = await cli.run(args, { HEADGATE_TABLE: table });
    // This table is made without TTL, which the doctor finds.
    expect({ line, code: ended.code, stderr: ended.stderr }).toEqual({ line, code: line === 'doctor' ? 6 : 0, stderr: '' });
  }
});
