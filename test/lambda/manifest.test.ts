import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { SystemClock } from '../../lib/clock.js';
import { Limit } from '../../lib/core/limit.js';
import { ApplyLease } from '../../lib/manifest/apply-lease.js';
import { ManifestAdmin } from '../../lib/manifest/index.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { type CloudFormation, startCloudFormation } from './cloudformation.js';

const client = testClient();
let cloudFormation: CloudFormation;
let tableName: string;
let namespace: string;

const manifest = (rpm: number) =>
  JSON.stringify({
    version: 1,
    system: { limits: { rpm: `${rpm}/minute` } },
    entities: { acme: { limits: { tpm: '9000/minute' } } },
  });
const properties = (more: Readonly<Record<string, string>> = {}) => ({
  Table: tableName,
  Namespace: namespace,
  Prune: 'false',
  OnDelete: 'keep',
  Manifest: manifest(60),
  ...more,
});
const admin = () => new HeadgateAdmin({ tableName, client, namespace });
const entities = async () => (await admin().entities()).toSorted();
const rpm = async () => (await admin().getLimits({ system: true }))?.[0]?.capacity;

beforeAll(async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
  vi.spyOn(console, 'error').mockImplementation(() => {});
  cloudFormation = await startCloudFormation();
  tableName = await createTestTable();
});
afterAll(() => {
  cloudFormation.stop();
  vi.unstubAllEnvs();
});
beforeEach(() => {
  namespace = `test-${randomUUID()}`;
  cloudFormation.status = 200;
});

describe('the manifest of a deployment', () => {
  it('is applied on Create: the answer says what was done, in the words of a custom resource', async () => {
    const { method, contentType, answer } = await cloudFormation.send({ type: 'Create', properties: properties() });

    expect([method, contentType]).toEqual(['PUT', '']);
    expect(answer).toEqual({
      Status: 'SUCCESS',
      PhysicalResourceId: 'LimitsResource7D2A-3c2f4a0e-5f9d-4c57-a5d0-6a2b8f0f5d11',
      StackId: 'arn:aws:cloudformation:us-east-1:111122223333:stack/limits/8f6a0b50-c9a1-11f0-9b1c-0affd5b1d7a5',
      RequestId: '3c2f4a0e-5f9d-4c57-a5d0-6a2b8f0f5d11',
      LogicalResourceId: 'LimitsResource7D2A',
      Data: {
        summary: 'Revision 1: 3 created, 0 changed, 0 removed, 0 adopted, 0 unchanged, 0 kept.',
        revision: 1,
        created: 3,
        changed: 0,
        removed: 0,
        adopted: 0,
        unchanged: 0,
        kept: 0,
      },
    });
    expect(await rpm()).toBe(60);
    expect(await admin().audit({})).toMatchObject(Array.from({ length: 3 }, () => ({ actor: 'cloudformation/limits' })));
  });

  it('is applied once where the same event comes again, because Lambda saw no answer', async () => {
    cloudFormation.status = 403;
    await expect(cloudFormation.send({ type: 'Create', properties: properties() })).rejects.toThrow('refused with 403');
    cloudFormation.status = 200;

    const { answer } = await cloudFormation.send({ type: 'Create', properties: properties() });

    expect(answer.Data?.summary).toBe('Revision 1: 0 created, 0 changed, 0 removed, 0 adopted, 3 unchanged, 0 kept.');
  });

  it('is followed by the former one when the deployment is rolled back, under the same physical id', async () => {
    const former = properties();
    const next = properties({ Manifest: manifest(600) });
    const { answer: created } = await cloudFormation.send({ type: 'Create', properties: former });
    const physicalId = created.PhysicalResourceId;
    const { answer: updated } = await cloudFormation.send({ type: 'Update', properties: next, old: former, physicalId });
    expect(await rpm()).toBe(600);

    const { answer: back } = await cloudFormation.send({ type: 'Update', properties: former, old: next, physicalId });

    expect(await rpm()).toBe(60);
    expect([updated.PhysicalResourceId, back.PhysicalResourceId]).toEqual([physicalId, physicalId]);
    expect(back.Data?.summary).toBe('Revision 3: 0 created, 1 changed, 0 removed, 0 adopted, 2 unchanged, 0 kept.');
  });

  it('brings back what was changed by hand since', async () => {
    const former = properties();
    const { PhysicalResourceId: physicalId } = (await cloudFormation.send({ type: 'Create', properties: former })).answer;
    await admin().setLimits({ system: true }, [Limit.perMinute('rpm', 5)]);

    const { answer } = await cloudFormation.send({
      type: 'Update',
      properties: properties({ Prune: 'true' }),
      old: former,
      physicalId,
    });

    expect(answer.Data).toMatchObject({ changed: 1, unchanged: 2 });
    expect(await rpm()).toBe(60);
  });

  it.each([
    { prune: 'false', removed: 0, kept: 2, left: ['acme'] },
    { prune: 'true', removed: 2, kept: 0, left: [] },
  ])('keeps or removes what it no longer names: Prune $prune', async ({ prune, removed, kept, left }) => {
    const former = properties({ Prune: prune });
    const { PhysicalResourceId: physicalId } = (await cloudFormation.send({ type: 'Create', properties: former })).answer;

    const { answer } = await cloudFormation.send({
      type: 'Update',
      properties: properties({ Prune: prune, Manifest: '{"version":1,"system":{"limits":{"rpm":"60/minute"}}}' }),
      old: former,
      physicalId,
    });

    expect(answer.Data).toMatchObject({ removed, kept, unchanged: 1 });
    expect(await entities()).toEqual(left);
  });

  it.each([
    { onDelete: 'keep', capacity: 60, left: ['acme', 'by-hand'] },
    { onDelete: 'remove', capacity: undefined, left: ['by-hand'] },
  ])('stays or goes on Delete: OnDelete $onDelete', async ({ onDelete, capacity, left }) => {
    const given = properties({ OnDelete: onDelete });
    const { PhysicalResourceId: physicalId } = (await cloudFormation.send({ type: 'Create', properties: given })).answer;
    await admin().createEntity({ entity: 'by-hand' });
    expect([await rpm(), await entities()]).toEqual([60, ['acme', 'by-hand']]);

    const { answer } = await cloudFormation.send({ type: 'Delete', properties: given, physicalId });

    expect([answer.Status, answer.PhysicalResourceId]).toEqual(['SUCCESS', physicalId]);
    expect([await rpm(), await entities()]).toEqual([capacity, left]);
  });
});

