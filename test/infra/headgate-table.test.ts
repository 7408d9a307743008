import { RemovalPolicy } from 'aws-cdk-lib';
import { describe, expect, it } from 'vitest';
import { tableDefinition } from '../../lib/store/table-definition.js';
import { onlyResource, stackTemplate } from './stack-template.js';

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
});
