import { defineConfig } from 'vitest/config';
import { TEST_WORKERS } from './test/support/workers.js';

// The README says it: the AWS SDK asks for Node 22 from January 2027. Not in every run.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/dynamodb-global.ts'],
    env: {
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      AWS_REGION: 'us-east-1',
      CDK_VALIDATION: 'false',
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    setupFiles: ['test/support/drop-tables.ts'],
    maxWorkers: TEST_WORKERS,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
