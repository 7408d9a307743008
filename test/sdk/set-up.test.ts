import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';

const request = { entity: 'key-123', resource: 'gpt-4', consume: { rpm: 1 }, limits: [Limit.perMinute('rpm', 100)] };

let tableName: string;

beforeAll(async () => {
  tableName = await createTestTable();
});

/** The environment of a process that has a database, a region and credentials, and nothing on disk. */
beforeEach(() => {
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'local');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'local');
  vi.stubEnv('AWS_CONFIG_FILE', '/dev/null');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/dev/null');
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

it('a limiter finds its database, region and credentials in the environment', async () => {
  const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, namespace: 'environment' });

  expect((await limiter.acquire(request)).decidedBy).toBe('store');

  await limiter.close();
});

it.each([
  { call: 'acquire', of: (limiter: RateLimiter) => limiter.acquire(request) },
  { call: 'available', of: (limiter: RateLimiter) => limiter.available({ entity: 'key-123', resource: 'gpt-4' }) },
])('$call names the table and the region when there is no such table', async ({ of }) => {
  await expect(of(new RateLimiter({ tableName: 'no-such-table', client: testClient() }))).rejects.toMatchObject({
    code: 'InvalidArgument',
    field: 'tableName',
    message: 'Expected tableName to be a table that exists in us-east-1 (createTable makes one), got "no-such-table"',
    cause: expect.objectContaining({ name: 'ResourceNotFoundException' }),
  });
});

it('an admin names the table when there is no such table', async () => {
  const admin = new HeadgateAdmin({ tableName: 'no-such-table', client: testClient() });

  await expect(admin.setLimits({ system: true }, request.limits)).rejects.toMatchObject({
    code: 'InvalidArgument',
    field: 'tableName',
  });
  await expect(admin.getLimits({ system: true })).rejects.toMatchObject({ code: 'InvalidArgument', field: 'tableName' });
});

it('a missing table is a wrong set-up, not an unreachable store: onUnavailable does not let it pass', async () => {
  const limiter = new RateLimiter({ tableName: 'no-such-table', client: testClient(), onUnavailable: 'allow' });

  await expect(limiter.acquire(request)).rejects.toMatchObject({ code: 'InvalidArgument', field: 'tableName' });
});

it('says where to give a region when there is none', async () => {
  vi.stubEnv('AWS_REGION', undefined);
  vi.stubEnv('AWS_DEFAULT_REGION', undefined);
  const limiter = new RateLimiter({ tableName, deadlineMs: 30_000 });

  await expect(limiter.acquire(request)).rejects.toMatchObject({
    code: 'InvalidArgument',
    field: 'client.region',
    message: 'Expected client.region to be an AWS region, such as us-east-1 (or set AWS_REGION), got undefined',
  });
});

it('says where credentials were looked for when there are none', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
  const limiter = new RateLimiter({ tableName, deadlineMs: 5_000 });

  await expect(limiter.acquire(request)).rejects.toMatchObject({
    code: 'LimiterUnavailable',
    message: expect.stringContaining(
      'client.credentials: no AWS credentials in the environment, the shared configuration or the instance role',
    ),
    cause: expect.objectContaining({ name: 'CredentialsProviderError' }),
  });
});

it('keeps the error of a credentials provider as the cause', async () => {
  const cause = new Error('the vault is sealed');
  const client = testClient({ credentials: () => Promise.reject(cause) });

  await expect(new RateLimiter({ deadlineMs: 30_000, tableName, client }).acquire(request)).rejects.toMatchObject({
    code: 'LimiterUnavailable',
    cause,
  });
});

it('leaves a client that it was given open', async () => {
  const client = testClient();
  const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, client, namespace: 'given-client' });
  await limiter.close();

  expect((await limiter.acquire(request)).decidedBy).toBe('store');
});
