import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { FilterCriteria, FilterRule, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { DynamoEventSource, SqsDlq } from 'aws-cdk-lib/aws-lambda-event-sources';
import { BlockPublicAccess, Bucket, BucketEncryption, type IBucket, StorageClass } from 'aws-cdk-lib/aws-s3';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { SK, TTL_PRINCIPAL } from '../lib/store/schema.js';
import { functionOptions, HeadgateFunction, type HeadgateFunctionOptions } from './headgate-function.js';

export interface UsageArchiveOptions {
  /**
   * Where it is kept. A bucket of your own has its own lifecycle.
   * @default - a bucket that stays when the stack goes, encrypted, closed to the public
   */
  readonly bucket?: IBucket;

  /**
   * After how long objects move to Glacier, whole days.
   * @default Duration.days(90)
   */
  readonly glacierAfter?: Duration;
}

export interface UsageArchiveProps extends HeadgateFunctionOptions, UsageArchiveOptions {}

/**
 * Keeps expired usage rows and audit records as gzipped JSON lines in S3, by kind and date: one function behind one event source, a second reader of
 * the stream beside the aggregator. DynamoDB advises two a shard at most.
 *
 * Batches are not split: an object's name comes from its batch, so one that comes again writes the same objects again.
 */
export class UsageArchive extends Construct {
  readonly function: HeadgateFunction;
  readonly bucket: IBucket;
  /** Stream positions that were given up, kept 14 days; for a day the stream still holds what expired. */
  readonly failures: Queue;

  constructor(scope: Construct, id: string, props: UsageArchiveProps) {
    super(scope, id);
    this.bucket =
      props.bucket ??
      new Bucket(this, 'Bucket', {
        encryption: BucketEncryption.S3_MANAGED,
        blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
        enforceSSL: true,
        removalPolicy: RemovalPolicy.RETAIN,
        lifecycleRules: [
          {
            transitions: [{ storageClass: StorageClass.GLACIER, transitionAfter: props.glacierAfter ?? Duration.days(90) }],
            abortIncompleteMultipartUploadAfter: Duration.days(7),
          },
        ],
      });
    this.failures = new Queue(this, 'Failures', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    this.function = new HeadgateFunction(this, 'Function', {
      ...functionOptions(props),
      handler: 'archive',
      description: 'Headgate: keeps expired usage and history in S3',
      timeout: Duration.minutes(1),
      memorySizeMb: 512,
      environment: { HEADGATE_ARCHIVE_BUCKET: this.bucket.bucketName },
    });
    this.bucket.grantPut(this.function.lambda);
    const expired = (sortKey: string) =>
      FilterCriteria.filter({
        eventName: FilterRule.isEqual('REMOVE'),
        userIdentity: { principalId: FilterRule.isEqual(TTL_PRINCIPAL) },
        dynamodb: { Keys: { [SK]: { S: FilterRule.beginsWith(sortKey) } } },
      });
    this.function.lambda.addEventSource(
      new DynamoEventSource(props.table.table, {
        startingPosition: StartingPosition.TRIM_HORIZON,
        // Audit records' sort keys begin with the year.
        filters: [expired('usage#'), expired('2')],
        batchSize: 1000,
        maxBatchingWindow: Duration.minutes(5),
        retryAttempts: 10_000,
        maxRecordAge: Duration.hours(12),
        onFailure: new SqsDlq(this.failures),
      }),
    );
  }
}
