import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RemovalPolicy } from 'aws-cdk-lib';
import { describe, expect, it } from 'vitest';
import type { HeadgateStackProps } from '../../infra/index.js';
import { stackTemplate } from './stack-template.js';

const STACKS: { readonly of: string; readonly props: HeadgateStackProps }[] = [
  { of: 'defaults', props: {} },
  {
    of: 'everything that can be set',
    props: {
      namespace: 'acme',
      tableName: 'limits',
      removalPolicy: RemovalPolicy.DESTROY,
      provisioned: { minReadUnits: 5, maxReadUnits: 500, minWriteUnits: 5, maxWriteUnits: 5_000 },
      warmThroughput: { readUnitsPerSecond: 12_000, writeUnitsPerSecond: 4_000 },
      contributorInsights: true,
      tracing: true,
      roleNamePrefix: 'team-',
      upstreams: {
        anthropic: { baseUrl: 'https://api.anthropic.com', apiKeySecret: 'anthropic-key' },
        bedrock: { bedrockRegion: 'eu-west-1' },
      },
    },
  },
];

const isInstalled = (command: string): boolean => spawnSync(command, ['--version']).status === 0;

describe.each(STACKS)('the stack of $of', ({ props }) => {
  it.skipIf(!isInstalled('cfn-lint'))(
    'is clean to cfn-lint, where that is installed (pip install cfn-lint)',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'headgate-template-'));
      try {
        const file = join(folder, 'template.json');
        writeFileSync(file, JSON.stringify(stackTemplate(props).toJSON()));
        // W3005: CDK writes each dependency out, also those that a reference implies.
        const { stdout, status } = spawnSync('cfn-lint', ['--ignore-checks', 'W3005', '--', file], { encoding: 'utf8' });
        expect([stdout, status]).toEqual(['', 0]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    120_000,
  );
});
