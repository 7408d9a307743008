import { App, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { describe, expect, it } from 'vitest';
import { HeadgateTable } from '../../infra/index.js';
import { tableDefinition } from '../../lib/store/table-definition.js';
import { onlyResource, resourcesOf, stackTemplate } from './stack-template.js';

const table = (props = {}) => onlyResource(stackTemplate(props), 'AWS::DynamoDB::Table');

describe('the table', () => {
  it('has the keys, attributes and billing of the SDK’s table definition', () => {
    const { KeySchema, AttributeDefinitions, BillingMode } = tableDefinition('any');
    expect(table().Properties).toMatchObject({ KeySchema, AttributeDefinitions, BillingMode });
  });

  it('streams both images of every change', () => {
    expect(table().Properties.StreamSpecification).toEqual({ StreamViewType: 'NEW_AND_OLD_IMAGES' });
  });

  it('expires items by the attribute ttl', () => {
    expect(table().Properties.TimeToLiveSpecification).toEqual({ AttributeName: 'ttl', Enabled: true });
  });

  it('can be restored to any point in time', () => {
    expect(table().Properties.PointInTimeRecoverySpecification).toEqual({ PointInTimeRecoveryEnabled: true });
  });

  it('has no index, so that a bucket write costs one unit', () => {
    const { GlobalSecondaryIndexes, LocalSecondaryIndexes } = table().Properties;
    expect([GlobalSecondaryIndexes, LocalSecondaryIndexes]).toEqual([undefined, undefined]);
  });

  it.each([
    { when: 'nothing is said', props: {}, deletionPolicy: 'Retain', isProtected: true },
    {
      when: 'it may be destroyed',
      props: { removalPolicy: RemovalPolicy.DESTROY },
      deletionPolicy: 'Delete',
      isProtected: false,
    },
    { when: 'protection is switched off', props: { deletionProtection: false }, deletionPolicy: 'Retain', isProtected: false },
  ])('outlives its stack and refuses deletion as told when $when', ({ props, deletionPolicy, isProtected }) => {
    const { DeletionPolicy, Properties } = table(props);
    expect([DeletionPolicy, Properties.DeletionProtectionEnabled]).toEqual([deletionPolicy, isProtected]);
  });

  it.each([
    { when: 'none is given', props: {}, name: 'headgate' },
    { when: 'one is given', props: { tableName: 'limits-eu' }, name: 'limits-eu' },
  ])('has the right name when $when', ({ props, name }) => {
    expect(table(props).Properties.TableName).toBe(name);
  });

  it('is encrypted with DynamoDB’s own key unless it is given another, which its functions may then use', () => {
    expect(table().Properties.SSESpecification).toBeUndefined();
    const stack = new Stack(new App(), 'Keyed');
    const made = new HeadgateTable(stack, 'Table', { encryptionKey: new Key(stack, 'Key') });
    made.grantAcquire(new Role(stack, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') }));
    const template = Template.fromStack(stack);
    const [keyId] = Object.keys(template.findResources('AWS::KMS::Key'));
    const key = { 'Fn::GetAtt': [keyId, 'Arn'] };
    expect(onlyResource(template, 'AWS::DynamoDB::Table').Properties.SSESpecification).toEqual({
      SSEEnabled: true,
      SSEType: 'KMS',
      KMSMasterKeyId: key,
    });
    const statements = onlyResource(template, 'AWS::IAM::Policy').Properties.PolicyDocument.Statement;
    expect(statements).toContainEqual({
      Action: ['kms:Decrypt', 'kms:Encrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*'],
      Effect: 'Allow',
      Resource: key,
    });
  });

  it('follows its load between two bounds where it is provisioned', () => {
    const template = stackTemplate({
      provisioned: { minReadUnits: 5, maxReadUnits: 500, minWriteUnits: 10, maxWriteUnits: 4_000 },
    });
    const { BillingMode, ProvisionedThroughput } = onlyResource(template, 'AWS::DynamoDB::Table').Properties;
    expect([BillingMode, ProvisionedThroughput]).toEqual([undefined, { ReadCapacityUnits: 5, WriteCapacityUnits: 10 }]);
    const bounds = resourcesOf(template, 'AWS::ApplicationAutoScaling::ScalableTarget').map(({ Properties }) => [
      Properties.ScalableDimension,
      Properties.MinCapacity,
      Properties.MaxCapacity,
    ]);
    expect(bounds).toEqual([
      ['dynamodb:table:ReadCapacityUnits', 5, 500],
      ['dynamodb:table:WriteCapacityUnits', 10, 4_000],
    ]);
  });

  it('starts warm, counts its busiest keys and restores as far back as it is told', () => {
    const { WarmThroughput, ContributorInsightsSpecification, PointInTimeRecoverySpecification } = table({
      warmThroughput: { readUnitsPerSecond: 20_000, writeUnitsPerSecond: 8_000 },
      contributorInsights: true,
      recoveryPeriod: Duration.days(7),
    }).Properties;
    expect(WarmThroughput).toEqual({ ReadUnitsPerSecond: 20_000, WriteUnitsPerSecond: 8_000 });
    expect(ContributorInsightsSpecification).toEqual({ Enabled: true });
    expect(PointInTimeRecoverySpecification).toEqual({ PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 7 });
  });
});
