import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HeadgateManifest, type HeadgateManifestProps, HeadgateTable } from '../../infra/index.js';
import { HeadgateAdmin } from '../../lib/index.js';
import { ManifestAdmin, openManifest, readManifest } from '../../lib/manifest/index.js';
import { type CloudFormation, startCloudFormation } from '../lambda/cloudformation.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { allows, recordPermissions } from './recorded-calls.js';
import { onlyResource, resourcesOf, type Statement, withBundles } from './stack-template.js';

const folder = mkdtempSync(join(tmpdir(), 'headgate-manifests-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file of the folder. */
function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const small = file(
  'headgate.yaml',
  'version: 1\nextends: ./base.yaml\nentities:\n  zoë 🌍:\n    limits: { rpm: \'7/minute\' }\n  "007":\n    metadata: { note: "a\\tb" }\n',
);
file('base.yaml', "version: 1\nsystem:\n  limits: { rpm: '60/minute' }\n");
const large = file(
  'large.yaml',
  `version: 1\nentities:\n${Array.from({ length: 500 }, (_, index) => `  key-${index}: { limits: { rpm: '${index + 1}/minute' } }\n`).join('')}`,
);

function deployed(props: Partial<HeadgateManifestProps> = {}) {
  return withBundles((bundleDirectory) => {
    const app = new App();
    const stack = new Stack(app, 'Limits');
    const table = new HeadgateTable(stack, 'Table', { tableName: 'limits' });
    new HeadgateManifest(stack, 'Manifest', { table, file: small, bundleDirectory, ...props });
    const template = Template.fromStack(stack);
    return { template, directory: app.synth().directory };
  });
}

const propertiesOf = (template: Template) => onlyResource(template, 'Custom::HeadgateManifest').Properties;
const statementsOf = (template: Template): Statement[] =>
  resourcesOf(template, 'AWS::IAM::Policy')
    .flatMap((policy) => policy.Properties.PolicyDocument.Statement)
    .map((statement) => ({ ...statement, Action: [statement.Action].flat(), Resource: [statement.Resource].flat() }));

describe('a manifest in a template', () => {
  it('is one property, in ASCII, with all that it extends, and says what the file says', () => {
    const { template } = deployed();
    const { Manifest: text, Table, ...rest } = propertiesOf(template);

    expect(text).toMatch(/^[ -~]+$/);
    expect(readManifest(text, { file: 'property' })).toEqual(openManifest(small));
    expect(rest).toEqual({
      ServiceToken: { 'Fn::GetAtt': [expect.stringMatching(/^ManifestApplierFunction/), 'Arn'] },
      ServiceTimeout: '1200',
      Namespace: 'default',
      Prune: 'false',
      OnDelete: 'keep',
    });
    expect(Table).toEqual({ Ref: expect.stringMatching(/^Table/) });
  });

  it('is a file in S3 when it is too long for a property: the function may read that one and no other', () => {
    const { template, directory } = deployed({ file: large });
    const { Manifest: text, Bucket, Key } = propertiesOf(template);

    expect(text).toBeUndefined();
    expect(Key).toMatch(/^[0-9a-f]{64}\.json$/);
    const stored = readFileSync(join(directory, `asset.${Key}`), 'utf8');
    expect(readManifest(stored, { file: 'asset' })).toEqual(openManifest(large));
    const reading = statementsOf(template).filter(({ Action }) => Action.some((action) => action.startsWith('s3:')));
    expect(reading).toEqual([
      {
        Effect: 'Allow',
        Action: ['s3:GetObject'],
        Resource: [{ 'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, ':s3:::', Bucket, `/${Key}`]] }],
      },
    ]);
  });

  it('has its summary as an output', () => {
    const { template } = deployed();
    const [id] = Object.keys(template.findResources('Custom::HeadgateManifest'));
    const outputs = Object.values(template.findOutputs('*', { Description: 'What applying the manifest did' }));
    expect(outputs.map(({ Value }) => Value)).toEqual([{ 'Fn::GetAtt': [id, 'summary'] }]);
  });

  it.each([
    { when: 'only the prop names it', named: undefined, given: 'acme', namespace: 'acme' },
    { when: 'only the manifest names it', named: 'acme', given: undefined, namespace: 'acme' },
    { when: 'both name it', named: 'acme', given: 'acme', namespace: 'acme' },
  ])('is for one namespace, and its function sees no other, when $when', ({ named, given, namespace }) => {
    const path = file(
      'named.yaml',
      `version: 1\n${named === undefined ? '' : `namespace: ${named}\n`}system: { limits: { rpm: 1/minute } }\n`,
    );
    const { template } = deployed({ file: path, namespace: given });
    expect(propertiesOf(template).Namespace).toBe(namespace);
    const keys = statementsOf(template).flatMap(
      ({ Condition }) => Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'] ?? [],
    );
    expect(keys).toEqual(['acme#*']);
  });

  it.each([
    {
      when: 'it has problems',
      text: 'version: 1\ntiers:\n  free:\n    limit: {}\nentities:\n  acme: { tier: por }\n',
      message:
        /^The manifest has problems:\n\S+bad\.yaml:4:5 {2}tiers\.free\.limit {2}Unknown field\. .+\n\S+bad\.yaml:6:17 {2}entities\.acme\.tier {2}Expected a tier/,
    },
    {
      when: 'it names another namespace',
      text: 'version: 1\nnamespace: other\nsystem: { limits: { rpm: 1/minute } }\n',
      message: /bad\.yaml to name the namespace 'acme' or none, got 'other'/,
    },
  ])('stops the synthesis when $when', ({ text, message }) => {
    expect(() => deployed({ file: file('bad.yaml', text), namespace: 'acme' })).toThrow(message);
  });

  it('stops the synthesis when there is no such file', () => {
    expect(() => deployed({ file: 'no-such.yaml' })).toThrow('no-such.yaml:1:1  Expected a file that can be read (ENOENT)');
  });
});

describe('a deployed manifest', () => {
  let cloudFormation: CloudFormation;
  beforeAll(async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', testEndpoint());
    cloudFormation = await startCloudFormation();
  });
  afterAll(() => {
    cloudFormation.stop();
    vi.unstubAllEnvs();
  });

  it('is applied from the properties of its template', async () => {
    const tableName = await createTestTable();
    const { ServiceToken: _, ...properties } = propertiesOf(deployed({ prune: true, onDelete: 'remove' }).template);

    const created = await cloudFormation.send({ type: 'Create', properties: { ...properties, Table: tableName } });

    expect(created.answer.Reason).toBeUndefined();
    const admin = new HeadgateAdmin({ tableName, client: testClient() });
    expect(await admin.getLimits({ entity: 'zoë 🌍' })).toMatchObject([{ name: 'rpm', capacity: 7 }]);
    expect(await admin.getEntity('007')).toMatchObject({ metadata: { note: 'a\tb' } });
    expect(await admin.getLimits({ system: true })).toMatchObject([{ name: 'rpm', capacity: 60 }]);
  });

  it('needs no permission that its function does not have, to apply, to change, to prune and to remove', async () => {
    const tableName = await createTestTable();
    const client = testClient();
    const needed = recordPermissions(client);
    const admin = new ManifestAdmin({ tableName, client });
    const read = openManifest(small);
    if ('problems' in read) throw new Error('Expected a manifest without problems');
    const { settings, entities } = read.manifest;
    for (const [index, manifest] of [
      read.manifest,
      { ...read.manifest, settings: settings.slice(1), entities: entities.map((one) => ({ ...one, name: 'Named' })) },
      { ...read.manifest, settings: [], entities: [] },
    ].entries()) {
      expect(await admin.apply(await admin.plan(manifest, { prune: true }))).toEqual({ applied: true, revision: index + 1 });
    }

    const granted = statementsOf(deployed().template);
    expect(new Set(needed.map(({ action }) => action))).toContain('DeleteItem');
    expect(needed.filter((permission) => !allows(granted, permission))).toEqual([]);
  });
});
