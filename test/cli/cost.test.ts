import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
beforeAll(async () => {
  cli = await BuiltCli.build();
});
afterAll(() => cli.remove());

/** Runs it against no database at all. */
const cost = (...args: readonly string[]) => cli.run(['cost', ...args], { AWS_ENDPOINT_URL_DYNAMODB: 'http://127.0.0.1:1' });

describe('headgate cost', () => {
  it('shows every line, its price, and the total', async () => {
    const { code, stdout } = await cost('--requests', '10M', '--levels', '2', '--settle');
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toEqual([
      'what\tquantity\tunit\tprice\t$',
      'acquire\t20,000,000\twrite units\t$0.625 a million\t12.50',
      'settle\t20,000,000\twrite units\t$0.625 a million\t12.50',
      'usage rows\t36,000,000\twrite units\t$0.625 a million\t22.50',
      'limits that are not cached\t250,000\tread units\t$0.125 a million\t0.03',
      'stream, read by Lambda\t40,000,000\trecords\t-\t0.00',
      'function calls\t400,000\tcalls\t$0.2 a million\t0.08',
      'function time\t20,000\tGB-seconds\t$0.0000133334\t0.27',
      'API Gateway\t0\tcalls\t$3.5 a million\t0.00',
      'logs\t0.36\tGB\t$0.5\t0.18',
      'total\t\t\t\t48.06',
      'list prices of us-east-1, 2026-06-13, without free tiers',
    ]);
  });

  it('says the same in JSON, with what it assumed', async () => {
    const { stdout } = await cost('--requests', '1.5k', '--via', 'gateway', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      requests: 1_500,
      via: 'gateway',
      settle: false,
      region: 'us-east-1',
      date: '2026-06-13',
    });
    expect(JSON.parse(stdout).lines[0]).toMatchObject({
      what: 'acquire',
      quantity: 3_000,
      unit: 'write units',
      priceUsd: 0.625,
      per: 1e6,
    });
  });

  it('takes prices of your own', async () => {
    const file = join(cli.folder, 'prices.json');
    await writeFile(file, '{ "dynamoDbPerMillionWriteUnits": 2 }');
    const { stdout } = await cost('--requests', '1M', '--prices', file, '--region', 'eu-central-1');
    expect(stdout).toContain('acquire\t1,000,000\twrite units\t$2 a million\t2.00\n');
    expect(stdout).toContain(`prices of ${file}, without free tiers`);
  });

  it.each([
    { args: ['--requests', 'many'], says: 'Expected requests to be a number, such as 250000, 10M or 1.5G, got "many"' },
    { args: ['--requests', '1M', '--region', 'mars-1'], says: 'Expected region to be one whose prices are known' },
    { args: ['--requests', '1M', '--levels', 'two'], says: 'Expected levels to be a number, got "two"' },
    { args: ['--requests', '1M', '--prices', 'nowhere.json'], says: 'Expected prices to be a file of JSON, got "nowhere.json"' },
    { args: [], says: "required option '--requests <number>' not specified" },
  ])('refuses $args as wrong use', async ({ args, says }) => {
    const { code, stderr } = await cost(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(says);
  });
});