describe('a deployment fails, and is answered so,', () => {
  it('where the table does not exist, with the log stream to look into', async () => {
    const { answer } = await cloudFormation.send({ type: 'Create', properties: properties({ Table: 'no-such-table' }) });

    expect(answer).toMatchObject({ Status: 'FAILED', PhysicalResourceId: expect.stringContaining('LimitsResource7D2A-') });
    expect(answer.Reason).toMatch(
      /^Expected tableName to be a table that .+no-such-table.* \(log stream 2027\/01\/15\/\[\$LATEST\]a1b2c3\)$/,
    );
  });

  it('where the manifest has problems, in no more bytes than an answer may have', async () => {
    const many = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`é-${index}`, { limits: { rpm: 'ü' } }]));
    const { answer, bytes } = await cloudFormation.send({
      type: 'Create',
      properties: properties({ Manifest: JSON.stringify({ version: 1, entities: many }) }),
    });

    expect(answer.Status).toBe('FAILED');
    expect(answer.Reason).toMatch(/^manifest:1:\d+ {2}entities\["é-0"\]\.limits\.rpm/);
    expect(bytes).toBeLessThan(4_096);
  });

  it('where somebody else is applying until the function’s time is over, and changes nothing', async () => {
    await holdLease(600_000);

    const { answer } = await cloudFormation.send({ type: 'Create', properties: properties(), remainingMs: 10_500 });

    expect(answer.Status).toBe('FAILED');
    expect(answer.Reason).toMatch(/^someone has been applying since /);
    expect(await rpm()).toBeUndefined();
  });

  it('before the function’s time is over, where the table is silent', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', `http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
    try {
      const { answer } = await cloudFormation.send({ type: 'Create', properties: properties(), remainingMs: 10_300 });

      expect(answer.Status).toBe('FAILED');
      expect(answer.Reason).toMatch(/^Not applied within 0\.3 s: /);
    } finally {
      vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
      silent.closeAllConnections();
      silent.close();
    }
  });
});

it('a deployment waits for somebody who is applying, and applies after them', async () => {
  await holdLease(1_000);

  const { answer } = await cloudFormation.send({ type: 'Create', properties: properties() });

  expect(answer.Status).toBe('SUCCESS');
  expect(await rpm()).toBe(60);
});

it('a manifest that is too long for a property is read from S3, also where the permission to read it does not hold at once', async () => {
  const asked: string[] = [];
  const bucket = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (asked.length > 1) return response.writeHead(200).end(manifest(77));
    return response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>AccessDenied</Code></Error>');
  });
  await new Promise<void>((resolve) => bucket.listen(0, '127.0.0.1', resolve));
  // An address, so that the bucket stands in the path.
  vi.stubEnv('AWS_ENDPOINT_URL_S3', `http://127.0.0.1:${(bucket.address() as AddressInfo).port}`);
  try {
    const { Manifest: _, ...rest } = properties();
    const { answer } = await cloudFormation.send({
      type: 'Create',
      properties: { ...rest, Bucket: 'cdk-assets-111122223333-us-east-1', Key: '0a1b.json' },
    });

    expect(answer.Reason).toBeUndefined();
    expect(asked).toEqual(Array(2).fill('GET /cdk-assets-111122223333-us-east-1/0a1b.json?x-id=GetObject'));
    expect(await rpm()).toBe(77);
  } finally {
    bucket.close();
  }
});

/** Somebody begins to apply, and does not end. */
async function holdLease(leaseMs: number): Promise<void> {
  const store = new DynamoStore({ client, tableName });
  const plan = await new ManifestAdmin({ tableName, client, namespace }).plan({
    namespace: undefined,
    settings: [],
    entities: [],
  });
  const lease = await ApplyLease.taken(store, plan, { actor: 'someone', clock: new SystemClock(), leaseMs });
  expect(lease).toBeInstanceOf(ApplyLease);
}
