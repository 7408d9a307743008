import { Duration } from 'aws-cdk-lib';
import { describe, expect, it } from 'vitest';
import { onlyResource, type Resource, resourcesOf, stackTemplate } from './stack-template.js';

const template = stackTemplate({ usageArchive: {}, usageRetention: { month: Duration.days(1_200) } });
const sources = resourcesOf(template, 'AWS::Lambda::EventSourceMapping').map(({ Properties }) => Properties);
const isRemoval = ({ FilterCriteria }: Resource['Properties']) => JSON.stringify(FilterCriteria).includes('REMOVE');
const filtersOf = (source: Resource['Properties']) =>
  source.FilterCriteria.Filters.map(({ Pattern }: { Pattern: string }) => JSON.parse(Pattern));

describe('the archive of usage', () => {
  it('is not there unless asked for', () => {
    const without = stackTemplate();
    expect(resourcesOf(without, 'AWS::S3::Bucket')).toEqual([]);
    expect(resourcesOf(without, 'AWS::Lambda::EventSourceMapping').some(({ Properties }) => isRemoval(Properties))).toBe(false);
  });

  it('gets only what expired of usage and history, and the aggregator still gets none of it', () => {
    const [archive, ...others] = sources.filter(isRemoval);
    expect(others).toEqual([]);
    const expired = (prefix: string) => ({
      eventName: ['REMOVE'],
      userIdentity: { principalId: ['dynamodb.amazonaws.com'] },
      dynamodb: { Keys: { sk: { S: [{ prefix }] } } },
    });
    expect(filtersOf(archive!)).toEqual([expired('usage#'), expired('2')]);
    expect(sources).toHaveLength(2);
  });

  it('never splits a batch, for objects are named by theirs', () => {
    const archive = sources.find(isRemoval);
    expect(archive).not.toHaveProperty('BisectBatchOnFunctionError');
    expect(archive).not.toHaveProperty('FunctionResponseTypes');
    expect(archive).toMatchObject({ MaximumRetryAttempts: 10_000, MaximumRecordAgeInSeconds: 12 * 3_600 });
  });

  it('is encrypted, closed to the public, kept when the stack goes, and in Glacier after ninety days', () => {
    const bucket = onlyResource(template, 'AWS::S3::Bucket');
    expect(bucket.DeletionPolicy).toBe('Retain');
    expect(bucket.Properties.PublicAccessBlockConfiguration).toEqual({
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    });
    expect(bucket.Properties.BucketEncryption.ServerSideEncryptionConfiguration).toHaveLength(1);
    expect(bucket.Properties.LifecycleConfiguration.Rules[0]).toMatchObject({
      Status: 'Enabled',
      Transitions: [{ StorageClass: 'GLACIER', TransitionInDays: 90 }],
    });
  });
});

describe('how long usage is kept', () => {
  it('is told to the aggregator in days', () => {
    const told = resourcesOf(template, 'AWS::Lambda::Function').flatMap(
      ({ Properties }) => Properties.Environment?.Variables?.HEADGATE_USAGE_RETENTION ?? [],
    );
    expect(told).toEqual(['{"month":1200}']);
  });

  it('is refused where a record could come after its row is gone', () => {
    expect(() => stackTemplate({ usageRetention: { hour: Duration.days(15) } })).toThrow(
      'Expected usageRetention.hour to be an integer from 16 to 3660, got 15',
    );
  });
});
